"""Explicit resampling of recordings to a uniform grid, with an account of what was done."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import interpolate, signal

from ..errors import TraceError, TraceWarning
from ..typing import Array
from .trace import Trace

#: A drive whose value repeats exactly in at least this share of its samples was held between changes.
HELD_SHARE = 0.4

#: A step of this many sample intervals is a gap; the step control of simulators stays below.
GAP = 5.0


def recorded_interpolation(values: Array) -> str:
    """Judge from the samples how a drive ran between them: "held" or "spline".

    A held drive (a generator's steps, pulses, a masked reservoir input) repeats its value exactly; a smooth one recorded
    in floating point hardly ever does. A constant drive is held.
    """
    changes = np.diff(values) != 0
    if len(values) < 2 or not changes.any():
        return "held"
    # A burst repeats its rest value too, but then changes from sample to sample; a held drive seldom changes twice running.
    # Wiggles in the last digits, which a simulator's averages have, are no changes of a generator.
    real = np.abs(np.diff(values)) > 1e-4 * np.ptp(values)
    running = np.mean(real[1:][real[:-1]]) if real[:-1].any() else 0.0
    return "held" if np.mean(~changes) >= HELD_SHARE and running < 0.5 else "spline"


def check_samples(trace: Trace, needed: int = 2) -> None:
    """Refuse what no numerical method here can use.

    Raises:
        TraceError: too few samples, a time that does not increase strictly, or NaN / infinite values.
    """
    if len(trace) < needed:
        raise TraceError(f"the stretch holds {len(trace)} samples; at least {needed} are needed. Take a longer stretch.")
    for name, values in {"time": trace.time, **trace.channels}.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise TraceError(
                f"{name!r} holds {len(bad)} NaN or infinite values, the first at sample {bad[0]} "
                f"(t = {trace.time[bad[0]]:.6g} s); cut the stretch with start/stop so that it leaves them out."
            )
    steps = np.diff(trace.time)
    if np.any(steps <= 0):
        where = int(np.flatnonzero(steps <= 0)[0])
        kind = "repeats" if steps[where] == 0 else "runs backwards"
        raise TraceError(
            f"time {kind} after sample {where} (t = {trace.time[where]:.6g} s); it must increase strictly. "
            "Cut the stretch there, or remove the repeated rows."
        )


def interval_of(trace: Trace) -> float:
    """Median sample interval [s]."""
    return float(np.median(np.diff(trace.time)))


def is_uniform(trace: Trace, interval: float, tolerance: float = 1e-4) -> bool:
    """Whether every sample lies within `tolerance` steps of a uniform grid of this interval."""
    grid = trace.time[0] + interval * np.arange(len(trace))
    return bool(np.max(np.abs(trace.time - grid)) <= tolerance * interval)


def uniform_grid(trace: Trace, interval: float) -> Array:
    """Instants start, start + interval, ... inside the recording (a ten-thousandth of a step of slack at its end)."""
    count = int(np.floor(trace.duration / interval + 1e-4)) + 1
    return np.asarray(trace.time[0] + interval * np.arange(count), dtype=np.float64)


def change_times(time: Array, values: Array) -> tuple[Array, Array]:
    """When a held channel changed, and the values that it holds from then on.

    A recorder whose samples jitter shows a change between two samples, and its row at the very instant of the change may
    still hold the old value. A generator changes on a clock of its own: if one period fits all the intervals in which the
    changes lie, its ticks are the instants. Otherwise a value applies from the time of its own sample on.

    Args:
        time: Sample instants, shape (time,).
        values: The channel, shape (time,).

    Returns:
        Instants and values, each of shape (changes + 1,), the first sample included.
    """
    moves = np.abs(np.diff(values))
    after = np.flatnonzero(moves) + 1
    instants = time[after]
    # A simulator averages in single precision: its constants wiggle in the last digits, off the clock.
    real = moves[after - 1] > 1e-4 * np.ptp(values)
    instants[real] = _clock(time, after[real])
    return np.concatenate([time[:1], instants]), values[np.concatenate([[0], after])]


def _clock(time: Array, after: npt.NDArray[np.intp]) -> Array:
    """Instants of changes seen first in the samples `after`: ticks of one clock, or the samples' own times.

    A period of n mean sample intervals fits if one phase lies in all the intervals (sample before, sample after], moved
    back by their ticks; of the phases that do, the latest is taken, which is a sample's own time where nothing jitters.
    """
    step = float(time[-1] - time[0]) / (len(time) - 1)
    low, high = (time[after - 1] - time[0]) / step, (time[after] - time[0]) / step
    for period in np.unique(np.round(np.diff(high)))[:8] if len(after) > 3 else ():
        if period < 2:
            continue
        ticks = np.round((high - high[0]) / period) * period
        phase = float(np.min(high - ticks))
        if np.max(low - ticks) <= phase + 0.01:
            return np.asarray(time[0] + step * (phase + ticks))
    return np.asarray(time[after])


def held_on(time: Array, values: Array, grid: Array) -> Array:
    """A held channel on a uniform grid: each step takes the mean of what was applied during it.

    The mean keeps the area of a pulse that a coarser grid cuts. A change within a twentieth of a step of a grid instant
    belongs to that instant.
    """
    step = float(grid[1] - grid[0])
    instants, held = change_times(time, values)
    places = (instants - grid[0]) / step
    places = np.where(np.abs(places - np.round(places)) < 0.05, np.round(places), places)
    places[0] = min(places[0], 0.0)
    edges = np.arange(len(grid) + 1, dtype=np.float64)
    area = np.concatenate([[0.0], np.cumsum(held[:-1] * np.diff(places))])
    index = np.searchsorted(places, edges, side="right") - 1
    mean = np.diff(area[index] + held[index] * (edges - places[index]))
    # Where nothing changed within the step, the value itself: a mean of equal numbers differs in the last digit.
    whole = np.searchsorted(places, edges[1:], side="left") - 1 == index[:-1]
    return np.where(whole, held[index[:-1]], mean)


def spline_of(time: Array, values: Array) -> interpolate.BSpline:
    """Interpolating spline of fifth order, or of the highest order that so few samples allow."""
    degree = min(5, (len(time) - 1) // 2 * 2 + 1 if len(time) < 6 else 5, len(time) - 1)
    # Shifted and scaled: knots in seconds (1e-12) would leave the solver with an ill-conditioned system.
    return interpolate.make_interp_spline(time, values, k=max(1, degree))


def band_limited(time: Array, values: Array, interval: float) -> Array:
    """Low-pass the channel at the Nyquist frequency of `interval`, on its own (nearly uniform) samples.

    Zero-phase windowed-sinc filter (Kaiser, 60 dB), its length four new intervals to each side.
    """
    step = float(np.median(np.diff(time)))
    half = int(np.ceil(4 * interval / step))
    if len(values) <= 2 * half + 1 or interval <= step:
        return values
    taps = signal.firwin(2 * half + 1, 0.9 * step / interval, window=("kaiser", 5.65))
    padded = np.concatenate(
        [2 * values[0] - values[half:0:-1], values, 2 * values[-1] - values[-2 : -half - 2 : -1]]
    )  # odd reflection keeps level and slope at both ends
    return np.convolve(padded, taps, mode="valid")


def _gap(trace: Trace, longest: float) -> tuple[float, float] | None:
    """Begin and end [s] of the longest step, if it is longer than that."""
    steps = np.diff(trace.time)
    at = int(np.argmax(steps))
    return (float(trace.time[at]), float(trace.time[at + 1])) if steps[at] > longest else None


def resample(trace: Trace, interval: float | None = None, *, method: str = "spline") -> Trace:
    """Put a recording on a uniform grid.

    Held drives are averaged over each step, never interpolated. Other channels run through an interpolating quintic spline;
    `method="band-limited"` first low-passes them at the new Nyquist frequency, which a coarser grid needs if the channel
    holds power above it.

    Args:
        trace: Recording with strictly increasing time and finite values.
        interval: New sample interval [s]; the median one if omitted.
        method: "spline" or "band-limited".

    Returns:
        The trace on the grid. Its provenance tells, under "resampled", the intervals, the method, the jitter removed and,
        per channel, the share of variance that lay above the new Nyquist frequency.

    Raises:
        TraceError: unusable samples, an interval that is not positive or longer than the recording, an unknown method.
    """
    check_samples(trace)
    if method not in ("spline", "band-limited"):
        raise TraceError(f"resampling method {method!r} is unknown; expected 'spline' or 'band-limited'.")
    old = interval_of(trace)
    new = old if interval is None else float(interval)
    if not 0 < new <= trace.duration / 2:
        raise TraceError(
            f"the sample interval {new:.6g} s does not fit a recording of {trace.duration:.6g} s sampled every {old:.6g} s; "
            "pass a positive interval of at most half its length, in seconds."
        )
    grid = uniform_grid(trace, new)
    kinds = {name: trace.interpolation.get(name) or recorded_interpolation(v) for name, v in trace.drive.items()}
    aliased: dict[str, float] = {}
    gap = _gap(trace, GAP * max(old, new)) if any(kinds.get(name) != "held" for name in trace.channels) else None
    if gap is not None:
        warnings.warn(
            f"nothing was recorded from {gap[0]:.6g} s to {gap[1]:.6g} s, where the usual step is {old:.4g} s: the samples "
            "there are made up by interpolation. Cut the recording there, and fit the pieces as several traces.",
            TraceWarning,
            stacklevel=2,
        )

    def on_grid(name: str, values: Array) -> Array:
        if kinds.get(name) == "held":
            return held_on(trace.time, values, grid)
        smooth = band_limited(trace.time, values, new) if new > 1.01 * old else values
        spread = float(np.var(values))
        aliased[name] = float(np.var(values - smooth) / spread) if spread > 0 else 0.0
        source = smooth if method == "band-limited" else values
        if kinds.get(name) == "linear":
            return np.interp(grid, trace.time, source)
        # Time in units of the step keeps the spline's linear system well conditioned.
        origin = trace.time[0]
        return np.asarray(spline_of((trace.time - origin) / old, source)((grid - origin) / old), dtype=np.float64)

    jitter = float(np.std(np.diff(trace.time)))
    drive = {name: on_grid(name, values) for name, values in trace.drive.items()}
    output = {name: on_grid(name, values) for name, values in trace.output.items()}
    account = {
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
        provenance={**trace.provenance, "resampled": account},
    )
