"""`DeviceOptimizer`: any optimiser of torch, its steps given to devices as pulses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from .layers import DeviceLayer
from .programming import Programmer, WriteVerify
from .weights import _largest


class DeviceOptimizer(torch.optim.Optimizer):
    """An optimiser of torch in whose steps weights in devices move by pulses; other parameters are stepped as usual.

    A step lets the inner optimiser change the handles, takes the change of each as the wished update, programs the devices
    with it, and sets the handles to what the devices then hold. There are no latent weights in floating point: what
    rounding leaves over is lost, but for a programmer that rounds at random.

    It is a `torch.optim.Optimizer`: its parameter groups and its state are those of the inner one, which schedulers change
    and state dicts hold.

    Args:
        optimizer: The inner optimiser, with the handles (`layer.weight`) among its parameters.
        model: The model, or layers, whose device layers it trains; layers without a gradient are left alone.
        programmer: For all layers; each layer's own if omitted.

    Attributes:
        inner: The inner optimiser.
        layers: The device layers by name.
        pulses: Pulses of the last step over all devices.

    Raises:
        ConfigError: no device layer among the optimiser's parameters; an optimiser that evaluates the loss many times a
            step; and by `step`, a gradient or an update that is NaN or infinite: then no device is touched, and in the
            case of the gradient nothing at all.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        model: nn.Module | Iterable[nn.Module],
        programmer: Programmer | WriteVerify | None = None,
    ) -> None:
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ConfigError("LBFGS tries weights within a step, which devices would have to be programmed with; use another.")
        self.inner = optimizer
        self.programmer = programmer
        self.pulses = 0
        held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        self.layers = {name: layer for name, layer in _device_layers(model).items() if id(layer.weight) in held}
        if not self.layers:
            raise ConfigError(
                "no handle of a device layer is among the optimiser's parameters; build it from model.parameters() after "
                "the device layers were put in."
            )
        self._ready = False
        super().__init__(optimizer.param_groups, optimizer.defaults)
        self._ready = True
        self._share()

    def _share(self) -> None:
        self.param_groups, self.state = self.inner.param_groups, self.inner.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step, see the class.

        Args:
            closure: Computes the loss and its gradients.

        Returns:
            The loss that the closure gave.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            self._step()
        return loss

    def _step(self) -> None:
        self._check_gradients()
        moving = {name: layer for name, layer in self.layers.items() if layer.weight.grad is not None}
        before = [layer.weight.clone() for layer in moving.values()]
        self.inner.step()
        try:
            # All updates are looked at before the first device is touched.
            plans = [self._plan(name, layer, old) for (name, layer), old in zip(moving.items(), before, strict=True)]
        except BaseException:
            for layer, old in zip(moving.values(), before, strict=True):
                layer.weight.copy_(old)
            raise
        self.pulses = 0
        for layer, (programmer, numbers) in zip(moving.values(), plans, strict=True):
            if isinstance(programmer, WriteVerify):
                self.pulses += programmer.write(layer.weights, numbers).pulses
            else:
                self.pulses += layer.weights._give_counts(numbers, programmer)
            layer.sync()

    def _plan(self, name: str, layer: DeviceLayer, old: Tensor) -> tuple[Programmer | WriteVerify, Tensor]:
        """The programmer of a layer, with the pulses, or with the target where it is a closed loop."""
        programmer = self.programmer or layer.programmer
        label = f"the update of {name}.weight" if name else "the update of weight"
        if isinstance(programmer, WriteVerify):
            layer.weights.check(layer.weight, label)
            return programmer, layer.weight.clone()
        # The handle is set anew after programming: until then its memory holds the update.
        return programmer, layer.weights.counts(layer.weight.sub_(old), programmer, label)

    def _check_gradients(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is not None and not bool(_largest(gradient) < math.inf):
                    raise ConfigError(
                        f"the gradient of {self._name(parameter)} holds {int((~torch.isfinite(gradient)).sum())} values that "
                        "are NaN or infinite; nothing was stepped. Look at the loss, or clip gradients."
                    )

    def _name(self, parameter: Tensor) -> str:
        for name, layer in self.layers.items():
            if parameter is layer.weight:
                return f"{name}.weight" if name else "weight"
        return f"a parameter of shape {tuple(parameter.shape)}"

    def __getstate__(self) -> dict[str, Any]:
        # Torch keeps three attributes for a copy. A `step` that a scheduler has wrapped is none of them, and cannot be copied.
        own = ("defaults", "state", "param_groups", "inner", "layers", "programmer", "pulses", "_ready")
        return {name: self.__dict__[name] for name in own}

    # --- the inner optimiser's own -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """That of the inner optimiser; the devices are in the state dict of the model."""
        return self.inner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` gave."""
        self.inner.load_state_dict(state_dict)
        self._share()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters to the inner optimiser."""
        if self._ready:
            self.inner.add_param_group(param_group)
        else:
            super().add_param_group(param_group)  # while torch's constructor reads the groups that are there


def _device_layers(model: nn.Module | Iterable[nn.Module]) -> dict[str, DeviceLayer]:
    roots = [("", model)] if isinstance(model, nn.Module) else [(f"layers[{i}]", root) for i, root in enumerate(model)]
    found = {}
    for prefix, root in roots:
        for name, module in root.named_modules(prefix=prefix):
            if isinstance(module, DeviceLayer):
                found[name] = module
    return found
