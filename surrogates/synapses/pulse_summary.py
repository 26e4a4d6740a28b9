"""`pulse_summary`: in words, what recordings of a memory device hold, and how noisy their steps are before any fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...contracts.synapse import RESET, SET
from ...traces.trace import Trace, TraceSet
from ...typing import Array
from ...units import readable
from .model import FEWEST
from .pulse_data import PulseData, pulse_data

#: Increments on either side whose mean is taken for the drift.
_BESIDE = 25


class Increments(NamedTuple):
    """Changes from read to read under single pulses of one polarity, less their local mean, in the unit of the scale.

    Attributes:
        number: How many there are.
        mean: Their mean, drift included.
        sd: Standard deviation about the local mean.
        correlation: Of neighbours: -1/2 for read noise alone, 0 for noise that accumulates.
        read: Deviation of read noise by moments, sqrt(-cov); zero where neighbours are not anticorrelated.
        accumulating: Deviation of the noise that a pulse adds, sqrt(var + 2 cov); zero where nothing is left for it.
    """

    number: int
    mean: float
    sd: float
    correlation: float
    read: float
    accumulating: float


def increments(data: PulseData, polarity: str) -> Increments | None:
    """Moments of the increments under single pulses of one polarity; None where there are fewer than 20 neighbours.

        var d = q^2 + 2 r^2,    cov(d, d') = -r^2     read noise r, accumulating noise q

    Increments beyond six deviations (by the median) are cut off: a trap or a jump would make up all of the variance.
    """
    sign = 1 if polarity == SET else -1
    good = data.seen[1:] & data.seen[:-1] & (data.pulses == 1) & (data.polarity == sign)
    step = np.where(good, np.diff(data.reads, axis=0), 0.0)
    around = _window_sum(good.astype(float))
    rest = np.where(good, step - _window_sum(step) / np.maximum(around, 1), 0.0)
    # The local mean takes some of the noise along; how much depends on the noise itself, and less where read noise rules,
    # whose increments cancel in a sum. It is left uncorrected.
    both = good[1:] & good[:-1]
    if both.sum() < 20:
        return None
    reach = 6 * np.median(np.abs(rest[good])) / 0.6745
    rest = rest.clip(-reach, reach) if reach > 0 else rest
    variance = float((rest[good] ** 2).mean())
    covariance = float((rest[1:] * rest[:-1])[both].mean())
    spread = data.scale.spread
    return Increments(
        int(good.sum()),
        spread * float(step[good].mean()),
        spread * float(np.sqrt(variance)),
        covariance / variance if variance > 0 else 0.0,
        spread * float(np.sqrt(max(-covariance, 0.0))),
        spread * float(np.sqrt(max(variance + 2 * min(covariance, 0.0), 0.0))),
    )


def _window_sum(values: Array) -> Array:
    """Sum over the neighbours on either side along the first axis, itself included."""
    total = np.cumsum(np.pad(values, ((_BESIDE + 1, _BESIDE), (0, 0))), axis=0)
    return np.asarray(total[2 * _BESIDE + 1 :] - total[: -2 * _BESIDE - 1])


def pulse_summary(traces: TraceSet | Sequence[Trace] | Trace) -> str:
    """What was understood of recordings, in a few lines: devices, pulses, ranges, and the noise of the steps by moments.

    Raises:
        TraceError: recordings that are not pulse by pulse, or hold values that are not finite.
    """
    recordings = traces if isinstance(traces, TraceSet) else TraceSet(traces)
    data = pulse_data(recordings)
    lengths = data.seen.sum(0)
    conductance = np.concatenate([trace.output["conductance"] for trace in recordings])
    lines = [
        f"recordings   {len(recordings)} of {data.devices} device{'s' if data.devices > 1 else ''}, "
        f"{int(lengths.min())} .. {int(lengths.max())} reads each, {int(lengths.sum())} together",
        f"conductance  {readable(float(conductance.min()), data.unit)} .. {readable(float(conductance.max()), data.unit)}; "
        f"the fit would take a {'logarithmic' if data.scale.kind == 'log' else 'linear'} scale",
    ]
    relative, unit = (" (relative)", "") if data.scale.kind == "log" else ("", data.unit)
    for name in (SET, RESET):
        pulses = float(data.pulses[data.polarity == (1 if name == SET else -1)].sum())
        if not pulses:
            lines.append(f"{name:12} no pulse")
            continue
        index = 0 if name == SET else 1
        usual = [
            f"usually {readable(v[index], u)}" for k, u in (("voltage", "V"), ("width", "s")) if (v := data.inputs.usual.get(k))
        ]
        lines.append(f"{name:12} {pulses:.0f} pulse{'' if pulses == 1 else 's'}" + "".join(f", {text}" for text in usual))
        found = increments(data, name)
        if found is None:
            lines.append("             too few single pulses in a row for moments of the noise")
            continue
        if found.mean == 0 and found.sd == 0:
            lines.append("             nothing moves: the reads stay the same under single pulses")
            continue
        lines.append(
            f"             a step is {readable(found.mean, unit)}{relative} in the mean, its deviation "
            f"{readable(found.sd, unit)}, correlation of neighbours {found.correlation:+.2f}"
        )
        lines.append(
            f"             by moments: read noise {readable(found.read, unit)}, accumulating noise "
            f"{readable(found.accumulating, unit)} a pulse"
        )
    for name, u in (("voltage", "V"), ("width", "s")):
        if name in data.inputs.ranges:
            low, high = data.inputs.ranges[name]
            varies = "varies" if name in data.inputs.names else "does not vary: its influence cannot be learned"
            lines.append(f"{name:12} {readable(low, u)} .. {readable(high, u)}; it {varies}")
    if (data.pause > 0).any():
        lines.append(f"pauses       {int((data.pause > 0).sum())}, up to {readable(float(data.pause.max()), 's')}")
    for sentence in not_known(data.devices):
        lines.append(f"not known    {sentence}")
    return "\n".join(lines)


def not_known(devices: int) -> list[str]:
    """What recordings of so many devices cannot tell."""
    if devices == 1:
        return ["one device tells nothing of the spread from device to device, only of that from cycle to cycle"]
    if devices < FEWEST:
        return [f"{devices} devices are too few for the spread from device to device; {FEWEST} or more are needed"]
    return []
