"""A change of regime found with a model: the short-run residuals of a surrogate rise to a higher level and stay there.

`spinode.traces.change_point` looks for changes in recordings for which there is no model yet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....traces.trace import Trace
from ....traces.two_levels import two_level_split
from ....typing import Array
from ..free_run import has_other_drive
from ..surrogate import Surrogate
from .short_runs import short_run_steps

#: Maximum number of blocks that a recording is divided into, and minimum samples of a block: medians over fewer samples
#: would follow single events.
MAX_BLOCKS, MIN_BLOCK_SAMPLES = 120, 16

#: A change must raise the median residual by the factor `MIN_RISE`, to at least `MIN_LEVEL` times that of the fitted data.
#: docs/decisions.md describes how the values were chosen.
MIN_RISE, MIN_LEVEL = 4.0, 5.0

#: Share of the blocks after a change that must stay above the geometric mean of the two levels, and of those before it that
#: must stay below: a temporary excursion is not a change of regime.
MIN_PERSISTENCE = 0.8

#: Share of its standard deviation by which an output differs from its first value once it moves.
MOVED = 0.01

#: Beginning of a recording, as a share, that must be described badly, too, if the device is another one from its start.
START = 0.25


@dataclass(frozen=True)
class ResidualChange:
    """A change of regime.

    Attributes:
        at: Its time [s].
        before: Median short-run residual before it, relative to the fitted data.
        after: The same after it.
    """

    at: float
    before: float
    after: float


def detect_residual_change(surrogate: Surrogate, trace: Trace, residuals: Array) -> ResidualChange | None:
    """Return the change from which on the device no longer behaves like the fitted one, or None.

    The logarithms of the block medians of the residuals are split into two levels. The split counts as a change if the level
    rises by `MIN_RISE`, to at least `MIN_LEVEL`, and nearly all blocks stay on their side of the middle. The recording is of
    another device from its start if nearly all blocks and the median of its first quarter exceed `MIN_LEVEL`, and the median
    of the whole the error of the prediction "the output stays constant". That needs a drive of the fitted kind: how large the
    residuals of the fitted device are under another kind is not known.

    Args:
        surrogate: The model.
        trace: Recording on the grid of the surrogate and with its channel names.
        residuals: From `short_run_residuals`.
    """
    steps = short_run_steps(surrogate)
    time = np.asarray(trace.time)[steps : steps + len(residuals)]
    size = np.sqrt(np.mean(residuals**2, -1)) + 1e-12
    quiet = _quiet_samples(surrogate, trace)
    time, size = time[quiet:], size[quiet:]
    length = max(MIN_BLOCK_SAMPLES, len(size) // MAX_BLOCKS)
    count = len(size) // length
    if count < 4:
        return None
    levels = np.log(np.median(size[: count * length].reshape(count, length), axis=1))
    split = two_level_split(levels[:, None])
    before, after = np.exp(np.median(levels[:split])), np.exp(np.median(levels[split:]))
    middle = 0.5 * np.log(before * after)
    persistent = np.mean(levels[:split] < middle) >= MIN_PERSISTENCE and np.mean(levels[split:] > middle) >= MIN_PERSISTENCE
    if after >= MIN_RISE * before and after >= MIN_LEVEL and persistent:
        at = _onset(time, size, split * length, length, middle)
        if at > time[0] + length * (time[1] - time[0]):
            return ResidualChange(at, float(before), float(after))
    if has_other_drive(surrogate, trace):
        return None
    overall, beginning = (float(np.exp(np.median(levels[:blocks]))) for blocks in (count, max(1, round(START * count))))
    nearly_all = np.mean(np.exp(levels) >= MIN_LEVEL) >= MIN_PERSISTENCE
    if nearly_all and beginning >= MIN_LEVEL and overall >= _constant_prediction_error(surrogate, trace):
        return ResidualChange(float(trace.time[0]), overall, overall)
    return None


def _quiet_samples(surrogate: Surrogate, trace: Trace) -> int:
    """Return the number of samples before any output moves: there, residuals of zero say nothing about the device."""
    values = np.stack([trace.output[name] for name in surrogate.ports.output], -1)
    moved = (np.abs(values - values[0]) > MOVED * values.std(0)).any(-1)
    return max(0, int(np.argmax(moved)) - 1)


def _onset(time: Array, size: Array, split: int, length: int, middle: float) -> float:
    """Return the first time, within two blocks of the split, from which on most residuals exceed the middle level."""
    low, high = max(0, split - 2 * length), min(len(size), split + 2 * length)
    above = np.log(size[low:high]) > middle
    # The onset with the most values below the middle before it, and above the middle after it.
    gain = np.concatenate([[0], np.cumsum(np.where(above, -1, 1))])
    return float(time[min(low + int(np.argmax(gain)), len(time) - 1)])


def _constant_prediction_error(surrogate: Surrogate, trace: Trace) -> float:
    """Return the median error of the prediction "the output stays constant" over the short runs, scaled as the residuals."""
    values = np.stack([trace.output[name] for name in surrogate.ports.output], -1)
    scaled = values / surrogate.scales.output_scale.numpy()
    steps = short_run_steps(surrogate)
    change = (scaled[steps:] - scaled[:-steps]) / np.asarray(surrogate.record.get("residual_level", 1.0))
    return float(np.median(np.sqrt(np.mean(change**2, -1))))
