"""What a state dict must hold before weights in devices take it: all is looked at, then all is copied."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError

if TYPE_CHECKING:
    from .weights import DeviceWeights

_EXTRA = "_extra_state"
_NUMBERS = ("w_max", "scale", "reference")


def check_loaded(weights: DeviceWeights, stored: Mapping[str, Any], prefix: str) -> None:
    """Raise a `ConfigError` if entries of a state dict are not those of such weights; nothing is changed.

    Dicts of before kind and synapse were stored are accepted without these two.

    Args:
        weights: The weights that shall take them.
        stored: The state dict.
        prefix: What the names of the weights' entries begin with.
    """
    label = prefix.removesuffix(".") or "the weights"
    found = {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
    inside = _synapse_entries(weights)
    own = {**weights._buffers, **inside, _EXTRA: None}
    if _EXTRA in found:  # first: of another kind of device all the rest is different too
        _check_extra(weights, found[_EXTRA], label)
    if set(found) != set(own):
        raise ConfigError(
            f"the state dict has {_names(found)} for {label}; expected {_names(own)}. Build the layer with the synapse and "
            "kind that were saved; weights of floating point are written by to_devices or layer.weights.write(target)."
        )
    for name, value in weights._buffers.items():
        _check_tensor(f"{label}.{name}", found[name], value)
    for name, value in inside.items():
        _check_fitted(f"{label}.{name}", found[name], value)


def _synapse_entries(weights: DeviceWeights) -> dict[str, Tensor]:
    """What a fitted synapse adds to the state dict of weights: its network and its population."""
    if not isinstance(weights.synapse, nn.Module):
        return {}
    return {f"synapse.{name}": value for name, value in weights.synapse.state_dict(keep_vars=True).items()}


def _check_fitted(name: str, stored: Any, own: Tensor) -> None:
    """Numbers of the fit must be those that the weights have, but for those that are being trained.

    Settings of a surrogate, such as its range and its pulse, are not in the dict: numbers of another fit would not go with
    them, and layers may share one synapse.
    """
    _check_tensor(name, stored, own.detach())
    if not own.requires_grad and not torch.allclose(stored.to(own), own):
        raise ConfigError(
            f"{name} in the state dict is that of another fit than the synapse of the weights; build the layer with the "
            f"surrogate that was saved. {_AS_IT_WAS}"
        )


def check_entry(name: str, stored: Any, own: Tensor) -> None:
    """Raise a `ConfigError` if an entry is no tensor of the shape of the layer's own."""
    if not isinstance(stored, Tensor) or stored.shape != own.shape:
        came = tuple(stored.shape) if isinstance(stored, Tensor) else type(stored).__name__
        raise ConfigError(f"{name} is {came} in the state dict; expected a tensor of shape {tuple(own.shape)}. {_AS_IT_WAS}")


_AS_IT_WAS = "The layer is as it was."


def _check_tensor(name: str, stored: Any, own: Tensor | None) -> None:
    assert own is not None
    check_entry(name, stored, own)
    # A device may have a bound at infinity; then the layer's own fresh devices have it as well.
    bad = stored.isnan() if bool(own.isinf().any()) else ~stored.isfinite()
    if bool(bad.any()):
        raise ConfigError(
            f"{int(bad.sum())} of {bad.numel()} values of {name} in the state dict are NaN or infinite; load another "
            f"checkpoint. {_AS_IT_WAS}"
        )


def _check_extra(weights: DeviceWeights, extra: Any, label: str) -> None:
    keys = ("generator", *_NUMBERS, "energy")
    if not isinstance(extra, Mapping) or not all(key in extra for key in keys):
        raise ConfigError(f"{_EXTRA} of {label} in the state dict is not one of DeviceWeights: it needs {', '.join(keys)}.")
    for name, own in weights.identity.items():
        if extra.get(name, own) != own:
            raise ConfigError(
                f"{name} of {label} is {extra[name]!r} in the state dict and {own!r} in the layer; build the layer as it was "
                f"saved. {_AS_IT_WAS}"
            )
    for name in _NUMBERS:
        value = extra[name]
        if not isinstance(value, float | int) or not math.isfinite(value):
            raise ConfigError(f"{name} of {label} is {value!r} in the state dict; expected a finite number. {_AS_IT_WAS}")
        # Programmers know the step of the layer, which goes with its scale.
        if name != "reference" and not math.isclose(value, getattr(weights, name), rel_tol=1e-6):
            raise ConfigError(
                f"{name} of {label} is {value:g} in the state dict and {getattr(weights, name):g} in the layer; build it with "
                f"w_max={extra['w_max']:g} and the same synapse. {_AS_IT_WAS}"
            )
    try:
        torch.Generator(weights._generator.device).set_state(extra["generator"].cpu())
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ConfigError(f"the generator of {label} in the state dict cannot be used: {error}. {_AS_IT_WAS}") from error


def _names(entries: Mapping[str, Any]) -> str:
    return ", ".join(sorted(entries)) or "nothing"
