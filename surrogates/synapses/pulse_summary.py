"""`pulse_summary`: a description of the recordings of a memory device, with the noise of their steps, before any fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...contracts.synapse import RESET, SET
from ...traces.trace import Trace, TraceSet
from ...typing import Array
from ...units import readable
from .population import MIN_DEVICES
from .pulse_data import PulseData, pulse_data

Mask = npt.NDArray[np.bool_]

#: Shortest train of pulses whose own trend is removed, length of the pieces of longer ones, and lengths from which a polynomial
#: of degree one, two and three describes the trend of a piece.
_SHORTEST, _PIECE, _DEGREES = 12, 50, (12, 20, 30)


class Increments(NamedTuple):
    """Moments of the changes from read to read under single pulses of one polarity, in the unit of the scale.

    Attributes:
        number: Number of increments.
        mean: Mean, including the drift.
        sd: Standard deviation about their trend.
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
    if (good[1:] & good[:-1]).sum() < 20:
        return None
    residual = without_trend(step, good)
    bound = 6 * np.median(np.abs(residual[good])) / 0.6745
    variance, covariance = _moments(residual.clip(-bound, bound) if bound > 0 else residual, good)
    accumulating, read = _noises(variance, covariance, good)
    spread = data.scale.spread
    return Increments(
        int(good.sum()),
        spread * float(step[good].mean()),
        spread * math.sqrt(accumulating + 2 * read),
        -read / (accumulating + 2 * read) if read else covariance / variance if variance > 0 else 0.0,
        spread * math.sqrt(read),
        spread * math.sqrt(accumulating),
    )


def _moments(residual: Array, good: Mask) -> tuple[float, float]:
    """Return the mean square of the residuals that count, and the mean product of neighbours."""
    both = good[1:] & good[:-1]
    return float((residual[good] ** 2).mean()), float((residual[1:] * residual[:-1])[both].mean())


def _noises(variance: float, covariance: float, good: Mask) -> tuple[float, float]:
    """Return the variances of accumulating and of read noise that have such moments after the trend was removed.

    Removing a trend takes part of either noise with it: how much is found from the moments of simulated noise of unit variance.
    """
    generator = np.random.default_rng(0)
    expected = np.zeros((2, 2))
    draws = int(np.clip(300_000 // good.sum(), 1, 20))
    for _ in range(draws):
        added, reads = generator.standard_normal(good.shape), generator.standard_normal((len(good) + 1, good.shape[1]))
        for kind, noise in enumerate((added, np.diff(reads, axis=0))):
            expected[:, kind] += np.array(_moments(without_trend(np.where(good, noise, 0.0), good), good)) / draws
    accumulating, read = np.linalg.solve(expected, [variance, covariance])
    if read <= 0:
        return variance / float(expected[0, 0]), 0.0
    if accumulating <= 0:
        return 0.0, variance / float(expected[0, 1])
    return float(accumulating), float(read)


def without_trend(steps: Array, good: Mask) -> Array:
    """Return steps without their trend along each train of pulses, and zero where they do not count.

    A train of `_SHORTEST` or more is cut into pieces of about `_PIECE`, and a polynomial is subtracted from each piece, whose
    degree grows with its length up to three. Of shorter trains, as many as make a piece share a mean.

    Args:
        steps: Shape (steps, lanes).
        good: True for the steps that count, likewise; the others become zero.
    """
    values, counts = steps.T[good.T], good.T
    lane = np.nonzero(counts)[0]
    begins = np.flatnonzero((counts & ~np.pad(counts, ((0, 0), (1, 0)))[:, :-1])[counts])
    lengths = np.diff([*begins, len(values)])
    train = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(values)) - begins[train] if len(values) else train
    long = (lengths >= _SHORTEST)[train]
    pieces = np.maximum(np.round(lengths / _PIECE), 1)[train]
    within = (place * pieces // lengths[train]) if len(values) else place
    keys = np.stack([lane, np.where(long, train, -1), np.where(long, within, _rank(lane, ~long) // _PIECE)])
    group = np.unique(keys, axis=1, return_inverse=True)[1].reshape(-1)
    size = np.bincount(group)
    degree = np.where(np.bincount(group, long) > 0, np.searchsorted(_DEGREES, size, side="right"), 0)
    position = np.where(long, place, 0.0)
    centre = np.bincount(group, position) / np.maximum(size, 1)
    x = (position - centre[group]) / _PIECE
    basis: list[Array] = []
    for power in range(4):
        column = np.where(degree[group] >= power, x**power, 0.0)
        for earlier in basis:
            column = column - _projected(column, earlier, group)
        values = values - _projected(values, column, group)
        basis.append(column)
    result = np.zeros_like(steps)
    result.T[good.T] = values
    return result


def _projected(values: Array, basis: Array, group: npt.NDArray[Any]) -> Array:
    """Return the part of values along a basis, in each group."""
    norm = np.bincount(group, basis**2)
    return np.asarray((np.bincount(group, values * basis) / np.where(norm > 1e-12, norm, np.inf))[group] * basis)


def _rank(lane: npt.NDArray[Any], counted: Mask) -> npt.NDArray[Any]:
    """Return how many of the values before each one count, within its lane."""
    total: npt.NDArray[Any] = np.cumsum(counted) - counted
    return np.asarray(total - total[np.searchsorted(lane, lane)])


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
