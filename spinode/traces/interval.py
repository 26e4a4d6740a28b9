"""Choice of the sample interval of a fit: recordings that are much finer than their motion are decimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import signal

from ..typing import Array
from ..units import readable
from .held_drives import change_times, infer_interpolation
from .sampling import base_interval, check_grid
from .trace import Trace, TraceSet

#: Samples per period of the fastest motion: at most this many are left as they are, and decimation aims at the second.
MAX_SAMPLES_PER_PERIOD, SAMPLES_PER_PERIOD = 30.0, 15.0

#: The fastest motion that matters: faster components have less than this share of the variance (3 % of the amplitude).
NEGLIGIBLE_SHARE = 1e-3

#: Samples that decimation leaves of a recording, at least.
MIN_SAMPLES_LEFT = 800

# A bin of a spectrum belongs to the motion if it exceeds the noise floor by this factor.
_ABOVE_FLOOR = 4.0
# A floor that makes up more than this share of the variance is fast motion, not noise: of an output, and of a drive.
_MAX_NOISE = {"output": 0.2, "drive": 0.05}
# Periods of the slowest resolved motion in a segment of the spectrum, and the segments' largest length in samples.
_SEGMENTS, _MAX_SEGMENT = 4, 65_536


@dataclass(frozen=True)
class IntervalChoice:
    """A sample interval, and why.

    Attributes:
        interval: Sample interval [s].
        reason: One sentence.
        factor: Recorded samples per step of the grid; 1 leaves the recording as it is.
        recorded: Interval of the recording [s].
        divides: Factors that are allowed: every change of a held drive falls on a sample of the coarser grid.
        period: Period of the fastest motion [s]; infinite if nothing moves.
    """

    interval: float
    reason: str
    factor: int
    recorded: float
    divides: tuple[int, ...]
    period: float


def choose_interval(traces: TraceSet | Sequence[Trace]) -> IntervalChoice:
    """Choose the sample interval of a fit from recordings.

    The fastest motion that matters is the highest frequency above which outputs and smooth drives have more than 1e-3 of
    their variance in excess of the noise floor. A recording with more than 30 samples per period of it is decimated to about
    15, by a whole factor that divides the time for which drives are held, so that no step is blurred. Others keep their
    interval.

    Args:
        traces: Recordings with strictly increasing times. Outputs may have missing samples (NaN).

    Example:
        >>> time = 1e-3 * np.arange(20_000)  # 20 s at 1 kHz of a motion of 1 Hz
        >>> slow = Trace(time, {"u": np.cos(2 * np.pi * time)}, {"y": np.sin(2 * np.pi * time)})
        >>> choice = choose_interval([slow])
        >>> 0.02 <= choice.interval <= 0.05
        True
    """
    members = list(traces)
    intervals = [base_interval(trace) for trace in members]
    recorded = float(np.median(intervals))
    frequency = max(_fastest(trace, step) for trace, step in zip(members, intervals, strict=True))
    period = 1 / frequency if frequency > 0 else np.inf
    divides = _allowed_factors(members, intervals)
    per_period = period / recorded
    shown = f"{readable(recorded, members[0].unit('time'))}"
    if not np.isfinite(per_period) or per_period <= MAX_SAMPLES_PER_PERIOD:
        reason = f"the recorded interval of {shown} is kept: the fastest motion has {per_period:.3g} samples per period"
        return IntervalChoice(recorded, reason, 1, recorded, divides, period)
    longest = min(trace.duration for trace in members) / recorded / MIN_SAMPLES_LEFT
    wanted = min(per_period / SAMPLES_PER_PERIOD, longest)
    factor = max(each for each in divides if each <= max(wanted, 1.0))
    if factor == 1:
        why = "the drive is held for too short or irregular times" if wanted >= 2 else "fewer samples would be too few"
        reason = f"the recorded interval of {shown} is kept, though a period has {per_period:.3g} samples: {why}"
        return IntervalChoice(recorded, reason, 1, recorded, divides, period)
    interval = factor * recorded
    reason = (
        f"{factor} recorded samples make one step of {readable(interval, members[0].unit('time'))}: the fastest motion has a "
        f"period of {readable(period, members[0].unit('time'))}, {per_period:.3g} samples"
    )
    return IntervalChoice(interval, reason, factor, recorded, divides, period)


def candidate_intervals(choice: IntervalChoice, factors: Sequence[float] = (1, 2, 4, 0.5)) -> list[float]:
    """Return the intervals near the chosen one that a search may try, the chosen one first.

    None is finer than the recording, blurs a step of a held drive, or has fewer than 8 samples per period of the fastest
    motion.

    Args:
        choice: From `choose_interval`.
        factors: Multiples of the chosen interval.

    Example:
        >>> candidate_intervals(IntervalChoice(0.02, "", 20, 1e-3, (1, 2, 4, 5, 10, 20, 40), 0.6))
        [0.02, 0.04, 0.01]
    """
    found = []
    for factor in (1, *factors):
        multiple = choice.factor * factor
        coarse = factor > 1 and multiple * choice.recorded > choice.period / 8
        if multiple == round(multiple) and round(multiple) in choice.divides and not coarse:
            found.append(choice.interval if factor == 1 else round(multiple) * choice.recorded)
    return list(dict.fromkeys(found))


def fastest_frequency(values: Array, interval: float, max_noise: float = 0.2) -> float:
    """Return the frequency above which a signal has 1e-3 of its variance in excess of the noise floor [Hz].

    The floor is the median power in the upper half of the band. If the floor is a large share of the variance, the signal is
    broadband, and the Nyquist frequency is returned. Zero for a constant.

    Args:
        values: Uniformly sampled and finite, shape (time,).
        interval: Sample interval [s].
        max_noise: Largest share of the variance that counts as noise.

    Example:
        >>> wave = np.sin(2 * np.pi * 0.01 * np.arange(8000))
        >>> 0.009 < fastest_frequency(wave, 1.0) < 0.02
        True
    """
    if len(values) < 16 or np.ptp(values) <= 1e-12 * np.max(np.abs(values)):
        return 0.0
    length = max(16, min(len(values) // _SEGMENTS, _MAX_SEGMENT))
    # A window whose side lobes fall fast: a slow, strong motion must not leak into the fast part of the spectrum.
    frequencies, power = signal.welch(
        values, 1 / interval, window="blackmanharris", nperseg=length, detrend="linear", scaling="density"
    )
    total = float(power.sum())
    floor = float(np.median(power[len(power) // 2 :])) / np.log(2) ** (1 / _SEGMENTS)
    if floor * len(power) > max_noise * total:
        return float(frequencies[-1])
    excess = np.where(power > _ABOVE_FLOOR * floor, power - floor, 0.0)
    tail = np.cumsum(excess[::-1])[::-1]
    moving = np.flatnonzero(tail > NEGLIGIBLE_SHARE * total)
    return float(frequencies[moving[-1]]) if len(moving) else 0.0


def _fastest(trace: Trace, interval: float) -> float:
    """Return the highest frequency of the outputs and the smooth drives of a recording [Hz]."""
    frequencies = [0.0]
    for role in ("drive", "output"):
        for name, values in getattr(trace, role).items():
            kind = trace.interpolation.get(name) or infer_interpolation(values)
            if role == "drive" and kind == "held":
                continue
            uniform = _uniform(trace.time, values, interval)
            frequencies.append(fastest_frequency(uniform, interval, _MAX_NOISE[role]))
    return max(frequencies)


def _uniform(time: Array, values: Array, interval: float) -> Array:
    """Return a channel on a uniform grid, by linear interpolation of its finite samples."""
    check_grid(time, interval)
    finite = np.isfinite(values)
    count = round(float(time[-1] - time[0]) / interval) + 1
    if finite.all() and count == len(time):
        return values
    return np.interp(time[0] + interval * np.arange(count), time[finite], values[finite]) if finite.any() else values[:0]


def _allowed_factors(traces: Sequence[Trace], intervals: Sequence[float]) -> tuple[int, ...]:
    """Return the factors by which the recordings can be decimated without blurring a step of a held drive."""
    common = 0
    for trace, interval in zip(traces, intervals, strict=True):
        for name, values in trace.drive.items():
            if (trace.interpolation.get(name) or infer_interpolation(values)) != "held":
                continue
            times, _ = change_times(trace.time, values)
            ticks = np.round((times[1:] - trace.time[0]) / interval).astype(np.int64)
            common = int(np.gcd.reduce([common, *ticks]))
    limit = round(max(trace.duration / interval for trace, interval in zip(traces, intervals, strict=True)) / 16)
    return tuple(each for each in range(1, max(limit, 1) + 1) if not common or common % each == 0)
