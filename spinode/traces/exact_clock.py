"""Rounded times, made exact by a sample interval that is known or can be found."""

from __future__ import annotations

import math

import numpy as np

from ..typing import Array

# Times that deviate from the clock by less than this share of a step need no correction.
_EXACT = 1e-6
# A value is rounded by half of its last place; slightly more, since both numbers are binary.
_HALF = 0.501
# Values from which the number of digits is found.
_SAMPLE = 2000
_MIN_ROWS = 3
#: Agreement of two sample intervals, beyond the rounding of the column.
_SAME = 0.02


def exact_times(column: Array, start: float, step: float) -> Array | None:
    """Return start + i step where a column agrees with it to within its own rounding; None where it does not.

    Args:
        column: Rounded times, shape (rows,).
        start: First time of the clock; that of the column is used where the clock begins elsewhere.
        step: Sample interval, in the unit of the column.

    Example:
        >>> exact_times(np.array([-16.0, -15.98, -15.97, -15.95, -15.94]), 0.0, 0.016).tolist()
        [-16.0, -15.984, -15.968, -15.952, -15.936]
        >>> exact_times(np.array([0.0, 1.0, 2.0, 3.0]), 0.0, 0.5) is None
        True
    """
    if len(column) < _MIN_ROWS or not np.isfinite(column).all() or not step > 0:
        return None
    offset = column - step * np.arange(len(column))
    rounding = _HALF * rounding_of(column)
    low, high = float(np.max(offset - rounding)), float(np.min(offset + rounding))
    if low > high:
        return None
    first = start if low <= start <= high else float(column[0])
    return np.asarray(min(max(first, low), high) + step * np.arange(len(column)))


def is_exact(column: Array, step: float) -> bool:
    """Return True if a column follows a clock so closely that nothing is gained by correcting it."""
    offset = column - step * np.arange(len(column))
    return bool(np.ptp(offset) <= _EXACT * step)


def contradicts(column: Array, step: float) -> bool:
    """Return True if a column is as regular as a clock, but of another sample interval."""
    if len(column) < _MIN_ROWS or not np.isfinite(column).all():
        return False
    mean = float(column[-1] - column[0]) / (len(column) - 1)
    spread = float(np.ptp(column - column[0] - mean * np.arange(len(column))))
    return mean > 0 and spread <= _SAME * mean * len(column) and abs(mean - step) > _SAME * step


def rounding_of(column: Array) -> Array:
    """Return the place of the last digit of each value, shape (rows,): fixed decimals, or a fixed number of digits."""
    sample = column[:: max(1, len(column) // _SAMPLE)]
    digits, decimals = 1, 0
    for value in sample.tolist():
        mantissa, _, exponent = f"{value!r}".lower().partition("e")
        whole, _, fraction = mantissa.lstrip("-").partition(".")
        fraction = "" if fraction == "0" else fraction
        digits = max(digits, len((whole + fraction).strip("0")) or 1, len((whole + fraction).lstrip("0")) if fraction else 1)
        decimals = max(decimals, len(fraction) - int(exponent or 0))
    with np.errstate(divide="ignore"):
        magnitude = np.floor(np.log10(np.abs(column)))
    magnitude = np.where(np.isfinite(magnitude), magnitude, -math.inf)
    return np.asarray(np.maximum(10.0 ** (-float(decimals)), 10.0 ** (magnitude - digits + 1)), dtype=np.float64)


def find_interval(column: Array) -> float | None:
    """Return the sample interval of times that repeat because they are rounded, with few digits; None where none fits.

    Example:
        >>> find_interval(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.02]))
        0.001
    """
    if len(column) < _MIN_ROWS or not np.isfinite(column).all() or not column[-1] > column[0]:
        return None
    mean = float(column[-1] - column[0]) / (len(column) - 1)
    for digits in range(1, 8):
        step = float(f"{mean:.{digits}g}")
        if exact_times(column, float(column[0]), step) is not None:
            return step
    return None
