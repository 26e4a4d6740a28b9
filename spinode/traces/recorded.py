"""The recorded samples beside those of a grid: runs on a grid are compared with what was recorded, not with its resampling."""

from __future__ import annotations

import numpy as np
from scipy import interpolate

from ..typing import Array
from .sampling import median_interval
from .trace import Trace

# A recording whose times deviate from the grid by less than this, in steps, and has no other samples, is on the grid.
_ON_GRID = 0.05


def recorded_beside(trace: Trace, on_grid: Trace) -> Trace | None:
    """Return the recorded samples within the span of a trace on a grid, or None if they are those of the grid.

    Args:
        trace: The recording; samples of its outputs may be missing.
        on_grid: The same recording, resampled, or a part of it.

    Example:
        >>> from spinode import resample
        >>> fine = Trace(np.arange(9.0), output={"x": np.arange(9.0)})
        >>> len(recorded_beside(fine, resample(fine, 2.0))), recorded_beside(fine, resample(fine, 1.0))
        (9, None)
    """
    step = median_interval(on_grid)
    keep = (trace.time >= on_grid.time[0] - 1e-6 * step) & (trace.time <= on_grid.time[-1] + 1e-6 * step)
    time = trace.time[keep]
    if len(time) == len(on_grid) and np.max(np.abs(time - on_grid.time)) < _ON_GRID * step and trace.present[keep].all():
        return None
    return trace.rows(keep)


def between_steps(values: Array, positions: Array) -> Array:
    """Interpolate a run at instants between its steps, by a cubic spline; at a step, the run itself.

    Args:
        values: Shape (time, ...).
        positions: Instants in steps since the first, within the run, shape (samples,).

    Returns:
        Shape (samples, ...).

    Example:
        >>> between_steps(np.arange(5.0)[:, None] ** 2, np.array([1.0, 2.5])).round(3).tolist()
        [[1.0], [6.25]]
    """
    steps = np.arange(float(len(values)))
    inside = np.clip(positions, 0, len(values) - 1)
    kind = interpolate.CubicSpline(steps, values) if len(values) > 3 else interpolate.make_interp_spline(steps, values, k=1)
    result = np.asarray(kind(inside), dtype=np.float64)
    nearest = np.round(inside).astype(int)
    exact = np.abs(inside - nearest) < 1e-9
    result[exact] = values[nearest[exact]]
    return result
