"""The sampling of a recording: checks of its samples, its interval, and uniform grids."""

from __future__ import annotations

import numpy as np

from ..errors import TraceError
from ..typing import Array
from .exact_clock import find_interval
from .held_drives import grid_interval
from .trace import Trace

#: Smallest number of samples of a recording that a fit accepts; with fewer, scales and validation mean nothing.
MIN_FIT_SAMPLES = 200

#: Points of a regular grid for each sample of a recording, beyond which its times must be wrong.
MAX_GROWTH = 1000.0


def check_samples(trace: Trace, minimum: int = 2) -> None:
    """Check that numerical methods can use the samples of a trace.

    Args:
        trace: The recording.
        minimum: Smallest number of samples.

    Raises:
        TraceError: too few samples, a time that does not increase strictly, or NaN or infinite values other than missing
            samples of an output.
    """
    if len(trace) < minimum:
        raise TraceError(
            f"the trace has {len(trace)} samples; at least {minimum} are needed. Take a longer part of the recording."
        )
    for name, values in {"time": trace.time, **trace.channels}.items():
        bad = np.flatnonzero(~np.isfinite(values))
        may_miss = name in trace.output and trace.missing == "mask"
        if len(bad) and not (may_miss and len(bad) <= len(values) - minimum):
            remedy = "choose start and stop so that they are left out"
            if name in trace.output:
                remedy += ', or read the file with missing="mask" (--missing mask) to leave out these samples'
            raise TraceError(
                f"{name!r} has {len(bad)} NaN or infinite values, the first at sample {bad[0]} "
                f"(t = {trace.time[bad[0]]:.6g} s); {remedy}."
            )
    steps = np.diff(trace.time)
    if np.any(steps <= 0):
        index = int(np.flatnonzero(steps <= 0)[0])
        kind = "repeats" if steps[index] == 0 else "runs backwards"
        raise TraceError(
            f"time {kind} after sample {index} (t = {trace.time[index]:.6g} s); it must increase strictly. "
            f"{_remedy(trace.time)}"
        )


def _remedy(time: Array) -> str:
    """Return what to do about times that repeat or run backwards."""
    if float(np.ptp(time)) == 0:
        return "All times are equal: number the samples, with time='sample' (--time sample)."
    interval = find_interval(time) if np.all(np.diff(time) >= 0) else None
    if interval is not None:
        return f"The times are rounded: pass the sample interval instead, time={interval:g} (--time {interval:g})."
    return "Cut the recording there, or remove the repeated rows."


def median_interval(trace: Trace) -> float:
    """Return the median sample interval [s]."""
    return float(np.median(np.diff(trace.time)))


def base_interval(trace: Trace) -> float:
    """Return the interval of the regular grid on which the samples lie, some of them left out; else the median interval [s].

    Example:
        >>> base_interval(Trace([0.0, 2.0, 4.0, 5.0, 7.0, 9.0], output={"x": [0, 1, 2, 3, 4, 5]}))
        1.0
    """
    return grid_interval(trace.time) or median_interval(trace)


def is_uniform(trace: Trace, interval: float, tolerance: float = 1e-4) -> bool:
    """Return True if every sample lies within `tolerance` intervals of a uniform grid."""
    grid = trace.time[0] + interval * np.arange(len(trace))
    return bool(np.max(np.abs(trace.time - grid)) <= tolerance * interval)


def check_grid(time: Array, interval: float) -> None:
    """Refuse a grid of many more points than there are samples, as one wrong time or logarithmic times would need.

    Raises:
        TraceError: more than `MAX_GROWTH` points for each sample.
    """
    points = float(time[-1] - time[0]) / interval
    if points <= MAX_GROWTH * len(time):
        return
    gaps = np.diff(time)
    widest = int(np.argmax(gaps))
    raise TraceError(
        f"{len(time)} samples would need a regular grid of {points:.3g} points, one every {interval:.3g} s; the widest gap is "
        f"{gaps[widest]:.3g} s, from sample {widest + 1} at {time[widest]:.6g} s to the next. Correct a wrong time, cut the "
        "recording there (start=, stop=), or give a larger sample_interval."
    )


def uniform_grid(trace: Trace, interval: float) -> Array:
    """Return the times start, start + interval, ... up to the end of the recording, to within 1e-4 intervals.

    Raises:
        TraceError: a grid of many more points than samples.
    """
    check_grid(trace.time, interval)
    count = int(np.floor(trace.duration / interval + 1e-4)) + 1
    return np.asarray(trace.time[0] + interval * np.arange(count), dtype=np.float64)
