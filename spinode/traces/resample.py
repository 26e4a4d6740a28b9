"""Resampling of recordings to a uniform grid, with a record of what was done."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import interpolate, signal

from ..errors import TraceError, TraceWarning
from ..typing import Array
from ..validation import is_number
from .held_drives import UNKNOWN_DRIVE, average_held, infer_interpolation, unknown_share
from .sampling import base_interval, check_samples, median_interval, uniform_grid
from .trace import Trace

Mask = npt.NDArray[np.bool_]

#: A step of this many sample intervals is a gap; the step control of simulators stays below.
GAP = 5.0

# Longest distance between samples that the quintic spline bridges and that the cubic one does, in steps.
_MAX_SPLINE_GAPS = (4.5, 10.0)
# Longest distance between samples that counts as one step, in steps.
_USUAL_STEP = 1.6
# A grid time this near to a sample is that of the sample, in steps of the recording: times in text files are rounded.
_AT_SAMPLE = 1e-4


def resample(trace: Trace, interval: float | None = None, *, method: str = "spline") -> Trace:
    """Resample a recording to a uniform grid.

    Held drives are averaged over each step, never interpolated. Other channels are interpolated by a quintic spline. A coarser
    grid needs `method="band-limited"` if a channel has power above the new Nyquist frequency: it low-passes them first.

    Args:
        trace: Recording with strictly increasing time and finite values; outputs may have missing samples (`Trace.masked`).
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
    gap = _gap_to_warn_of(trace, interval)
    if gap is not None:
        warnings.warn(
            f"there are no samples from {gap[0]:.6g} s to {gap[1]:.6g} s, where the usual step is "
            f"{median_interval(trace):.4g} s: the samples there are interpolated. Cut the recording there, and fit the parts "
            "as several traces.",
            TraceWarning,
            stacklevel=2,
        )
    on_grid, present = resample_with_mask(trace, interval, method=method)
    for name in on_grid.provenance["resampled"]["held"]:
        share = unknown_share(trace.time, trace.drive[name])
        if share > UNKNOWN_DRIVE:
            warnings.warn(
                f"the held drive {name!r} is not known for about {100 * share:.2g} % of the time, since rows are missing where "
                "it changes and no clock fits its changes; record all rows, or the times of the changes.",
                TraceWarning,
                stacklevel=2,
            )
    return on_grid.masked(present) if trace.missing == "mask" else on_grid


def resample_with_mask(trace: Trace, interval: float | None = None, *, method: str = "spline") -> tuple[Trace, Mask]:
    """Resample a recording as `resample` does, and return where its outputs are known.

    An output is known at a time of the grid with a sample at that time or within a step on both sides. Elsewhere it is
    interpolated from the samples that are there, so that all values are finite.

    Returns:
        The trace on the grid; and True where an output is known, shape (time, outputs).

    Raises:
        TraceError: as `resample`.
    """
    check_samples(trace)
    if method not in ("spline", "band-limited"):
        raise TraceError(f"the resampling method {method!r} is unknown; expected 'spline' or 'band-limited'.")
    old = base_interval(trace)
    requested = median_interval(trace) if interval is None else interval
    if not (is_number(requested) and 0 < requested <= trace.duration / 2):
        raise TraceError(
            f"the sample interval is {interval} s for a recording of {trace.duration:.6g} s sampled every {old:.6g} s; "
            "pass a positive interval of at most half its length, in seconds."
        )
    new = float(requested)
    grid = uniform_grid(trace, new)
    kinds = {name: trace.interpolation.get(name) or infer_interpolation(v) for name, v in trace.drive.items()}
    aliased: dict[str, float] = {}

    def on_grid(name: str, values: Array) -> Array:
        if kinds.get(name) == "held":
            return average_held(trace.time, values, grid)
        finite = np.isfinite(values)
        time, values = trace.time[finite], values[finite]
        smooth = low_pass_uneven(time, values, old, new) if new > 1.01 * old else values
        variance = float(np.var(values))
        aliased[name] = float(np.var(values - smooth) / variance) if variance > 0 else 0.0
        source = smooth if method == "band-limited" else values
        if kinds.get(name) == "linear":
            return np.interp(grid, time, source)
        return _through_samples(time, source, grid, old, max(old, new))

    gap = _longest_gap(trace, GAP * max(old, new))
    drive = {name: on_grid(name, values) for name, values in trace.drive.items()}
    output = {name: on_grid(name, values) for name, values in trace.output.items()}
    known = [_is_known(trace.time[np.isfinite(v)], grid, max(old, new)) for v in trace.output.values()]
    record = {
        "from_interval": old,
        "to_interval": new,
        "method": method,
        "jitter_rms": float(np.std(np.diff(trace.time))),
        "longest_gap": None if gap is None or (all(kind == "held" for kind in kinds.values()) and not output) else list(gap),
        "samples": [len(trace), len(grid)],
        "variance_above_nyquist": aliased,
        "held": sorted(name for name, kind in kinds.items() if kind == "held"),
    }
    result = replace(
        trace,
        time=grid,
        drive=drive,
        output=output,
        interpolation=kinds,
        provenance={**trace.provenance, "resampled": record},
    )
    return result, np.stack(known, -1) if known else np.ones((len(grid), 0), dtype=np.bool_)


def _through_samples(time: Array, values: Array, grid: Array, step: float, usual: float) -> Array:
    """Return a smooth channel on a grid; where a grid time is that of a sample, the sample itself.

    Between samples that are near, the quintic spline; in longer gaps, where it may overshoot, the cubic one; in those that no
    interpolation can fill, a monotone one.
    """
    if len(time) == 1:
        return np.full(len(grid), values[0])
    # Time in units of the step keeps the spline's linear system well conditioned.
    origin = time[0]
    scaled, at = (time - origin) / step, (grid - origin) / step
    result = np.asarray(fit_spline(scaled, values)(at), dtype=np.float64)
    before = np.clip(np.searchsorted(scaled, at, side="right") - 1, 0, len(time) - 2)
    gap = (scaled[before + 1] - scaled[before]) * step / usual
    for limit, kind in zip(_MAX_SPLINE_GAPS, (interpolate.CubicSpline, interpolate.PchipInterpolator), strict=True):
        far = gap > limit
        if far.any():
            result[far] = kind(scaled, values)(np.clip(at[far], scaled[0], scaled[-1]))
    # Before the first and after the last sample nothing is known; a spline would run away.
    beyond = (at < scaled[0] - 1) | (at > scaled[-1] + 1)
    result[beyond] = np.where(at[beyond] < scaled[0], values[0], values[-1])
    nearest = np.where(at - scaled[before] <= scaled[before + 1] - at, before, before + 1)
    exact = np.abs(at - scaled[nearest]) < _AT_SAMPLE
    result[exact] = values[nearest[exact]]
    return result


def _is_known(time: Array, grid: Array, usual: float) -> Mask:
    """Return True at grid times that are those of samples or lie between two samples that are one usual step apart."""
    if len(time) < 2:
        return np.zeros(len(grid), dtype=np.bool_)
    before = np.clip(np.searchsorted(time, grid, side="right") - 1, 0, len(time) - 2)
    distance = np.minimum(np.abs(grid - time[before]), np.abs(time[before + 1] - grid))
    inside = (grid >= time[0]) & (grid <= time[-1]) & (time[before + 1] - time[before] <= _USUAL_STEP * usual)
    return np.asarray(inside | (distance < 0.05 * usual))


def _gap_to_warn_of(trace: Trace, interval: float | None) -> tuple[float, float] | None:
    """Return begin and end [s] of a gap in which a channel that is not held has to be interpolated, or None."""
    if len(trace) < 2 or trace.missing == "mask" or not np.all(np.diff(trace.time) > 0):
        return None
    kinds = {name: trace.interpolation.get(name) or infer_interpolation(v) for name, v in trace.drive.items()}
    if all(kinds.get(name) == "held" for name in trace.channels):
        return None
    old = median_interval(trace)
    new = float(interval) if is_number(interval) and interval is not None else old
    return _longest_gap(trace, GAP * max(old, new))


def fit_spline(time: Array, values: Array) -> interpolate.BSpline:
    """Return the interpolating spline of fifth order, or of the highest order that so few samples allow.

    `time` must be scaled to steps of about one: knots in seconds (1e-12) would make its linear system ill-conditioned.
    """
    degree = min(5, (len(time) - 1) // 2 * 2 + 1 if len(time) < 6 else 5, len(time) - 1)
    return interpolate.make_interp_spline(time, values, k=max(1, degree))


def low_pass_uneven(time: Array, values: Array, step: float, interval: float) -> Array:
    """Low-pass a channel as `low_pass` does, also if samples are missing: they are interpolated for the filter.

    Args:
        time: Times of the samples [s], shape (time,).
        values: The channel, shape (time,).
        step: Interval of the recording [s].
        interval: New interval [s].
    """
    count = round(float(time[-1] - time[0]) / step) + 1
    if count == len(time):
        return low_pass(time, values, interval)
    uniform = time[0] + step * np.arange(count)
    filled = _through_samples(time, values, uniform, step, step)
    return np.interp(time, uniform, low_pass(uniform, filled, interval))


def low_pass(time: Array, values: Array, interval: float) -> Array:
    """Low-pass a channel at the Nyquist frequency of `interval`, on its own, nearly uniform samples.

    Zero-phase windowed-sinc filter (Kaiser window, 60 dB) of eight new intervals to each side. Its edge lies at 1.05 times the
    Nyquist frequency: the little noise that folds back there leaves white noise white, with a correlation of neighbouring
    samples on the new grid below 0.01. With an edge below the Nyquist frequency it would be 0.2, and estimates of noise and
    of derivatives, which take the noise for white, would be wrong.
    """
    step = float(np.median(np.diff(time)))
    half = int(np.ceil(8 * interval / step))
    if len(values) <= 2 * half + 1 or interval <= step:
        return values
    taps = signal.firwin(2 * half + 1, min(1.05 * step / interval, 0.99), window=("kaiser", 5.65))
    padded = np.concatenate(
        [2 * values[0] - values[half:0:-1], values, 2 * values[-1] - values[-2 : -half - 2 : -1]]
    )  # odd reflection preserves level and slope at both ends
    return np.convolve(padded, taps, mode="valid")


def _longest_gap(trace: Trace, threshold: float) -> tuple[float, float] | None:
    """Return the begin and end [s] of the longest step, if it is longer than the threshold [s]."""
    steps = np.diff(trace.time)
    index = int(np.argmax(steps))
    return (float(trace.time[index]), float(trace.time[index + 1])) if steps[index] > threshold else None
