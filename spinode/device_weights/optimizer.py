"""`DeviceOptimizer`: any optimiser of torch, its steps applied to devices as pulses."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError, DeviceWarning
from ..validation import flag
from .layer import DeviceWeightLayer, device_layers
from .magnitudes import max_magnitude
from .programming import Programmer, ProportionalProgrammer, StochasticProgrammer, check_programmer
from .write_verify import WriteVerify

#: Number of first steps without a pulse after which there is a warning.
MAX_SILENT_STEPS = 20


class DeviceOptimizer(torch.optim.Optimizer):
    """An optimiser of torch whose steps change weights in devices by pulses; other parameters are stepped as usual.

    A step lets the inner optimiser change the handles, takes the change of each as the requested update, programs the devices
    with it, and sets the handles to the weights that the devices then have. There are no latent weights in floating point:
    the remainder of rounding is lost, unless the programmer rounds stochastically.

    All updates are checked before the first device is programmed. A step that is refused changes no device and no parameter.
    If a gradient or a setting was invalid, the state of the inner optimiser is unchanged as well. If an update was invalid
    although gradients and settings were finite, its moments have been updated already, and the optimiser starts again
    without moments: keeping a copy of them at each step would cost more.

    If the updates of a layer are rounded to no pulse in each of its first 20 steps, there is one `DeviceWarning`; later, small
    updates are normal for a trained layer.

    Parameter groups and state are those of the inner optimiser, so schedulers and state dicts work as usual.

    Args:
        optimizer: The inner optimiser, with the handles (`layer.weight`) among its parameters.
        model: The model, or layers, whose device layers it trains; layers without a gradient are not changed.
        programmer: Programmer for all layers; each layer's own if omitted.
        latent: True to let the inner optimiser change the latent weights of "sign" layers in place of their signs, as rules of
            hidden weights need; an update is then a change of the latent weight, stochastically rounded to pulses unless
            `programmer` is given.

    Attributes:
        inner: The inner optimiser.
        layers: The device layers by name.
        pulses: Pulses of the last step over all devices.

    Raises:
        ConfigError: not an optimiser, or no device layer among its parameters; an optimiser that evaluates the loss several
            times per step. By `step`: a gradient, a setting such as the learning rate, or an update that is NaN, infinite
            or beyond a million pulses, see above.

    Example:
        >>> from spinode.surrogates import DeviceLinear, IdealSynapse
        >>> layer = DeviceLinear(2, 1, IdealSynapse(), seed=0)
        >>> optimizer = DeviceOptimizer(torch.optim.SGD(layer.parameters(), lr=0.1), layer)
        >>> layer(torch.ones(1, 2)).sum().backward()
        >>> optimizer.step()
        >>> optimizer.pulses > 0
        True
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        model: nn.Module | Iterable[nn.Module],
        programmer: Programmer | WriteVerify | None = None,
        *,
        latent: bool = False,
    ) -> None:
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ConfigError(
                "LBFGS tries several weights within a step, and each would have to be programmed into the devices; use another "
                "optimiser, such as torch.optim.Adam."
            )
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise ConfigError(
                f"optimizer is a {type(optimizer).__name__}; expected an optimiser, such as "
                "torch.optim.Adam(model.parameters())."
            )
        check_programmer(programmer)
        self.inner = optimizer
        self.programmer = programmer
        self.latent = flag("latent", latent)
        self.pulses = 0
        trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        self.layers = {name: layer for name, layer in device_layers(model).items() if id(layer.weight) in trained}
        if not self.layers:
            raise ConfigError(
                "no handle of a device layer is among the optimiser's parameters; build it from model.parameters() after "
                "the device layers were put in."
            )
        self._silent_steps = dict.fromkeys(self.layers, 0)  # of layers that had no pulse yet
        self._warned = False
        self._ready = False
        super().__init__(optimizer.param_groups, optimizer.defaults)
        self._ready = True
        self._share()

    def _share(self) -> None:
        self.param_groups, self.state = self.inner.param_groups, self.inner.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Perform one step, see the class.

        Args:
            closure: Computes the loss and its gradients.

        Returns:
            The loss that the closure returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            self._check_settings()
            self._check_gradients()
            planned = self._planned()
            self.pulses = 0
            for layer, program in planned:
                self.pulses += program()
                layer.sync()
        return loss

    def _planned(self) -> list[tuple[DeviceWeightLayer, Callable[[], int]]]:
        """Step the inner optimiser; return for each device layer a function that programs it, after checking all updates."""
        layers = {name: layer for name, layer in self.layers.items() if layer.weight.grad is not None}
        for layer in layers.values():
            if self._is_latent(layer):
                layer.weight.copy_(layer.weights.latent(noisy=False))
        before = [(parameter, parameter.clone()) for parameter in self._stepped()]
        old = {id(parameter): value for parameter, value in before}
        handles = {id(layer.weight) for layer in layers.values()}
        try:
            self.inner.step()
            plans = [(layer, self._plan(name, layer, old[id(layer.weight)])) for name, layer in layers.items()]
            for parameter, _ in before:
                if id(parameter) not in handles:
                    self._check_update(parameter)
        except BaseException:
            for parameter, value in before:
                parameter.copy_(value)
            for layer in layers.values():
                if self._is_latent(layer):
                    layer.sync()
            self._reset_state()
            raise
        return plans

    def _plan(self, name: str, layer: DeviceWeightLayer, old: Tensor) -> Callable[[], int]:
        """Return a function that programs a layer with the update of its handle and returns the number of pulses."""
        programmer = self.programmer or (
            StochasticProgrammer(layer.weights.step) if self._is_latent(layer) else layer.programmer
        )
        label = f"the update of {name}.weight" if name else "the update of weight"
        if isinstance(programmer, WriteVerify):
            layer.weights.check(layer.weight, label)
            target = layer.weight.clone()
            return lambda: programmer.write(layer.weights, target).pulses
        # The handle is set again after programming: until then its memory contains the update.
        counts = layer.weights.counts(layer.weight.sub_(old), programmer, label)

        def apply() -> int:
            pulses = layer.weights.apply_counts(counts, programmer)
            self._watch(name, layer, programmer, pulses)
            return pulses

        return apply

    def _is_latent(self, layer: DeviceWeightLayer) -> bool:
        return self.latent and layer.weights.kind == "sign"

    def _watch(self, name: str, layer: DeviceWeightLayer, programmer: Programmer, pulses: int) -> None:
        """Count the first steps in which rounding leaves no pulse; the handle still contains the update."""
        if pulses:
            self._silent_steps.pop(name, None)  # its learning rate is of the right order
        if name not in self._silent_steps or self._warned or not isinstance(programmer, ProportionalProgrammer):
            return
        largest = float(max_magnitude(layer.weight)) * programmer.pulses_per_unit
        self._silent_steps[name] += largest > 0  # a step without a gradient does not count
        if self._silent_steps[name] >= MAX_SILENT_STEPS:
            self._warned = True
            warnings.warn(
                f"the updates of {self._name(layer.weight)} are rounded to no pulse: at most {largest:.2g} pulses in the last "
                f"of {MAX_SILENT_STEPS} steps; raise its learning rate (counted in pulses if pulses_per_unit is 1) or choose "
                "StochasticProgrammer.",
                DeviceWarning,
                stacklevel=5,  # the caller of `step`, behind torch's own wrapper
            )

    def _stepped(self) -> list[Tensor]:
        """Return the parameters that the inner optimiser changes: those that have a gradient."""
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        return [parameter for parameter in parameters if parameter.grad is not None]

    def _check_update(self, parameter: Tensor) -> None:
        if parameter.numel() and not bool(max_magnitude(parameter) < math.inf):
            raise ConfigError(
                f"the update of {self._name(parameter)} is NaN or infinite; no device was changed. Lower the learning rate."
            )

    def _reset_state(self) -> None:
        """Reset the inner optimiser to its initial state: the moments of a refused step are invalid."""
        self.inner.state.clear()
        if isinstance(self.inner, torch.optim.Adagrad):  # the one of torch that creates its state before the first step
            for group in self.param_groups:
                for parameter in group["params"]:
                    start = torch.full_like(parameter, group["initial_accumulator_value"])
                    self.inner.state[parameter] = {"step": torch.tensor(0.0), "sum": start}

    def _check_settings(self) -> None:
        for index, group in enumerate(self.param_groups):
            for name, value in group.items():
                if name == "params":
                    continue
                for item in value if isinstance(value, tuple | list) else (value,):
                    # Infinity is refused for the learning rate alone: it is the default of some bounds.
                    single = isinstance(item, float | int) or (isinstance(item, Tensor) and item.numel() == 1)
                    setting = float(item) if single else 0.0
                    if math.isnan(setting) or (name == "lr" and math.isinf(setting)):
                        raise ConfigError(
                            f"{name} of parameter group {index} is {value}; expected a finite number. No parameter was "
                            "changed; check the scheduler."
                        )

    def _check_gradients(self) -> None:
        for parameter in self._stepped():
            gradient = parameter.grad
            if gradient is not None and gradient.numel() and not bool(max_magnitude(gradient) < math.inf):
                raise ConfigError(
                    f"the gradient of {self._name(parameter)} contains {int((~torch.isfinite(gradient)).sum())} values that "
                    "are NaN or infinite; no parameter was changed. Check the loss, or clip gradients."
                )

    def _name(self, parameter: Tensor) -> str:
        for name, layer in self.layers.items():
            for own in ("weight", "bias"):
                if parameter is getattr(layer, own):
                    return f"{name}.{own}" if name else own
        return f"a parameter of shape {tuple(parameter.shape)}"

    def __getstate__(self) -> dict[str, Any]:
        # Torch copies three attributes only. A `step` that a scheduler has wrapped cannot be copied, so it is left out.
        own = (
            *("defaults", "state", "param_groups", "inner", "layers", "programmer", "latent", "pulses"),
            *("_ready", "_silent_steps", "_warned"),
        )
        return {name: self.__dict__[name] for name in own}

    # --- state and groups of the inner optimiser ---------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the state dict of the inner optimiser; the devices are in the state dict of the model."""
        return self.inner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the result of `state_dict`."""
        self.inner.load_state_dict(state_dict)
        self._share()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters to the inner optimiser."""
        if self._ready:
            self.inner.add_param_group(param_group)
        else:
            super().add_param_group(param_group)  # torch's constructor is reading the existing groups
