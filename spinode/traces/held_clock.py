"""The clock of a generator, found from the changes of a held drive that a recording still shows.

A change is known to lie between two samples, in (before, after]. A clock fits if all of these intervals contain one of its
ticks, phase + k period.
"""

from __future__ import annotations

import numpy as np

from ..typing import Array

# Changes that are enough to recognise a clock.
_MIN_CHANGES = 8
# Logarithm of the odds against a fit by chance, beyond the number of periods and phases that are tried.
_MIN_EVIDENCE = 12.0
# Changes over which a period is refined in one step, at first.
_WINDOW = 6
# An interval may miss its tick by this share of itself: times in files are rounded.
_TOLERANCE = 0.02
# Share of intervals that may contain several ticks.
_MAX_AMBIGUOUS = 0.15
_QUANTILES = (0.9, 0.75, 0.5, 0.35, 0.25, 0.1, 0.05)
_MULTIPLES = (1, 2, 3, 4)


def clock_ticks(before: Array, after: Array) -> Array | None:
    """Return the tick of a clock in each interval, as late as possible; None if no clock fits.

    Of the periods that fit the longest is returned: its fractions fit as well. A fit counts if its odds against chance are
    high: a random change lies within an interval of the width w with the probability w / period.

    Args:
        before: Last samples before the changes, shape (changes,), increasing.
        after: First samples after them.

    Example:
        >>> after = 10.0 * np.arange(24) + np.tile([0.3, 1.1, 2.4], 8)
        >>> ticks = clock_ticks(after - 3, after)
        >>> bool(np.ptp(np.diff(ticks)) < 1e-9)
        True
    """
    if len(after) < _MIN_CHANGES:
        return None
    gaps = np.diff(after)
    tried = {float(np.quantile(gaps, q)) / m for q in _QUANTILES for m in _MULTIPLES}
    for guess in sorted(tried, reverse=True):
        found = _refine(before, after, guess)
        if found is None:
            continue
        period, phase = found
        width = np.minimum(after - before, period)
        if float(np.mean(after - before >= period)) > _MAX_AMBIGUOUS:
            continue  # too coarse: a fraction of the true period fits as well
        if float(np.sum(np.log(period / width))) - 2 * np.log(len(after)) < _MIN_EVIDENCE:
            continue
        return np.asarray(phase + np.floor((after - phase) / period * (1 + 1e-12) + 1e-9) * period)
    return None


def _refine(before: Array, after: Array, guess: float) -> tuple[float, float] | None:
    """Return period and latest phase of a clock near a guess; None if none fits.

    The number of periods between changes is counted over ever longer stretches, with the period of the one before.
    """
    middle = 0.5 * (before + after)
    period, count = guess, _WINDOW
    while True:
        count = min(count, len(middle))
        # Numbers are counted from change to change, which does not add up errors of the period.
        numbers = np.concatenate([[0.0], np.cumsum(np.maximum(np.round(np.diff(middle[:count]) / period), 0.0))])
        if numbers[-1] < 1:
            return None
        for _ in range(3):
            slope, offset = np.polyfit(numbers, middle[:count], 1)
            if not slope > 0:
                return None
            numbers = np.round((middle[:count] - offset) / slope)
        period = float(slope)
        if count == len(middle):
            break
        count *= 2
    return _feasible(before, after, numbers, period)


def _feasible(before: Array, after: Array, numbers: Array, period: float) -> tuple[float, float] | None:
    """Return period and latest phase with a tick in every interval, near a period; the width of the phases is concave in it."""
    slack = _TOLERANCE * (after - before)
    span = max(float(np.ptp(numbers)), 1.0)
    reach = 2 * float(np.max(after - before)) / span

    def phases(trial: float) -> tuple[float, float]:
        return float(np.max(before - slack - numbers * trial)), float(np.min(after + slack - numbers * trial))

    low, high = period - reach, period + reach
    for _ in range(80):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        width_a, width_b = (top - bottom for bottom, top in (phases(a), phases(b)))
        low, high = (a, high) if width_a < width_b else (low, b)
    best = 0.5 * (low + high)
    bottom, top = phases(best)
    if bottom >= top or best <= 0:
        return None
    return best, float(min(top, np.min(after - numbers * best)))
