"""`DeviceOptimizer`: any optimiser of torch, its steps given to devices as pulses."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ...device_weights.magnitudes import max_magnitude
from ...device_weights.programming import Programmer, ProportionalProgrammer, check_programmer
from ...device_weights.write_verify import WriteVerify
from ...errors import ConfigError, DeviceWarning
from .layers import DeviceLayer

_QUIET = 20  # first steps without a pulse that are worth a warning


class DeviceOptimizer(torch.optim.Optimizer):
    """An optimiser of torch in whose steps weights in devices move by pulses; other parameters are stepped as usual.

    A step lets the inner optimiser change the handles, takes the change of each as the wished update, programs the devices
    with it, and sets the handles to what the devices then hold. There are no latent weights in floating point: what
    rounding leaves over is lost, but for a programmer that rounds at random.

    A step that is refused moves no device and leaves all parameters as they were. If a gradient or a setting was at fault,
    the inner optimiser is as it was too; if an update was (finite gradients and settings), its moments have taken part in
    it, and it begins anew with none: keeping a copy of them for each step would cost more.

    Where the updates of a layer have rounded to no pulse in its first 20 steps there is one `DeviceWarning`; later, small
    updates are what a trained layer has.

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
        ConfigError: no optimiser, or no device layer among its parameters; an optimiser that evaluates the loss many times
            a step; and by `step`, a gradient, a setting such as the learning rate, or an update that is NaN or infinite,
            or beyond a million pulses: see above.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        model: nn.Module | Iterable[nn.Module],
        programmer: Programmer | WriteVerify | None = None,
    ) -> None:
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ConfigError("LBFGS tries weights within a step, which devices would have to be programmed with; use another.")
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise ConfigError(
                f"optimizer is a {type(optimizer).__name__}; expected an optimiser, such as "
                "torch.optim.Adam(model.parameters())."
            )
        check_programmer(programmer)
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
        self._quiet = dict.fromkeys(self.layers, 0)  # steps, of layers that had no pulse yet
        self._warned = False
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
        self._check_settings()
        self._check_gradients()
        moving = {name: layer for name, layer in self.layers.items() if layer.weight.grad is not None}
        before = [layer.weight.clone() for layer in moving.values()]
        others = [(parameter, parameter.clone()) for parameter in self._others()]
        try:
            self.inner.step()
            # All updates are looked at before the first device is touched.
            plans = [self._plan(name, layer, old) for (name, layer), old in zip(moving.items(), before, strict=True)]
            for parameter, _ in others:
                self._check_other(parameter)
        except BaseException:
            for layer, old in zip(moving.values(), before, strict=True):
                layer.weight.copy_(old)
            for parameter, old in others:
                parameter.copy_(old)
            self._forget()
            raise
        self.pulses = 0
        for (name, layer), (programmer, numbers) in zip(moving.items(), plans, strict=True):
            if isinstance(programmer, WriteVerify):
                self.pulses += programmer.write(layer.weights, numbers).pulses
            else:
                given = layer.weights.apply_counts(numbers, programmer)
                self.pulses += given
                self._watch(name, layer, programmer, given)
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

    def _watch(self, name: str, layer: DeviceLayer, programmer: Programmer, given: int) -> None:
        """Count first steps that rounding takes all pulses from; the handle still holds the update."""
        if given:
            self._quiet.pop(name, None)  # its learning rate is of the right order
        if name not in self._quiet or self._warned or not isinstance(programmer, ProportionalProgrammer):
            return
        largest = float(max_magnitude(layer.weight)) * programmer.pulses_per_unit
        self._quiet[name] += largest > 0  # no gradient, no wish
        if self._quiet[name] >= _QUIET:
            self._warned = True
            warnings.warn(
                f"the updates of {self._name(layer.weight)} round to no pulse: largest {largest:.2g} pulses in the last of "
                f"{_QUIET} steps; raise its learning rate (counted in pulses where pulses_per_unit is 1) or choose "
                "StochasticProgrammer.",
                DeviceWarning,
                stacklevel=5,  # the caller of `step`, behind torch's own wrapper
            )

    def _others(self) -> list[Tensor]:
        """Parameters that are stepped and are no handles."""
        handles = {id(layer.weight) for layer in self.layers.values()}
        given = [parameter for group in self.param_groups for parameter in group["params"]]
        return [each for each in given if each.grad is not None and id(each) not in handles]

    def _check_other(self, parameter: Tensor) -> None:
        if parameter.numel() and not bool(max_magnitude(parameter) < math.inf):
            raise ConfigError(
                f"the update of {self._name(parameter)} is NaN or infinite; no device was touched. Lower the learning rate."
            )

    def _forget(self) -> None:
        """The inner optimiser as it begins: the moments of a refused step are worth nothing."""
        self.inner.state.clear()
        if isinstance(self.inner, torch.optim.Adagrad):  # the one of torch that makes its state before the first step
            for group in self.param_groups:
                for each in group["params"]:
                    start = torch.full_like(each, group["initial_accumulator_value"])
                    self.inner.state[each] = {"step": torch.tensor(0.0), "sum": start}

    def _check_settings(self) -> None:
        for i, group in enumerate(self.param_groups):
            for name, value in group.items():
                if name == "params":
                    continue
                for number in value if isinstance(value, tuple | list) else (value,):
                    # Only the learning rate: other settings may well be infinite, such as a bound that is none.
                    single = isinstance(number, float | int) or (isinstance(number, Tensor) and number.numel() == 1)
                    number = float(number) if single else 0.0
                    if math.isnan(number) or (name == "lr" and math.isinf(number)):
                        raise ConfigError(
                            f"{name} of parameter group {i} is {value}; expected a finite number. Nothing was stepped; look "
                            "at the scheduler."
                        )

    def _check_gradients(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is not None and gradient.numel() and not bool(max_magnitude(gradient) < math.inf):
                    raise ConfigError(
                        f"the gradient of {self._name(parameter)} holds {int((~torch.isfinite(gradient)).sum())} values that "
                        "are NaN or infinite; nothing was stepped. Look at the loss, or clip gradients."
                    )

    def _name(self, parameter: Tensor) -> str:
        for name, layer in self.layers.items():
            for own in ("weight", "bias"):
                if parameter is getattr(layer, own):
                    return f"{name}.{own}" if name else own
        return f"a parameter of shape {tuple(parameter.shape)}"

    def __getstate__(self) -> dict[str, Any]:
        # Torch keeps three attributes for a copy. A `step` that a scheduler has wrapped is none of them, and cannot be copied.
        own = ("defaults", "state", "param_groups", "inner", "layers", "programmer", "pulses", "_ready", "_quiet", "_warned")
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
        if not isinstance(root, nn.Module):
            raise ConfigError(f"the model holds a {type(root).__name__}; expected an nn.Module or a list of layers.")
        for name, module in root.named_modules(prefix=prefix):
            if isinstance(module, DeviceLayer):
                found[name] = module
    return found
