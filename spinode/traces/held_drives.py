"""Drives that hold their value between changes: how to recognise them, when they change, and their average over a step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..typing import Array
from .held_clock import clock_ticks

#: A drive whose value repeats exactly in at least this fraction of its samples was held between changes.
HELD_FRACTION = 0.4

#: A held drive may be unknown for this share of a recording without a warning.
UNKNOWN_DRIVE = 0.005

# Changes that are enough to recognise the clock of a generator where rows are left out.
_MIN_CHANGES = 8


def grid_interval(time: Array) -> float | None:
    """Return the interval of the regular grid on which irregular times lie, some of its times left out; None without one.

    Example:
        >>> grid_interval(np.array([0.0, 2.0, 4.0, 5.0, 7.0, 9.0])), grid_interval(np.array([0.0, 1.0, 2.3, 3.1]))
        (1.0, None)
    """
    steps = np.diff(time)
    smallest = float(np.min(steps))
    if (smallest > 0.98 * float(np.median(steps)) and float(np.max(steps)) < 1.5 * smallest) or smallest <= 0:
        return None
    # The shortest steps are one interval of the grid each; their mean is more accurate than any of them.
    interval = float(np.mean(steps[steps < 1.5 * smallest]))
    since = time - time[0]
    for _ in range(3):
        ticks = np.round(since / interval)
        if ticks[-1] < 1:
            return None
        interval = float(np.dot(ticks, since) / np.dot(ticks, ticks))
    position = since / interval
    on_grid = np.max(np.abs(position - np.round(position))) < 0.02 and np.all(np.diff(np.round(position)) > 0)
    return interval if on_grid else None


def infer_interpolation(values: Array) -> str:
    """Infer from the samples how a drive behaves between them: "held" or "spline".

    A held drive (steps of a generator, pulses, a masked reservoir input) repeats its value exactly; a smooth drive recorded in
    floating point hardly ever does. A constant drive counts as held.

    Example:
        >>> infer_interpolation(np.repeat([0.0, 1.0, -1.0], 10)), infer_interpolation(np.sin(np.linspace(0, 6, 30)))
        ('held', 'spline')
    """
    changes = np.diff(values) != 0
    if len(values) < 2 or not changes.any():
        return "held"
    # A burst also repeats its rest value, but then changes with every sample; a held drive seldom changes twice in a row.
    # Changes in the last digits, as in averages of a simulator, do not come from a generator.
    real = np.abs(np.diff(values)) > 1e-4 * np.ptp(values)
    consecutive = np.mean(real[1:][real[:-1]]) if real[:-1].any() else 0.0
    return "held" if np.mean(~changes) >= HELD_FRACTION and consecutive < 0.5 else "spline"


def change_times(time: Array, values: Array) -> tuple[Array, Array]:
    """Return when a held channel changed, and its values from then on.

    A recorder whose samples jitter shows a change between two samples, and the sample at the very time of the change may
    still have the old value. A generator changes on its own clock: if one period fits all intervals in which the changes
    lie, its ticks are the times of the changes. Otherwise a value applies from the time of its own sample on.

    Args:
        time: Sample times, shape (time,).
        values: The channel, shape (time,).

    Returns:
        Times and values, each of shape (changes + 1,), the first sample included.
    """
    steps = np.abs(np.diff(values))
    after = np.flatnonzero(steps) + 1
    times = time[after]
    # Simulators average in single precision: their constants change in the last digits, off the clock.
    real = steps[after - 1] > 1e-4 * np.ptp(values)
    times[real] = _clock_times(time, after[real])
    return np.concatenate([time[:1], times]), values[np.concatenate([[0], after])]


def _clock_times(time: Array, after: npt.NDArray[np.intp]) -> Array:
    """Return the times of changes first seen in the samples `after`: ticks of one clock, or the samples' own times.

    A period of n mean sample intervals fits if one phase lies in all intervals (previous sample, sample after], shifted back
    by their ticks. The latest such phase is used, which is a sample's own time if nothing jitters.
    """
    grid = grid_interval(time)
    if grid is not None:
        ticks = _ticks_between((time - time[0]) / grid, after)
        if ticks is None:
            # A change came at one of the times in the interval: at the middle one on average.
            low, high = np.round((time[after - 1] - time[0]) / grid), np.round((time[after] - time[0]) / grid)
            ticks = 0.5 * (low + 1 + high)
        return np.asarray(time[0] + grid * ticks)
    step = float(time[-1] - time[0]) / (len(time) - 1)
    low, high = (time[after - 1] - time[0]) / step, (time[after] - time[0]) / step
    for period in np.unique(np.round(np.diff(high)))[:8] if len(after) > 3 else ():
        if period < 2:
            continue
        ticks = np.round((high - high[0]) / period) * period
        phase = float(np.min(high - ticks))
        if np.max(low - ticks) <= phase + 0.01:
            return np.asarray(time[0] + step * (phase + ticks))
    found = clock_ticks(time[after - 1], time[after])
    return np.asarray(time[after]) if found is None else found


def unknown_share(time: Array, values: Array) -> float:
    """Return the share of the recording in which the value of a held drive is not known, since rows are missing.

    A change between two samples that are more than the usual interval apart leaves open when it came, unless the changes are
    on a clock. An interval with two ticks of the clock also hides a value.

    Example:
        >>> unknown_share(np.arange(40.0), np.repeat([0.0, 1.0, 0.0, 1.0], 10))
        0.0
    """
    steps = np.abs(np.diff(values))
    after = np.flatnonzero(steps > 1e-4 * np.ptp(values)) + 1
    if not len(after) or len(time) < 3:
        return 0.0
    usual = grid_interval(time) or float(np.median(np.diff(time)))
    before, at = time[after - 1], time[after]
    open_time = np.maximum(at - before - 1.5 * usual, 0.0)
    if not open_time.any():
        return 0.0
    grid = grid_interval(time)
    ticks = _ticks_between((time - time[0]) / grid, after) if grid is not None else clock_ticks(before, at)
    if ticks is None:
        return float(np.sum(np.where(open_time > 0, at - before - usual, 0.0)) / (2 * (time[-1] - time[0])))
    ticks = np.asarray(time[0] + grid * ticks) if grid is not None else ticks
    between = np.diff(ticks)
    period = float(np.min(between[between > 0.5 * usual], initial=np.inf))
    hidden = ticks - period > before + 0.02 * period
    return float(np.sum(np.where(hidden, at - before, 0.0)) / (2 * (time[-1] - time[0])))


def _ticks_between(position: Array, after: npt.NDArray[np.intp]) -> Array | None:
    """Return the times of changes in a recording with rows left out, in intervals of its grid; None without a clock.

    The longest period of which one phase has a tick in all intervals (previous sample, sample after] is that of the clock.
    """
    low, high = np.round(position[after - 1]), np.round(position[after])
    if len(after) >= _MIN_CHANGES:
        for period in range(int(np.quantile(np.diff(high), 0.9)) + 1, 1, -1):
            ticks = np.arange(period)[:, None]
            ticks = ticks + np.floor((high - ticks) / period) * period
            fits = (ticks > low).all(1)
            if fits.any():
                return np.asarray(ticks[int(np.argmax(fits))])
    found = clock_ticks(low, high)
    return None if found is None else np.floor(found + 0.02)


def average_held(time: Array, values: Array, grid: Array) -> Array:
    """Average a held channel over the steps of a uniform grid.

    The average preserves the area of a pulse that a coarser grid cuts. A change within a twentieth of a step of a grid time is
    moved to it.

    Args:
        time: Sample times, shape (time,).
        values: The channel, shape (time,).
        grid: Times of the grid, shape (steps,).

    Returns:
        Mean value during each step, shape (steps,).
    """
    step = float(grid[1] - grid[0])
    times, levels = change_times(time, values)
    positions = (times - grid[0]) / step
    positions = np.where(np.abs(positions - np.round(positions)) < 0.05, np.round(positions), positions)
    positions[0] = min(positions[0], 0.0)
    edges = np.arange(len(grid) + 1, dtype=np.float64)
    area = np.concatenate([[0.0], np.cumsum(levels[:-1] * np.diff(positions))])
    index = np.searchsorted(positions, edges, side="right") - 1
    mean = np.diff(area[index] + levels[index] * (edges - positions[index]))
    # Where nothing changes within the step, the value itself: a mean of equal numbers differs in the last digit.
    unchanged = np.searchsorted(positions, edges[1:], side="left") - 1 == index[:-1]
    return np.where(unchanged, levels[index[:-1]], mean)
