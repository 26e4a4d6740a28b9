"""Columns of words among columns of numbers: times of day, dates, units of the column before, quantities, remarks."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from ...errors import TraceError
from ...typing import Array
from .header import is_unit

_QUANTITY = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>[^\W\d_°%][^\s\d]*|°C|%)")
_UNIT_COLUMN = re.compile(r"units?|.* units?", re.IGNORECASE)
_DAY = 86400.0
_MAX_DISTINCT = 20
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d-%b-%Y")
_CLOCKS = ("%H:%M:%S.%f", "%H:%M:%S", "%H:%M", "%I:%M:%S.%f %p", "%I:%M:%S %p", "%I:%M %p")
_FORMATS = (*_CLOCKS, "%M:%S.%f", *(f"{date} {clock}" for date in _DATES for clock in _CLOCKS))
#: Dates between slashes can have either order.
_DAY_FIRST = tuple(f"%d/%m/%Y {clock}" for clock in _CLOCKS)
_MONTH_FIRST = tuple(f"%m/%d/%Y {clock}" for clock in _CLOCKS)


def parse_times(cells: Sequence[str], name: str) -> Array | None:
    """Return seconds since the first of a column of times of day or dates; None if the column contains something else.

    Raises:
        TraceError: day and month of the dates cannot be distinguished, and the times depend on it.
    """
    cells = [cell.strip().strip('"') for cell in cells]
    if not cells or not re.search(r"\d:\d|T\d", cells[0]):
        return None
    try:
        stamps = [datetime.fromisoformat(cell.replace("Z", "+00:00")) for cell in cells]
        return _seconds_since_first(stamps)
    except (ValueError, TypeError):  # TypeError: some with a time zone and some without
        pass
    for form in _FORMATS:
        parsed = _parse_all(cells, form)
        if parsed is not None:
            return _seconds_since_first(parsed, wrap_at_midnight="%d" not in form)
    both_orders = [_parse_all(cells, form) for form in (*_DAY_FIRST, *_MONTH_FIRST)]
    candidates = [_seconds_since_first(each) for each in both_orders if each is not None]
    if not candidates:
        return None
    if any(not np.array_equal(candidates[0], each) for each in candidates[1:]):
        raise TraceError(
            f"the dates of column {name!r} ({cells[0]}) can have the day or the month first, and the times between them "
            "depend on it; write them as 2026-11-27 12:00:00."
        )
    return candidates[0]


def _parse_all(cells: Sequence[str], form: str) -> list[datetime] | None:
    try:
        return [datetime.strptime(cell, form) for cell in cells]
    except ValueError:
        return None


def _seconds_since_first(stamps: Sequence[datetime], *, wrap_at_midnight: bool = False) -> Array:
    values = np.array([(stamp - stamps[0]).total_seconds() for stamp in stamps])
    if wrap_at_midnight:  # times of day continue after midnight
        values += _DAY * np.concatenate([[0], np.cumsum(np.diff(values) < -_DAY / 2)])
    return values


def parse_quantities(cells: Sequence[str], name: str) -> tuple[Array, str] | None:
    """Return values and unit of a column of cells such as `1.5 mV`; None if the column contains something else.

    Raises:
        TraceError: cells in several units.
    """
    quantities = [_QUANTITY.fullmatch(cell.strip().strip('"')) for cell in cells]
    units = list(dict.fromkeys(each["unit"] for each in quantities if each))
    if not all(quantities) or not all(map(is_unit, units)):
        return None
    if len(units) > 1:
        raise TraceError(f"the column {name!r} mixes the units {', '.join(units)}; write all its cells in one.")
    return np.array([float(each["number"]) for each in quantities if each]), units[0]


def units_from_unit_columns(names: Sequence[str], words: Mapping[int, list[str]]) -> dict[int, list[str]]:
    """Return the distinct units that a column of its own gives to the one before it: `Reading,Unit` with `Volt DC`."""
    units = {}
    for index, cells in words.items():
        if index > 0 and _UNIT_COLUMN.fullmatch(names[index].strip()):
            units[index - 1] = list(dict.fromkeys(re.sub(r"\s*(?:DC|AC)$", "", cell.strip().strip('"')) for cell in cells))
    return units


def distinct_words(cells: Sequence[str]) -> list[str]:
    """Return the distinct words of a column, the first of them if there are many."""
    return list(itertools.islice(dict.fromkeys(cell.strip() for cell in cells), _MAX_DISTINCT))
