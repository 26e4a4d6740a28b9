"""Check of a state dict before weights in devices load it: everything is checked first, so a refused dict changes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..contracts.synapse import Synapse
from ..errors import ConfigError
from ..validation import is_number

_EXTRA = "_extra_state"
_NUMBERS = ("w_max", "scale", "reference")


class StoredWeights(Protocol):
    """Weights whose state dict can be checked; `DeviceWeights` implements it."""

    synapse: Synapse
    w_max: float
    scale: float
    reference: float

    @property
    def stored_tensors(self) -> Mapping[str, Tensor]:
        """States and wear of the devices, by their name in the state dict."""
        ...

    @property
    def identity(self) -> Mapping[str, str]:
        """Kind of the weights, and class and unit of the synapse."""
        ...

    @property
    def device(self) -> torch.device:
        """The torch device on which the weights are stored."""
        ...


def check_loaded(weights: StoredWeights, stored: Mapping[str, Any], prefix: str) -> None:
    """Raise a `ConfigError` if the entries of a state dict do not belong to such weights; nothing is changed.

    Dicts of older versions, which stored neither kind nor synapse, are accepted.

    Args:
        weights: The weights that load the dict.
        stored: The state dict.
        prefix: Prefix of the names of the weights' entries.
    """
    label = prefix.removesuffix(".") or "the weights"
    entries = {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
    synapse_entries = _synapse_entries(weights.synapse)
    expected = {*weights.stored_tensors, *synapse_entries, _EXTRA}
    if _EXTRA in entries:  # first: for another kind of device, all other entries differ too
        _check_extra(weights, entries[_EXTRA], label)
    if set(entries) != expected:
        raise ConfigError(
            f"the state dict has {_names(entries)} for {label}; expected {_names(expected)}. Build the layer with the synapse "
            "and kind that were saved. To load floating-point weights, use to_devices or layer.weights.write(target)."
        )
    for name, value in weights.stored_tensors.items():
        _check_tensor(f"{label}.{name}", entries[name], value)
    for name, value in synapse_entries.items():
        _check_synapse_entry(f"{label}.{name}", entries[name], value)


def _synapse_entries(synapse: Synapse) -> dict[str, Tensor]:
    """Return the entries that a fitted synapse adds to the state dict: those of its network and its population."""
    if not isinstance(synapse, nn.Module):
        return {}
    return {f"synapse.{name}": value for name, value in synapse.state_dict(keep_vars=True).items()}


def _check_synapse_entry(name: str, stored: Any, own: Tensor) -> None:
    """Check that a number of the fit is that of the weights' synapse, unless it is being trained.

    Settings of a surrogate, such as its range and its pulse, are not in the dict, and layers may share one synapse: numbers of
    another fit would not match them.
    """
    _check_tensor(name, stored, own.detach())
    if not own.requires_grad and not torch.allclose(stored.to(own), own):
        raise ConfigError(
            f"{name} in the state dict is from another fit than the synapse of the weights; build the layer with the "
            f"surrogate that was saved. {_UNCHANGED}"
        )


def check_entry(name: str, stored: Any, own: Tensor) -> None:
    """Raise a `ConfigError` if an entry is not a tensor of the shape of the layer's own."""
    if not isinstance(stored, Tensor) or stored.shape != own.shape:
        got = tuple(stored.shape) if isinstance(stored, Tensor) else type(stored).__name__
        raise ConfigError(f"{name} is {got} in the state dict; expected a tensor of shape {tuple(own.shape)}. {_UNCHANGED}")


_UNCHANGED = "The layer was not changed."


def _check_tensor(name: str, stored: Any, own: Tensor) -> None:
    check_entry(name, stored, own)
    # A device may have a bound at infinity; then the layer's own fresh devices have it as well.
    bad = stored.isnan() if bool(own.isinf().any()) else ~stored.isfinite()
    if bool(bad.any()):
        raise ConfigError(
            f"{int(bad.sum())} of {bad.numel()} values of {name} in the state dict are NaN or infinite; load another "
            f"checkpoint. {_UNCHANGED}"
        )


def _check_extra(weights: StoredWeights, extra: Any, label: str) -> None:
    keys = ("generator", *_NUMBERS, "energy")
    if not isinstance(extra, Mapping) or not all(key in extra for key in keys):
        raise ConfigError(f"{_EXTRA} of {label} in the state dict is not one of DeviceWeights: it needs {', '.join(keys)}.")
    for name, own in weights.identity.items():
        if extra.get(name, own) != own:
            raise ConfigError(
                f"{name} of {label} is {extra[name]!r} in the state dict and {own!r} in the layer; build the layer as it was "
                f"saved. {_UNCHANGED}"
            )
    for name in _NUMBERS:
        value = extra[name]
        if not is_number(value) or not math.isfinite(value):
            raise ConfigError(f"{name} of {label} is {value!r} in the state dict; expected a finite number. {_UNCHANGED}")
        # Programmers know the step of the layer, which depends on its scale.
        if name != "reference" and not math.isclose(value, getattr(weights, name), rel_tol=1e-6):
            raise ConfigError(
                f"{name} of {label} is {value:g} in the state dict and {getattr(weights, name):g} in the layer; build it with "
                f"w_max={extra['w_max']:g} and the same synapse. {_UNCHANGED}"
            )
    try:
        torch.Generator(weights.device).set_state(extra["generator"].cpu())
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ConfigError(f"the generator of {label} in the state dict cannot be used: {error}. {_UNCHANGED}") from error


def _names(entries: Any) -> str:
    return ", ".join(sorted(entries)) or "nothing"
