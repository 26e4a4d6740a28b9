"""`StepProfile`: the mean step of a device as a function of its conductance, measured on the typical device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from .synapse import RESET, SET, Pulses, State, Synapse

#: Largest number of pulses of a sweep, and parts of the range after each of which it is read.
MAX_PULSES, PARTS = 8192, 64
#: A sweep ends where the step has fallen to this part of the largest.
LAST_STEP = 0.02
#: Points of the tables.
POINTS = 128
#: Part of the swept range at either end that is left out where steps are compared: they vanish at a bound.
EDGE = 0.1


@dataclass(frozen=True)
class StepProfile:
    """Magnitude of the mean step of one pulse, on an even grid of conductances.

    The typical device is swept through its range by pulses of each polarity, until its steps have fallen to a fiftieth.

    Attributes:
        conductance: Grid [unit], increasing, shape (points,); the range that the sweeps have in common.
        steps: Magnitude [unit] of the mean step for each polarity, shape (points,).

    Example:
        >>> from spinode.surrogates import IdealSynapse
        >>> profile = StepProfile.measure(IdealSynapse(step=0.01))
        >>> round(float(profile.steps["SET"].median()), 6), profile.asymmetry < 1e-6
        (0.01, True)
    """

    conductance: Tensor
    steps: Mapping[str, Tensor]

    @classmethod
    def measure(cls, synapse: Synapse) -> StepProfile:
        """Measure the profile of a synapse."""
        sweeps: dict[str, tuple[Tensor, Tensor]] = {}
        with torch.no_grad():
            for polarity in (SET, RESET):
                if polarity in synapse.polarities:
                    state = synapse.initial((1,), dtype=torch.float64)
                    if len(set(synapse.polarities)) > 1:
                        state = _sweep(synapse, state, RESET if polarity == SET else SET)[0]
                    sweeps[polarity] = _sweep(synapse, state, polarity)[1:]
        low = max(float(values.min()) for values, _ in sweeps.values())
        high = min(float(values.max()) for values, _ in sweeps.values())
        if not high > low:  # the typical device does not move
            low, high = synapse.low, synapse.high
        grid = torch.linspace(low, high, POINTS, dtype=torch.float64)
        return cls(grid, {polarity: _interpolate(grid, *sweep) for polarity, sweep in sweeps.items()})

    @classmethod
    def of(cls, synapse: Synapse) -> StepProfile:
        """Return the profile of a synapse, measured when it is first requested."""
        if synapse not in _PROFILES:
            _PROFILES[synapse] = cls.measure(synapse)
        return _PROFILES[synapse]

    def share(self, synapse: Synapse) -> None:
        """Let a synapse of the same mean response, such as one with less noise, have this profile too."""
        _PROFILES[synapse] = self

    @property
    def nonlinearity(self) -> float:
        """Relative deviation of the steps over the range, the largest of the polarities; 0 for equal steps."""
        return max(_deviation(self._inner(steps)) for steps in self.steps.values())

    @property
    def asymmetry(self) -> float:
        """Mean of |SET - RESET| / (SET + RESET) over the range, 0 .. 1; 0 for one polarity."""
        if len(self.steps) < 2:
            return 0.0
        up, down = (self._inner(self.steps[polarity]) for polarity in (SET, RESET))
        total = up + down
        return float(((up - down).abs()[total > 0] / total[total > 0]).mean()) if bool((total > 0).any()) else 0.0

    def _inner(self, steps: Tensor) -> Tensor:
        edge = round(EDGE * POINTS)
        return steps[edge:-edge]

    def compensation(self, *, linear: bool, symmetric: bool, largest: float) -> dict[str, Tensor]:
        """Return the number of pulses that stand for one, at each conductance of the grid.

        A pulse of the compensated device has the mean step of both polarities if `symmetric`, and that step averaged over the
        range if `linear`. Factors are limited to 1 / largest .. largest: where a device does not move, no number helps.
        """
        mean = torch.stack(list(self.steps.values())).mean(0)
        factors = {}
        for polarity, steps in self.steps.items():
            wanted = mean if symmetric else steps
            if linear:
                wanted = self._inner(wanted).mean().expand_as(wanted)
            tiny = float(steps.max()) * 1e-12 + 1e-300
            factors[polarity] = (wanted / steps.clamp(min=tiny)).clamp(1 / largest, largest)
        return factors

    def at(self, table: Tensor, conductance: Tensor) -> Tensor:
        """Return a table interpolated at conductances, constant beyond the grid, in their shape and type."""
        low, high = float(self.conductance[0]), float(self.conductance[-1])
        place = ((conductance - low) * ((POINTS - 1) / (high - low))).clamp(0, POINTS - 1)
        below = place.floor().clamp(max=POINTS - 2)
        values, index = table.to(conductance), below.long()
        return torch.lerp(values[index], values[index + 1], place - below)


_PROFILES: WeakKeyDictionary[Any, StepProfile] = WeakKeyDictionary()


def _sweep(synapse: Synapse, state: State, polarity: str) -> tuple[State, Tensor, Tensor]:
    """Return the state after a sweep, the conductance in the middle of its parts, and the magnitude of a step there."""
    sign = 1.0 if polarity == SET else -1.0
    read, part, pulses, largest = synapse.read(state), 1, 0, 0.0
    middles, steps = [], []
    span = (synapse.high - synapse.low) / PARTS
    while pulses < MAX_PULSES:
        state = synapse.program(state, Pulses(torch.full((1,), sign * part, dtype=torch.float64)))
        before, read = read, synapse.read(state)
        step = max(float(read - before) * sign, 0.0) / part
        middles.append((read + before) / 2)
        steps.append(step)
        largest, pulses = max(largest, step), pulses + part
        if step <= LAST_STEP * largest and len(steps) > 1:
            break
        part = min(max(math.floor(span / step), 1), 2 * part, MAX_PULSES - pulses) if step > 0 else 2 * part
        part = max(part, 1)
    return state, torch.cat(middles), torch.tensor(steps, dtype=torch.float64)


def _interpolate(grid: Tensor, conductance: Tensor, steps: Tensor) -> Tensor:
    """Return the mean of the steps in cells of the grid; cells without any take the nearest of their neighbours."""
    width = float(grid[1] - grid[0])
    cell = ((conductance - grid[0]) / width).round().long()
    seen = (cell >= 0) & (cell < len(grid))
    total, number = torch.zeros_like(grid), torch.zeros_like(grid)
    total.index_add_(0, cell[seen], steps[seen])
    number.index_add_(0, cell[seen], torch.ones_like(steps[seen]))
    filled = number.nonzero()[:, 0]
    if len(filled) == 0:
        return total
    values = total[filled] / number[filled]
    right = torch.searchsorted(filled, torch.arange(len(grid))).clamp(max=len(filled) - 1)
    left = (right - 1).clamp(min=0)
    gap = (filled[right] - filled[left]).clamp(min=1)
    share = ((torch.arange(len(grid)) - filled[left]) / gap).clamp(0, 1).double()
    return torch.lerp(values[left], values[right], share)


def _deviation(values: Tensor) -> float:
    mean = float(values.mean())
    return float(values.std(correction=0)) / mean if mean > 0 else 0.0
