"""Short-run residuals of a surrogate on a recording, and the instant from which they tell of another device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....traces.trace import Trace
from ....typing import Array
from ..free_run import short_runs
from ..surrogate import Surrogate

#: Steps of the short free runs. One step shows little but the noise of the derivative; a few show the dynamics. Where a
#: device moves less than `CLEAR` times its measurement noise in so few steps, longer runs are needed to see it at all.
STEPS, CLEAR = (4, 12, 24), 20.0

#: Blocks a recording is cut into, and fewest samples in one: medians over fewer would follow single events.
BLOCKS, SHORTEST = 120, 16

#: A change must lift the median residual by this factor, to at least `LEVEL` times that of the fitted stretch. What the
#: values were set on stands in docs/decisions.md.
JUMP, LEVEL = 4.0, 5.0

#: Share of the blocks after a change that must stay above the geometric middle of the two levels, and of those before it
#: that must stay below: a passing excursion is no change of regime.
PERSISTENT = 0.8


@dataclass(frozen=True)
class Change:
    """A change of regime: its instant [s], and the median residuals before and after it over those of the fit."""

    at: float
    before: float
    after: float


def short_run_residuals(surrogate: Surrogate, trace: Trace) -> Array:
    """Errors of free runs of a few samples from every measured state, over their rms on the fitted stretch.

    Args:
        surrogate: The model.
        trace: Recording on its grid and under its names.

    Returns:
        Shape (time - steps, outputs), with `steps_of(surrogate)` steps; row t belongs to sample t + steps.
    """
    level = np.asarray(surrogate.record.get("residual_level", 1.0))
    return np.asarray(short_runs(surrogate, trace, steps_of(surrogate)) / level)


def steps_of(surrogate: Surrogate) -> int:
    """Steps of the short runs that this surrogate's level was measured with."""
    return int(surrogate.record.get("residual_steps", STEPS[0]))


def clear_steps(outputs: Array, noise: Array) -> int:
    """The fewest of `STEPS` in which every output moves clearly more than its noise, or the most.

    Args:
        outputs: Shape (time, outputs).
        noise: Deviation of the measurement noise of each output, shape (outputs,).
    """
    for steps in STEPS:
        moves = np.sqrt(np.mean((outputs[steps:] - outputs[:-steps]) ** 2, 0))
        if np.all(moves >= CLEAR * noise):
            return steps
    return STEPS[-1]


def regime_change(surrogate: Surrogate, trace: Trace, residuals: Array) -> Change | None:
    """The instant from which the device no longer behaves as the one fitted, or None.

    The logarithm of the block medians of the residuals is split in two where the likelihood of two levels with common
    scatter is largest; the split counts if the level rises by `JUMP`, to `LEVEL`, and nearly all blocks keep to their
    side. Where the whole recording is predicted worse than by "the output stays as it is", the device was another one
    from the start.

    Args:
        surrogate: The model.
        trace: Recording on its grid and under its names.
        residuals: From `short_run_residuals`.
    """
    steps = steps_of(surrogate)
    time = np.asarray(trace.time)[steps : steps + len(residuals)]
    size = np.sqrt(np.mean(residuals**2, -1)) + 1e-12
    length = max(SHORTEST, len(size) // BLOCKS)
    count = len(size) // length
    if count < 4:
        return None
    levels = np.log(np.median(size[: count * length].reshape(count, length), axis=1))
    split = _two_levels(levels)
    before, after = np.exp(np.median(levels[:split])), np.exp(np.median(levels[split:]))
    middle = 0.5 * np.log(before * after)
    apart = np.mean(levels[:split] < middle) >= PERSISTENT and np.mean(levels[split:] > middle) >= PERSISTENT
    if after >= JUMP * before and after >= LEVEL and apart:
        return Change(_onset(time, size, split * length, length, middle), float(before), float(after))
    overall = float(np.exp(np.median(levels)))
    if overall >= LEVEL and overall >= _persistence(surrogate, trace):
        return Change(float(trace.time[0]), overall, overall)
    return None


def _two_levels(levels: Array) -> int:
    """Number of blocks before the split that leaves the least scatter about two means."""
    total = len(levels)
    left = np.cumsum(levels)[:-1]
    n = np.arange(1, total)
    means = left / n, (levels.sum() - left) / (total - n)
    return int(np.argmax(n * (total - n) * (means[1] - means[0]) ** 2)) + 1


def _onset(time: Array, size: Array, near: int, length: int, middle: float) -> float:
    """First sample, within two blocks of the split, from which most residuals stay above the middle."""
    low, high = max(0, near - 2 * length), min(len(size), near + 2 * length)
    above = np.log(size[low:high]) > middle
    # The start that best separates "below" from "above": most values below before it and above after it.
    gain = np.concatenate([[0], np.cumsum(np.where(above, -1, 1))])
    return float(time[min(low + int(np.argmax(gain)), len(time) - 1)])


def _persistence(surrogate: Surrogate, trace: Trace) -> float:
    """Median error of "the output stays as it is" over the short runs, in the units of the residuals."""
    values = np.stack([trace.output[name] for name in surrogate.ports.output], -1)
    scaled = values / surrogate.scales.output_scale.numpy()
    steps = steps_of(surrogate)
    moves = (scaled[steps:] - scaled[:-steps]) / np.asarray(surrogate.record.get("residual_level", 1.0))
    return float(np.median(np.sqrt(np.mean(moves**2, -1))))
