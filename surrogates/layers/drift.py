"""`drift`: a model of device layers after a pause without pulses."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

from ...contracts.relaxation import Relaxing, retains
from ...device_weights.layer import device_layers
from ...device_weights.weights import DeviceWeights
from ...errors import ConfigError
from ...random import make_generator
from ...validation import MAX_SEED, number, seed_number

#: Longest time [s] of a drift.
MAX_SECONDS = 1e10


@torch.inference_mode(mode=False)
def drift(model: nn.Module, seconds: float, *, seed: int | None) -> nn.Module:
    """Return a copy of a model after a pause without pulses: all devices with retention have drifted for that time.

    The law is that of each device, such as x(t) = x(0) + (nu + mu x(0)) L + sqrt(s^2 L) xi, L = ln(1 + t / t0), of
    `spinode.surrogates.synapses.retention.Retention`. The time counts from the last pulse, so that a series of times is one
    call for each, on the model as it was programmed; with the same seed, each device keeps its xi. Devices without retention
    do not change. Times beyond the longest pause in the recordings are extrapolated, with a `DomainWarning`.

    Args:
        model: Any module that contains device layers or learners with weights in devices; it is not changed.
        seconds: Time [s] since the last pulse, at most 1e10 (some three centuries).
        seed: Seed of the spread; None for the mean drift.

    Returns:
        The copy. Programming it starts from its drifted devices.

    Raises:
        ConfigError: no module with weights in devices, a time that is negative or too long, or a model some of whose devices
            have drifted already and have had no pulse since.

    Example:
        >>> import torch
        >>> from spinode.surrogates import DeviceLinear, zoo
        >>> layer = DeviceLinear(3, 2, zoo.open_synapse("reram-retention"), seed=0)
        >>> later = drift(layer, 3600.0, seed=0)
        >>> torch.equal(later.weight, layer.weight), torch.equal(later.weight, later.weights.read(noisy=False))
        (False, True)
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model is a {type(model).__name__}; expected an nn.Module with weights in devices.")
    seconds = number("seconds", seconds, 0, MAX_SECONDS, unit="s")
    if seed is not None:
        seed_number("seed", seed)
    copy = deepcopy(model)
    arrays = [module for module in copy.modules() if isinstance(module, DeviceWeights)]
    if not arrays:
        raise ConfigError("the model has no weights in devices; use DeviceLinear, DeviceConv2d or to_devices(model, synapse).")
    for position, weights in enumerate(arrays):
        if not retains(weights.synapse) or seconds == 0:
            continue
        drifted = int(weights.drifted.sum())
        if drifted:
            raise ConfigError(
                f"{drifted} of {weights.wear.numel()} devices have drifted already and have had no pulse since; call drift on "
                "the model as it was programmed, with the time since then."
            )
        assert isinstance(weights.synapse, Relaxing)
        source = None if seed is None else make_generator((seed + position) % (MAX_SEED + 1))
        weights.replace_state(weights.synapse.relax(weights.state, seconds, generator=source))
        weights.rest()
    for layer in device_layers(copy).values():
        layer.sync()
    return copy
