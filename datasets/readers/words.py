"""Columns of words among columns of numbers: times of day, dates, units of the column before, quantities, remarks."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from ...errors import TraceError
from ...typing import Array
from .grid import number
from .header import is_unit

_QUANTITY = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>[^\W\d_°%][^\s\d]*|°C|%)")
_UNIT_COLUMN = re.compile(r"units?|.* units?", re.IGNORECASE)
_DAY = 86400.0
_FORMATS = (
    "%H:%M:%S.%f", "%H:%M:%S", "%I:%M:%S.%f %p", "%I:%M:%S %p", "%M:%S.%f",
    "%Y/%m/%d %H:%M:%S.%f", "%Y/%m/%d %H:%M:%S", "%d.%m.%Y %H:%M:%S.%f", "%d.%m.%Y %H:%M:%S",
    "%d-%b-%Y %H:%M:%S.%f", "%d-%b-%Y %H:%M:%S",
)  # fmt: skip
#: Of these, either may be meant.
_DAY_FIRST = ("%d/%m/%Y %H:%M:%S.%f", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %I:%M:%S %p")
_MONTH_FIRST = ("%m/%d/%Y %H:%M:%S.%f", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p")


def seconds_of(cells: Sequence[str], name: str) -> Array | None:
    """Seconds since the first of times of day or dates; None if they are something else.

    Raises:
        TraceError: dates in which day and month cannot be told apart, where that matters.
    """
    cells = [cell.strip().strip('"') for cell in cells]
    if not cells or not re.search(r"\d:\d|T\d", cells[0]):
        return None
    try:
        stamps = [datetime.fromisoformat(cell.replace("Z", "+00:00")) for cell in cells]
        return _since(stamps)
    except (ValueError, TypeError):  # TypeError: some with a time zone and some without
        pass
    for form in _FORMATS:
        found = _parsed(cells, form)
        if found is not None:
            return _since(found, wrap="%d" not in form)
    either = [_parsed(cells, form) for form in (*_DAY_FIRST, *_MONTH_FIRST)]
    readings = [_since(each) for each in either if each is not None]
    if not readings:
        return None
    if any(not np.array_equal(readings[0], each) for each in readings[1:]):
        raise TraceError(
            f"the dates of column {name!r} ({cells[0]}) can have the day or the month first, and the times between them "
            "depend on "
            "it; write them as 2026-11-27 12:00:00."
        )
    return readings[0]


def _parsed(cells: Sequence[str], form: str) -> list[datetime] | None:
    try:
        return [datetime.strptime(cell, form) for cell in cells]
    except ValueError:
        return None


def _since(stamps: Sequence[datetime], *, wrap: bool = False) -> Array:
    values = np.array([(stamp - stamps[0]).total_seconds() for stamp in stamps])
    if wrap:  # times of day go on behind midnight
        values += _DAY * np.concatenate([[0], np.cumsum(np.diff(values) < -_DAY / 2)])
    return values


def quantities_of(cells: Sequence[str], name: str) -> tuple[Array, str] | None:
    """Values and unit of cells such as `1.5 mV`; None if they are something else.

    Raises:
        TraceError: cells in several units.
    """
    found = [_QUANTITY.fullmatch(cell.strip().strip('"')) for cell in cells]
    if not all(each is not None and is_unit(each["unit"]) for each in found):
        return None
    units = list(dict.fromkeys(each["unit"] for each in found if each))
    if len(units) > 1:
        raise TraceError(f"the column {name!r} mixes the units {', '.join(units)}; write all its cells in one.")
    return np.array([float(each["number"]) for each in found if each]), units[0]


def units_from(names: Sequence[str], texts: dict[int, list[str]]) -> dict[int, str]:
    """Units that a column of their own gives to the one before it: `Reading,Unit` with `Volt DC` in each row.

    Raises:
        TraceError: such a column with several units.
    """
    units = {}
    for place, cells in texts.items():
        if place == 0 or not _UNIT_COLUMN.fullmatch(names[place].strip()):
            continue
        kinds = list(dict.fromkeys(re.sub(r"\s*(?:DC|AC)$", "", cell.strip().strip('"')) for cell in cells))
        if len(kinds) > 1:
            raise TraceError(
                f"the column {names[place - 1]!r} mixes the units {', '.join(kinds)}; cut the file into one for each."
            )
        units[place - 1] = kinds[0]
    return units


def kept(cells: Sequence[str]) -> list[str]:
    """The distinct words of a column, the first of them if there are many."""
    return list(itertools.islice(dict.fromkeys(cell.strip() for cell in cells), 20))


def is_text(cells: Sequence[str]) -> bool:
    """Whether no cell is a number, and some cell is not empty."""
    values = [number(cell) for cell in cells]
    return all(value is None or value != value for value in values) and any(value is None for value in values)
