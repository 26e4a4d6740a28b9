"""Resampling of recordings to a uniform grid, with a record of what was done."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from scipy import interpolate, signal

from ..errors import TraceError, TraceWarning
from ..typing import Array
from ..validation import is_number
from .held_drives import average_held, infer_interpolation
from .sampling import check_samples, median_interval, uniform_grid
from .trace import Trace

#: A step of this many sample intervals is a gap; the step control of simulators stays below.
GAP = 5.0


def resample(trace: Trace, interval: float | None = None, *, method: str = "spline") -> Trace:
    """Resample a recording to a uniform grid.

    Held drives are averaged over each step, never interpolated. Other channels are interpolated by a quintic spline. A coarser
    grid needs `method="band-limited"` if a channel has power above the new Nyquist frequency: it low-passes them first.

    Args:
        trace: Recording with strictly increasing time and finite values.
        interval: New sample interval [s]; the median one if omitted.
        method: "spline" or "band-limited".

    Returns:
        The trace on the grid. Its provenance records, under "resampled", the intervals, the method, the jitter removed and, for
        each channel, the fraction of the variance above the new Nyquist frequency.

    Raises:
        TraceError: samples that cannot be used, an interval that is not positive or longer than half the recording, or an
            unknown method.

    Example:
        >>> time = np.array([0.0, 0.9, 2.1, 3.0, 4.0])  # [s]
        >>> resample(Trace(time, output={"x": 2 * time})).output["x"].round(6).tolist()
        [0.0, 1.9, 3.8, 5.7, 7.6]
    """
    check_samples(trace)
    if method not in ("spline", "band-limited"):
        raise TraceError(f"the resampling method {method!r} is unknown; expected 'spline' or 'band-limited'.")
    old = median_interval(trace)
    requested = old if interval is None else interval
    if not (is_number(requested) and 0 < requested <= trace.duration / 2):
        raise TraceError(
            f"the sample interval is {interval} s for a recording of {trace.duration:.6g} s sampled every {old:.6g} s; "
            "pass a positive interval of at most half its length, in seconds."
        )
    new = float(requested)
    grid = uniform_grid(trace, new)
    kinds = {name: trace.interpolation.get(name) or infer_interpolation(v) for name, v in trace.drive.items()}
    aliased: dict[str, float] = {}
    gap = _longest_gap(trace, GAP * max(old, new)) if any(kinds.get(name) != "held" for name in trace.channels) else None
    if gap is not None:
        warnings.warn(
            f"there are no samples from {gap[0]:.6g} s to {gap[1]:.6g} s, where the usual step is {old:.4g} s: the samples "
            "there are interpolated. Cut the recording there, and fit the parts as several traces.",
            TraceWarning,
            stacklevel=2,
        )

    def on_grid(name: str, values: Array) -> Array:
        if kinds.get(name) == "held":
            return average_held(trace.time, values, grid)
        smooth = low_pass(trace.time, values, new) if new > 1.01 * old else values
        variance = float(np.var(values))
        aliased[name] = float(np.var(values - smooth) / variance) if variance > 0 else 0.0
        source = smooth if method == "band-limited" else values
        if kinds.get(name) == "linear":
            return np.interp(grid, trace.time, source)
        # Time in units of the step keeps the spline's linear system well conditioned.
        origin = trace.time[0]
        return np.asarray(fit_spline((trace.time - origin) / old, source)((grid - origin) / old), dtype=np.float64)

    jitter = float(np.std(np.diff(trace.time)))
    drive = {name: on_grid(name, values) for name, values in trace.drive.items()}
    output = {name: on_grid(name, values) for name, values in trace.output.items()}
    record = {
        "from_interval": old,
        "to_interval": new,
        "method": method,
        "jitter_rms": jitter,
        "longest_gap": None if gap is None else list(gap),
        "samples": [len(trace), len(grid)],
        "variance_above_nyquist": aliased,
        "held": sorted(name for name, kind in kinds.items() if kind == "held"),
    }
    return replace(
        trace,
        time=grid,
        drive=drive,
        output=output,
        interpolation=kinds,
        provenance={**trace.provenance, "resampled": record},
    )


def fit_spline(time: Array, values: Array) -> interpolate.BSpline:
    """Return the interpolating spline of fifth order, or of the highest order that so few samples allow.

    `time` must be scaled to steps of about one: knots in seconds (1e-12) would make its linear system ill-conditioned.
    """
    degree = min(5, (len(time) - 1) // 2 * 2 + 1 if len(time) < 6 else 5, len(time) - 1)
    return interpolate.make_interp_spline(time, values, k=max(1, degree))


def low_pass(time: Array, values: Array, interval: float) -> Array:
    """Low-pass a channel at the Nyquist frequency of `interval`, on its own, nearly uniform samples.

    Zero-phase windowed-sinc filter (Kaiser window, 60 dB) of four new intervals to each side.
    """
    step = float(np.median(np.diff(time)))
    half = int(np.ceil(4 * interval / step))
    if len(values) <= 2 * half + 1 or interval <= step:
        return values
    taps = signal.firwin(2 * half + 1, 0.9 * step / interval, window=("kaiser", 5.65))
    padded = np.concatenate(
        [2 * values[0] - values[half:0:-1], values, 2 * values[-1] - values[-2 : -half - 2 : -1]]
    )  # odd reflection preserves level and slope at both ends
    return np.convolve(padded, taps, mode="valid")


def _longest_gap(trace: Trace, threshold: float) -> tuple[float, float] | None:
    """Return the begin and end [s] of the longest step, if it is longer than the threshold [s]."""
    steps = np.diff(trace.time)
    index = int(np.argmax(steps))
    return (float(trace.time[index]), float(trace.time[index + 1])) if steps[index] > threshold else None
