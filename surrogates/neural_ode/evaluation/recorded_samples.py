"""Free runs at the samples of a recording, where these are not the steps of the surrogate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ....traces.recorded import between_steps, recorded_beside
from ....traces.resample import resample_with_mask
from ....traces.sampling import median_interval
from ....traces.trace import Trace
from ....typing import Array
from ..free_run import FreeRun

#: Longest gap, in samples, whose interpolation may start or end a short run.
MAX_INTERPOLATED = 3


def at_recorded_samples(run: FreeRun, grid: Trace, trace: Trace) -> tuple[Trace, FreeRun]:
    """Return what a run is scored on: the recorded samples and the run at their times.

    Args:
        run: Free run on the grid.
        grid: The recording on the grid.
        trace: The recording itself.

    Returns:
        The recording, cut to the span of the grid and without missing samples, and the run interpolated at its times by a
        cubic spline; or the grid and the run as they are if the recording is on the grid and complete.
    """
    recorded = recorded_beside(trace, grid)
    if recorded is None:
        return grid, run
    complete = recorded.rows(recorded.present.all(1))
    scored = replace(complete, missing="refuse", interpolation=grid.interpolation, provenance=grid.provenance)
    return scored, run_at(run, scored.time)


def run_at(run: FreeRun, time: Array) -> FreeRun:
    """Return a free run at other times within its span: a cubic spline through its outputs.

    Args:
        run: Free run on a uniform grid.
        time: Times [s], shape (samples,).
    """
    own = run.time.numpy()
    positions = (np.asarray(time) - own[0]) / ((own[-1] - own[0]) / (len(own) - 1))
    step = np.clip(np.floor(positions + 1e-6).astype(int), 0, len(own) - 1)
    following = np.minimum(step + 1, len(own) - 1)
    part = np.clip(positions - step, 0, 1)[:, None]

    def linear(values: Tensor) -> Tensor:
        return torch.as_tensor(values.numpy()[step] * (1 - part) + values.numpy()[following] * part)

    members = [torch.as_tensor(between_steps(each.numpy(), positions)) for each in run.members]
    return replace(
        run,
        time=torch.as_tensor(np.array(time)),
        output=torch.as_tensor(between_steps(run.output.numpy(), positions)),
        members=torch.stack(members),
        spread=linear(run.spread),
        outside=run.outside[step],
        points=None if run.points is None else linear(run.points),
    )


def without_missing(residuals: Array, grid: Trace, trace: Trace) -> Array:
    """Return the errors of short runs with those that missing samples have spoilt replaced by the last one before.

    Args:
        residuals: Shape (runs, outputs); row t is the error at sample t + steps of the grid.
        grid: The recording on the grid.
        trace: The recording itself.
    """
    if recorded_beside(trace, grid) is None:
        return residuals
    part = trace.between(float(grid.time[0]), None) if grid.time[0] > trace.time[0] else trace
    known = np.asarray(resample_with_mask(part, median_interval(grid))[1].all(1))[: len(grid)]
    steps = len(known) - len(residuals)
    gaps = np.convolve(~known, np.ones(MAX_INTERPOLATED + 1), mode="same") > MAX_INTERPOLATED + 0.5
    near = np.convolve(gaps, np.ones(2 * MAX_INTERPOLATED + 5), mode="same") > 0.5
    spoilt = np.array([near[row : row + steps + 1].any() for row in range(len(residuals))])
    if spoilt.all():
        return residuals
    rows = np.arange(len(residuals))
    last = np.maximum.accumulate(np.where(spoilt, -1, rows))
    return np.asarray(residuals[np.where(last < 0, rows[~spoilt][0], last)])
