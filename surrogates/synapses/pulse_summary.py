"""`pulse_summary`: a description of the recordings of a memory device, with the noise of their steps, before any fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...contracts.synapse import RESET, SET
from ...traces.trace import Trace, TraceSet
from ...typing import Array
from ...units import readable
from .population import MIN_DEVICES
from .pulse_data import PulseData, pulse_data

#: Number of increments on either side whose mean estimates the drift.
_HALF_WINDOW = 25


class Increments(NamedTuple):
    """Moments of the changes from read to read under single pulses of one polarity, in the unit of the scale.

    Attributes:
        number: Number of increments.
        mean: Mean, including the drift.
        sd: Standard deviation about the local mean.
        correlation: Correlation of neighbours: -1/2 for read noise alone, 0 for accumulating noise alone.
        read: Standard deviation of read noise by moments, sqrt(-cov); zero if neighbours are not anticorrelated.
        accumulating: Standard deviation of the noise that a pulse adds, sqrt(var + 2 cov); zero if read noise explains all.
    """

    number: int
    mean: float
    sd: float
    correlation: float
    read: float
    accumulating: float


def increments(data: PulseData, polarity: str) -> Increments | None:
    """Return the moments of the increments under single pulses of one polarity; None for fewer than 20 neighbouring pairs.

        var d = q^2 + 2 r^2,    cov(d, d') = -r^2     read noise r, accumulating noise q

    Increments beyond six standard deviations (by the median) are clipped; otherwise telegraph noise or a jump would dominate.
    """
    sign = 1 if polarity == SET else -1
    good = data.seen[1:] & data.seen[:-1] & (data.pulses == 1) & (data.polarity == sign)
    step = np.where(good, np.diff(data.reads, axis=0), 0.0)
    neighbours = _window_sum(good.astype(float))
    residual = np.where(good, step - _window_sum(step) / np.maximum(neighbours, 1), 0.0)
    # The local mean contains part of the noise, less for read noise, whose increments cancel in a sum. It is not corrected.
    both = good[1:] & good[:-1]
    if both.sum() < 20:
        return None
    bound = 6 * np.median(np.abs(residual[good])) / 0.6745
    residual = residual.clip(-bound, bound) if bound > 0 else residual
    variance = float((residual[good] ** 2).mean())
    covariance = float((residual[1:] * residual[:-1])[both].mean())
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
    """Return the sum over each value and its neighbours on either side, along the first axis."""
    total = np.cumsum(np.pad(values, ((_HALF_WINDOW + 1, _HALF_WINDOW), (0, 0))), axis=0)
    return np.asarray(total[2 * _HALF_WINDOW + 1 :] - total[: -2 * _HALF_WINDOW - 1])


def pulse_summary(traces: TraceSet | Sequence[Trace] | Trace) -> str:
    """Return a few lines of text about recordings: devices, pulses, ranges, and the noise of the steps by moments.

    Raises:
        TraceError: recordings that are not pulse by pulse, or values that are not finite.

    Example:
        >>> import torch, spinode
        >>> from spinode.datasets import pulse_traces
        >>> device = spinode.surrogates.zoo.open_synapse("soft-bounds")
        >>> traces = pulse_traces(device, torch.ones(50), generator=torch.Generator().manual_seed(0))
        >>> print(pulse_summary(traces).splitlines()[0])
        recordings   1 of 1 device, 51 .. 51 reads each, 51 in total
    """
    recordings = traces if isinstance(traces, TraceSet) else TraceSet(traces)
    data = pulse_data(recordings)
    lengths = data.seen.sum(0)
    conductance = np.concatenate([trace.output["conductance"] for trace in recordings])
    lines = [
        f"recordings   {len(recordings)} of {data.devices} device{'s' if data.devices > 1 else ''}, "
        f"{int(lengths.min())} .. {int(lengths.max())} reads each, {int(lengths.sum())} in total",
        f"conductance  {readable(float(conductance.min()), data.unit)} .. {readable(float(conductance.max()), data.unit)}; "
        f"default scale of the fit: {'logarithmic' if data.scale.kind == 'log' else 'linear'}",
    ]
    for name in (SET, RESET):
        lines += _polarity_lines(data, name)
    for name, u in (("voltage", "V"), ("width", "s")):
        if name in data.inputs.ranges:
            low, high = data.inputs.ranges[name]
            varies = "varies" if name in data.inputs.names else "does not vary: its effect cannot be fitted"
            lines.append(f"{name:12} {readable(low, u)} .. {readable(high, u)}; it {varies}")
    if (data.pause > 0).any():
        lines.append(f"pauses       {int((data.pause > 0).sum())}, up to {readable(float(data.pause.max()), 's')}")
    for sentence in not_known(data.devices):
        lines.append(f"not known    {sentence}")
    return "\n".join(lines)


def _polarity_lines(data: PulseData, polarity: str) -> list[str]:
    """Return the lines about the pulses of one polarity."""
    sign, index = (1, 0) if polarity == SET else (-1, 1)
    pulses = float(data.pulses[data.polarity == sign].sum())
    if not pulses:
        return [f"{polarity:12} no pulse"]
    usual = "".join(
        f", usually {readable(data.inputs.usual[name][index], unit)}"
        for name, unit in (("voltage", "V"), ("width", "s"))
        if name in data.inputs.usual
    )
    head = f"{polarity:12} {pulses:.0f} pulse{'' if pulses == 1 else 's'}{usual}"
    noise, indent = increments(data, polarity), " " * 13
    if noise is None:
        return [head, f"{indent}too few single pulses in a row for moments of the noise"]
    if noise.mean == 0 and noise.sd == 0:
        return [head, f"{indent}the reads do not change under single pulses"]
    relative, unit = (" (relative)", "") if data.scale.kind == "log" else ("", data.unit)
    return [
        head,
        f"{indent}mean step {readable(noise.mean, unit)}{relative}, standard deviation {readable(noise.sd, unit)}, correlation "
        f"of neighbours {noise.correlation:+.2f}",
        f"{indent}by moments: read noise {readable(noise.read, unit)}, accumulating noise "
        f"{readable(noise.accumulating, unit)} per pulse",
    ]


def not_known(devices: int) -> list[str]:
    """Return sentences about what recordings of this number of devices do not determine."""
    if devices == 1:
        return ["one device does not determine the spread from device to device, only that from cycle to cycle"]
    if devices < MIN_DEVICES:
        return [f"{devices} devices are too few for the spread from device to device; {MIN_DEVICES} or more are needed"]
    return []
