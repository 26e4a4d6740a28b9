"""`score_steps`: the steps of recordings compared with those of virtual devices, at the pulses of use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...contracts.synapse import RESET, SET, Pulses, State
from ...random import seeded_generator
from ...traces.trace import Trace, TraceSet
from ...typing import Array
from ...units import readable
from .kalman import Mask
from .model import SynapseSurrogate
from .pulse_data import PulseData, pulse_data

Indices = npt.NDArray[np.int64]

#: Parts of the range in which steps are averaged.
STATE_CELLS = 3
#: Share of the steps, nearest to the pulse of use, that count where voltage or width vary.
NEAREST = 0.25
#: Smallest number of steps of a cell, and of devices for their spread.
MIN_STEPS, MIN_DEVICES = 30, 10
#: Reads of each recording that are compared.
MAX_READS = 400


@dataclass(frozen=True)
class StepCell:
    """Steps of one polarity from one part of the range, per pulse and in the unit of the conductance.

    Attributes:
        polarity: "SET" or "RESET".
        low: Lower end of the part of the range.
        high: Upper end.
        number: Number of recorded steps.
        mean: Mean step: recorded, and of virtual devices.
        deviation: Standard deviation of the steps, likewise; includes the noise of both reads.
        wrong_way: Share of steps against the polarity, likewise.
        error: Standard error of the difference of the means.
    """

    polarity: str
    low: float
    high: float
    number: int
    mean: tuple[float, float]
    deviation: tuple[float, float]
    wrong_way: tuple[float, float]
    error: float


@dataclass(frozen=True)
class StepScores:
    """Steps of recordings beside those of virtual devices under the same pulses, the nearest to the pulse of use.

    Pairs are (recorded, virtual). Sizes of devices are relative to the typical device under the same pulses.

    Attributes:
        cells: By polarity and part of the range.
        drift: Mean of SET plus RESET step over the parts of the range that both have, over the mean size of both.
        spread: Standard deviation over devices of the size of their steps, by polarity; empty for fewer than ten devices.
        correlation: Correlation over devices of the sizes of SET and RESET; NaN if unknown.
        devices: Number of devices that were compared.
    """

    cells: tuple[StepCell, ...] = ()
    drift: tuple[float, float] = (math.nan, math.nan)
    spread: dict[str, tuple[float, float]] = field(default_factory=dict)
    correlation: tuple[float, float] = (math.nan, math.nan)
    devices: int = 0

    def rows(self, unit: str) -> list[tuple[str, str]]:
        """Return each cell as two texts: its polarity and part of the range, and recorded / virtual statistics."""
        rows = []
        for cell in self.cells:
            part = f"{readable(cell.low, unit)} .. {readable(cell.high, unit)}"
            mean, deviation = (" / ".join(readable(each, unit) for each in pair) for pair in (cell.mean, cell.deviation))
            share = " / ".join(f"{100 * each:.1f}" for each in cell.wrong_way)
            text = f"mean {mean}, standard deviation {deviation}, against the polarity {share} %"
            rows.append((f"{cell.polarity} from {part}, {cell.number} steps", text))
        return rows

    def lines(self, unit: str) -> list[str]:
        """Return a few lines of text."""
        lines = [f"{name}: {text}" for name, text in self.rows(unit)]
        return [*lines, *(f"{name}: {text}" for name, text in self.whole())]

    def whole(self) -> list[tuple[str, str]]:
        """Return drift, spread and correlation as two texts each: the name, and recorded / virtual."""
        rows = [("SET plus RESET, relative to the size of both", self.drift)]
        rows += [(f"spread of {name} over devices", pair) for name, pair in self.spread.items()]
        rows += [("correlation of SET and RESET over devices", self.correlation)]
        texts = [" / ".join("not known" if math.isnan(each) else f"{each:.2f}" for each in pair) for _, pair in rows]
        return [(name, text) for (name, _), text in zip(rows, texts, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain JSON for a model card; what is not known is None."""
        return {
            "cells": [asdict(cell) for cell in self.cells],
            "drift": _known(self.drift),
            "spread": {name: list(pair) for name, pair in self.spread.items()},
            "correlation": _known(self.correlation),
            "devices": self.devices,
        }


def _known(pair: tuple[float, float]) -> list[float | None]:
    return [None if math.isnan(each) else each for each in pair]


def score_steps(surrogate: SynapseSurrogate, traces: TraceSet | Sequence[Trace] | Trace, *, seed: int = 0) -> StepScores:
    """Compare recorded steps with those of virtual devices that begin at the same reads and receive the same pulses.

    Both are treated alike: steps are differences of noisy reads, in the same parts of the range.

    Args:
        surrogate: The model.
        traces: Recordings, preferably some that the fit has not used.
        seed: Seed of the virtual devices and their noise.

    Raises:
        TraceError: recordings that are not pulse by pulse, or lack a voltage or width that the surrogate needs.

    Example:
        >>> import torch, spinode
        >>> from spinode.surrogates import zoo
        >>> device = zoo.open_synapse("soft-bounds")
        >>> pulses = torch.cat([torch.ones(60), -torch.ones(60)])
        >>> traces = spinode.datasets.pulse_traces(device, pulses, devices=5, generator=torch.Generator().manual_seed(0))
        >>> {cell.polarity for cell in score_steps(device, traces).cells} == {"SET", "RESET"}
        True
    """
    data = pulse_data(traces, scale=surrogate.scale, inputs=surrogate.inputs)
    data = data.first_reads(np.minimum(data.seen.sum(0), MAX_READS))
    used = data.seen[1:] & data.seen[:-1] & (data.pulses > 0) & _near(surrogate, data)
    generator = seeded_generator(seed)
    reads, typical = _virtual(surrogate, data, generator)
    edges = _edges(surrogate, data, used)
    sides = [_steps(surrogate, data, data.reads, typical[0], used), _steps(surrogate, data, reads, typical[1], used)]
    cells = [cell for name in data.polarities for pair in pairwise(edges) if (cell := _cell(sides, name, pair)) is not None]
    sizes = [_sizes(side, data) for side in sides]
    return StepScores(
        tuple(cells),
        _drift(cells),
        {name: (sizes[0].spread[name], sizes[1].spread[name]) for name in sizes[0].spread if name in sizes[1].spread},
        (sizes[0].correlation, sizes[1].correlation),
        data.devices,
    )


@dataclass(frozen=True)
class _Steps:
    """Steps of one side in one dimension: start and step per pulse [unit], that of the typical device, polarity, group."""

    start: Array
    step: Array
    typical: Array
    sign: Array
    group: Indices


@dataclass(frozen=True)
class _Sizes:
    spread: dict[str, float]
    correlation: float


def _near(surrogate: SynapseSurrogate, data: PulseData) -> Mask:
    """Return True for the steps whose voltage and width are nearest to the pulse of use."""
    near = np.ones(data.pulses.shape, dtype=bool)
    if not data.inputs.names:
        return near
    distance = np.zeros(data.pulses.shape)
    for i, name in enumerate(data.inputs.names):
        if name == "voltage":
            assert surrogate.voltage is not None
            usual = np.where(data.polarity < 0, surrogate.voltage[1], surrogate.voltage[0])
        else:
            assert surrogate.width is not None
            usual = np.full(data.pulses.shape, math.log(surrogate.width))
        distance += (data.extra[i] - (usual - data.inputs.mean[i]) / data.inputs.spread[i]) ** 2
    for sign in (-1.0, 1.0):
        chosen = (data.polarity == sign) & data.seen[1:] & data.seen[:-1]
        if chosen.any():
            near &= (data.polarity != sign) | (distance <= np.quantile(distance[chosen], NEAREST))
    return near


def _virtual(surrogate: SynapseSurrogate, data: PulseData, generator: torch.Generator) -> tuple[Array, tuple[Array, Array]]:
    """Return reads of virtual devices under the same pulses from the same first reads, and steps of the typical device.

    Returns:
        States, shape (reads, lanes), and the changes by which the typical device would move from the recorded and from the
        virtual reads, each of shape (reads - 1, lanes).
    """
    first = torch.from_numpy(surrogate.conductance(torch.from_numpy(data.reads[0])).numpy())
    state = surrogate.at(first, generator=generator)
    if surrogate.with_spread and surrogate.of_devices and surrogate.population is not None:
        near = surrogate.population.given(torch.from_numpy(data.reads[0]), generator)
        state["latents"] = near[_first_lanes(data)][data.group].to(state["latents"])
    typical = _typical(surrogate, state)
    reads, steps = [data.reads[0]], ([], [])  # type: ignore[var-annotated]
    with torch.no_grad():
        for k in range(len(data.pulses)):
            count, extra = _pulses(surrogate, data, k)
            for side, values in zip(steps, (data.reads[k], reads[-1]), strict=True):
                side.append(_typical_step(surrogate, typical, values, count, extra))
            state = surrogate.program(state, Pulses(count, **extra), generator=generator)
            reads.append(surrogate._dimensionless(surrogate.read(state, generator=generator)).numpy())
    return np.stack(reads), (np.stack(steps[0]), np.stack(steps[1]))


def _first_lanes(data: PulseData) -> Indices:
    """Return the first lane of each group."""
    return np.asarray(np.unique(data.group, return_index=True)[1], np.int64)


def _typical(surrogate: SynapseSurrogate, state: State) -> State:
    latents = torch.zeros_like(state["latents"])
    if surrogate.population is not None:
        latents = surrogate.population.typical[1:].expand_as(latents).clone()
    zeros: State = {name: torch.zeros_like(state[name]) for name in ("flicker", "trap") if name in state}
    return {**state, **zeros, "latents": latents}


def _typical_step(
    surrogate: SynapseSurrogate, typical: State, reads: Array, count: torch.Tensor, extra: dict[str, torch.Tensor]
) -> Array:
    x = torch.from_numpy(reads).clamp(*surrogate.state_range)
    after = surrogate.program({**typical, "state": x}, Pulses(count, **extra))["state"]
    return np.asarray((surrogate.conductance(after) - surrogate.conductance(x)).numpy())


def _pulses(surrogate: SynapseSurrogate, data: PulseData, k: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return counts, voltages and widths of one step; lanes without a pulse take the pulse of use."""
    extra = {}
    for i, name in enumerate(data.inputs.names):
        value = torch.from_numpy(data.extra[i, k] * data.inputs.spread[i] + data.inputs.mean[i])
        extra[name] = value.exp() if name == "width" else value
    return torch.from_numpy(data.pulses[k] * data.polarity[k]), extra


def _edges(surrogate: SynapseSurrogate, data: PulseData, used: Mask) -> Array:
    """Return the bounds of the parts of the range [unit]."""
    if not used.any():
        return np.zeros(0)
    x = np.quantile(data.reads[:-1][used], np.linspace(0, 1, STATE_CELLS + 1))
    return np.asarray(surrogate.conductance(torch.from_numpy(x)).numpy())


def _steps(surrogate: SynapseSurrogate, data: PulseData, reads: Array, typical: Array, used: Mask) -> _Steps:
    conductance = surrogate.conductance(torch.from_numpy(reads)).numpy()
    pulses = data.pulses[used]
    group = np.broadcast_to(data.group, used.shape)[used]
    return _Steps(
        conductance[:-1][used], np.diff(conductance, axis=0)[used] / pulses, typical[used] / pulses, data.polarity[used], group
    )


def _cell(sides: Sequence[_Steps], polarity: str, ends: tuple[float, float]) -> StepCell | None:
    sign = 1.0 if polarity == SET else -1.0
    chosen = [side.step[(side.sign == sign) & (side.start >= ends[0]) & (side.start <= ends[1])] for side in sides]
    if min(len(each) for each in chosen) < MIN_STEPS:
        return None
    a, b = chosen
    return StepCell(
        polarity, float(ends[0]), float(ends[1]), len(a), (float(a.mean()), float(b.mean())), (float(a.std()), float(b.std())),
        (float((a * sign < 0).mean()), float((b * sign < 0).mean())), float(np.sqrt(a.var() / len(a) + b.var() / len(b))),
    )  # fmt: skip


def _drift(cells: Sequence[StepCell]) -> tuple[float, float]:
    """Return the mean of SET plus RESET over the parts that have both, relative to their mean size, of both sides."""
    by_low: dict[float, dict[str, StepCell]] = {}
    for cell in cells:
        by_low.setdefault(cell.low, {})[cell.polarity] = cell
    both = [pair for pair in by_low.values() if len(pair) == 2]
    if not both:
        return math.nan, math.nan
    scale = np.mean([abs(cell.mean[0]) for pair in both for cell in pair.values()])
    sums = [float(np.mean([sum(cell.mean[side] for cell in pair.values()) for pair in both]) / scale) for side in (0, 1)]
    return sums[0], sums[1]


def _sizes(side: _Steps, data: PulseData) -> _Sizes:
    """Return the spread over devices of the size of their steps, corrected for the scatter of their estimates."""
    estimates: dict[str, tuple[Array, Array]] = {}
    groups = data.groups
    if data.devices < MIN_DEVICES:
        return _Sizes({}, math.nan)
    for name in data.polarities:
        chosen = side.sign == (1.0 if name == SET else -1.0)
        m, s, group = side.typical[chosen], side.step[chosen], side.group[chosen]
        weight, number = np.bincount(group, m * m, groups), np.bincount(group, minlength=groups)
        known = (weight > 0) & (number >= 5)
        size = np.where(known, np.bincount(group, m * s, groups) / np.where(known, weight, 1.0), np.nan)
        residual = np.where(known[group], s - size[group] * m, 0.0)
        scatter = np.bincount(group, (m * residual) ** 2, groups) / np.where(known, weight, 1.0) ** 2
        estimates[name] = size, np.where(known, scatter * number / np.maximum(number - 1, 1), np.nan)
    spread = {}
    for name, (size, scatter) in estimates.items():
        if np.isfinite(size).sum() >= MIN_DEVICES:
            spread[name] = float(np.sqrt(max(np.nanvar(size) - np.nanmean(scatter), 0.0)))
    correlation = math.nan
    if len(spread) == 2 and min(spread.values()) > 0:
        up, down = estimates[SET][0], estimates[RESET][0]
        both = np.isfinite(up) & np.isfinite(down)
        covariance = np.cov(up[both], down[both])[0, 1] if both.sum() >= MIN_DEVICES else math.nan
        correlation = float(np.clip(covariance / (spread[SET] * spread[RESET]), -1, 1))
    return _Sizes(spread, correlation)
