"""`monotonic_polarities`: the polarities whose mean step never moves against its direction in the recordings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...contracts.synapse import SET
from ...typing import Array
from .kalman import Mask
from .pulse_data import PulseData

Indices = npt.NDArray[np.int64]

#: Quantiles of the state, and of voltage and width where they vary, that bound the cells in which steps are averaged.
STATE_CELLS, INPUT_CELLS = 8, 3
#: Smallest number of steps of a cell, and standard errors below zero at which its mean counts as reversed. With at most 72
#: cells and two polarities, chance alone gives one reversal in two hundred data sets.
MIN_STEPS, STANDARD_ERRORS = 20, 4.0


def monotonic_polarities(data: PulseData) -> tuple[str, ...]:
    """Return the polarities whose mean step never reverses in any cell of state, voltage and width.

    Cells are chosen by the read before the last one: a read that begins a step contains its own noise, so that steps from the
    highest reads seem to fall.
    """
    steps = np.diff(data.reads, axis=0)[1:]
    usable = (data.seen[2:] & data.seen[1:-1] & data.seen[:-2]) & (data.pulses[1:] > 0)
    cells = _cells(data.reads[:-2], usable, STATE_CELLS)
    for values in data.extra:
        cells = cells * INPUT_CELLS + _cells(values[1:], usable, INPUT_CELLS)
    monotonic = []
    for name in data.polarities:
        sign = 1.0 if name == SET else -1.0
        chosen = usable & (data.polarity[1:] == sign)
        if chosen.any() and not _reverses(sign * steps[chosen], cells[chosen]):
            monotonic.append(name)
    return tuple(monotonic)


def _cells(values: Array, usable: Mask, count: int) -> Indices:
    """Return the index of the quantile cell of each value."""
    if not usable.any():
        return np.zeros(values.shape, dtype=np.int64)
    edges = np.quantile(values[usable], np.linspace(0, 1, count + 1)[1:-1])
    return np.asarray(np.searchsorted(edges, values))


def _reverses(steps: Array, cells: Indices) -> bool:
    number = np.bincount(cells)
    total, square = np.bincount(cells, steps), np.bincount(cells, steps**2)
    filled = number >= MIN_STEPS
    mean = total[filled] / number[filled]
    error = np.sqrt((square[filled] / number[filled] - mean**2).clip(min=0) / number[filled])
    return bool((mean < -STANDARD_ERRORS * error - 1e-12).any())
