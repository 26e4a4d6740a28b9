"""Devices that never move: they are no part of a population whose steps a fit describes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...contracts.synapse import RESET, SET
from ...errors import DeviceWarning
from ...traces.trace import TraceSet
from ...typing import Array
from .pulse_data import Scale

#: Range of a device's reads over the usual one, on the scale of the fit, below which it never moves.
DEAD = 0.1

#: Fewest devices of which a usual range is known, and fewest pulses that a device has had.
MIN_DEVICES, MIN_PULSES = 5, 10

#: Reads over which the median is taken first, by which their noise is no motion.
_SMOOTH = 5

#: Quantiles of the reads between which the range lies: single outliers are no motion.
_ENDS = (0.05, 0.95)

#: Largest number of devices that a message lists.
_LISTED = 5


def without_dead_devices(recordings: TraceSet, scale: str | None = None) -> tuple[TraceSet, dict[str, Any]]:
    """Return the recordings of the devices that move, and what is known of the others.

    Args:
        recordings: Recordings of pulses with the parameter "device".
        scale: Scale of the fit, as in `pulse_data`.

    Returns:
        The recordings, and {} or {"devices": numbers of the others, "stuck_low": share of devices that is stuck in the lower
        half of the range, "stuck_high": share in its upper half}: the last two are settings of a `Crossbar`.
    """
    by_device: dict[float, list[int]] = {}
    for index, trace in enumerate(recordings):
        by_device.setdefault(trace.parameters.get("device", 0.0), []).append(index)
    if len(by_device) < MIN_DEVICES:
        return recordings, {}
    states = Scale.of(np.concatenate([trace.output["conductance"] for trace in recordings]), scale)
    reads = {d: states(np.concatenate([recordings[i].output["conductance"] for i in own])) for d, own in by_device.items()}
    pulses = {d: sum(float(recordings[i].drive[n].sum()) for i in own for n in (SET, RESET)) for d, own in by_device.items()}
    ranges = {device: float(np.diff(np.quantile(_smooth(values), _ENDS))[0]) for device, values in reads.items()}
    limit = DEAD * float(np.median(list(ranges.values())))
    dead = [device for device in by_device if pulses[device] >= MIN_PULSES and ranges[device] < limit]
    if not dead:
        return recordings, {}
    found = _shares(reads, dead)
    _warn(dead, len(by_device), found)
    moving = [trace for d, own in by_device.items() if d not in dead for trace in (recordings[i] for i in own)]
    return TraceSet(moving), found


def _smooth(values: Array) -> Array:
    return values if len(values) < _SMOOTH else np.median(np.lib.stride_tricks.sliding_window_view(values, _SMOOTH), -1)


def _shares(reads: Mapping[float, Array], dead: list[float]) -> dict[str, Any]:
    low, high = np.quantile(np.concatenate([values for device, values in reads.items() if device not in dead]), _ENDS)
    upper = sum(float(np.median(reads[device])) > 0.5 * (low + high) for device in dead)
    return {
        "devices": [float(device) for device in dead],
        "stuck_low": (len(dead) - upper) / len(reads),
        "stuck_high": upper / len(reads),
    }


def _warn(dead: list[float], count: int, found: dict[str, Any]) -> None:
    names = ", ".join(f"{device:g}" for device in dead[:_LISTED]) + (", ..." if len(dead) > _LISTED else "")
    warnings.warn(
        f"{len(dead)} of {count} devices never move (device {names}): their reads stay within {DEAD:.0%} of the usual range. "
        f"They are left out of the fit. A network with as many: Crossbar(stuck_low={found['stuck_low']:.3g}, "
        f"stuck_high={found['stuck_high']:.3g}).",
        DeviceWarning,
        stacklevel=4,
    )
