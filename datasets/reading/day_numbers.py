"""Times that are numbers of days: those of MATLAB (1 January 2000 is 730486) and of spreadsheets (36526)."""

from __future__ import annotations

import re

import numpy as np

from ...typing import Array

#: Seconds of a day.
DAY = 86400.0
_MATLAB = (693_961.0, 767_011.0)  # the years 1900 to 2099
_EXCEL = (32_874.0, 58_807.0)  # the years 1990 to 2060
_NAME = re.compile(r"date.?num(?:ber)?|serial.?date|date|day.?number|excel.?(?:time|date)|matlab.?time", re.IGNORECASE)
_DIGITS = 4
# Steps of whole milliseconds agree with day numbers to this many seconds, which is what float64 resolves.
_RESOLUTION = 2e-5


def is_called_date(name: str) -> bool:
    """Return True for `datenum` or `date`."""
    return _NAME.fullmatch(name.strip()) is not None


def kind_of_day_number(values: Array) -> str:
    """Return whose day numbers values without a unit can be, by their size; "" if they are none."""
    if len(values) < 2 or not np.isfinite(values).all():
        return ""
    low, high = float(values.min()), float(values.max())
    for name, (first, last) in (("MATLAB", _MATLAB), ("a spreadsheet", _EXCEL)):
        if first <= low and high <= last:
            return name
    return ""


def are_days(name: str, values: Array) -> bool:
    """Return True if values in the range of day numbers are days rather than seconds.

    Their name says so; or their steps are round numbers of seconds if they are days, and not if they are seconds.

    Example:
        >>> are_days("time", 730852 + np.arange(5) / 24), are_days("time", 730852 + np.arange(5) / 8)
        (True, False)
    """
    if is_called_date(name):
        return True
    step = float(values[-1] - values[0]) / (len(values) - 1)
    seconds = step * DAY
    return step > 0 and _is_round(seconds, _RESOLUTION) and not _is_round(step, 1e-9)


def seconds_of(days: Array) -> Array:
    """Return seconds since the first of some day numbers; whole milliseconds where they are so to within the resolution."""
    seconds = DAY * (days - days[0])
    rounded = np.round(seconds, 3)
    return np.asarray(rounded if float(np.max(np.abs(seconds - rounded))) <= _RESOLUTION else seconds, dtype=np.float64)


def _is_round(value: float, resolution: float) -> bool:
    """Return True if a number has at most four digits, to within what its source resolves."""
    return any(abs(float(f"{value:.{digits}g}") - value) <= resolution for digits in range(1, _DIGITS + 1))
