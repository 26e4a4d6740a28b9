"""Short-run residuals: errors of free runs of a few samples, which show whether a recording is of the fitted device."""

from __future__ import annotations

import numpy as np

from ....traces.trace import Trace
from ....typing import Array
from ..free_run import short_run_errors
from ..surrogate import Surrogate

#: Lengths of short runs to choose from, in samples. A single step shows little but noise, a few show the dynamics; a device
#: that moves little within a few samples needs longer runs.
STEPS = (4, 12, 24)

#: How many times its measurement noise an output must move within a short run.
MIN_SIGNAL_TO_NOISE = 20.0


def short_run_residuals(surrogate: Surrogate, trace: Trace) -> Array:
    """Return the errors of free runs of a few samples from every measured state, relative to their rms in the fitted data.

    Args:
        surrogate: The model.
        trace: Recording on the grid of the surrogate and with its channel names.

    Returns:
        Shape (time - steps, outputs), with `short_run_steps(surrogate)` steps; row t belongs to sample t + steps.
    """
    level = np.asarray(surrogate.record.get("residual_level", 1.0))
    return np.asarray(short_run_errors(surrogate, trace, short_run_steps(surrogate)) / level)


def short_run_steps(surrogate: Surrogate) -> int:
    """Return the length of the short runs with which the fit measured the residual level, in samples."""
    return int(surrogate.record.get("residual_steps", STEPS[0]))


def share_of_change(surrogate: Surrogate, outputs: Array) -> float | None:
    """Return the error of short runs on the fitted data over the rms change of outputs during them.

    The variance of the measurement noise is subtracted from both. The largest value among the outputs is returned, or None
    if the record of the fit contains no error of short runs or all outputs are mostly noise.

    Args:
        surrogate: A fitted model.
        outputs: Recorded outputs on its grid, shape (time, outputs), SI units.
    """
    level = surrogate.record.get("residual_level")
    if level is None:
        return None
    scale, steps = surrogate.scales.output_scale.numpy(), short_run_steps(surrogate)
    change = (outputs[steps:] - outputs[:-steps]) / scale
    noise = 2 * (surrogate.noise.numpy() / scale) ** 2  # of the difference of two samples
    change_power = np.nanmean(change**2, 0) - noise
    error_power = np.square(np.atleast_1d(np.asarray(level, dtype=np.float64))) - noise
    clear = change_power > noise
    if not clear.any():
        return None
    return float(np.sqrt(np.max(np.maximum(error_power, 0)[clear] / change_power[clear])))


def choose_short_run_steps(outputs: Array, noise: Array) -> int:
    """Return the shortest length in `STEPS` in which every output moves clearly more than its noise, or the longest.

    Args:
        outputs: Shape (time, outputs).
        noise: Standard deviation of the measurement noise of each output, shape (outputs,).

    Example:
        >>> wave = np.sin(2 * np.pi * np.arange(400) / 40)[:, None]
        >>> choose_short_run_steps(wave, np.array([0.0])), choose_short_run_steps(wave, np.array([0.05]))
        (4, 12)
    """
    for steps in STEPS:
        rms_change = np.sqrt(np.mean((outputs[steps:] - outputs[:-steps]) ** 2, 0))
        if np.all(rms_change >= MIN_SIGNAL_TO_NOISE * noise):
            return steps
    return STEPS[-1]
