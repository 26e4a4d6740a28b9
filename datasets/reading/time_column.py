"""The times of a recording: from a column that is the time, from a sample interval, or the sample numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import TraceError, UnitError
from ...typing import Array
from ...units import parse_unit, same_dimension
from ..parsing.header import is_unit, is_unit_of
from ..parsing.messages import listed
from ..parsing.table import sample_times
from ..parsing.warn import warn_user
from ..pulses.hints import pulse_hint
from .channels import SourceColumns, contains_time, is_called_time
from .day_numbers import DAY, are_days, is_called_date, kind_of_day_number, seconds_of

#: The value of `time=` for a recording without times: its samples are numbered.
SAMPLE = "sample"
_NUMBERED_NAME = re.compile(r"(?P<stem>.*?)[ _]?(?:\d+|[A-D])", re.IGNORECASE)
_MAX_FIRST_TIME = 1e8  # seconds; a recording does not begin after three years


@dataclass(frozen=True, eq=False)
class Times:
    """The times of a recording.

    Attributes:
        column: Name of the time column; None if there is none.
        values: Times [s], or sample numbers, shape (rows,).
        are_sample_numbers: True if the values are sample numbers.
        notes: What the user should be told about the times, one sentence each without its full stop.
        replaced: Name of a time column that is not used, because the caller gave a sample interval or sample numbers.
    """

    column: str | None
    values: Array
    are_sample_numbers: bool = False
    notes: tuple[str, ...] = ()
    replaced: str | None = None


def find_times(columns: SourceColumns, time: str | float | None, taken: set[str]) -> Times:
    """Return the times of a recording.

    Args:
        columns: The columns of the file.
        time: Name of the time column, sample interval [s], or "sample"; None to search for a column.
        taken: Columns that are drives or outputs.

    Raises:
        TraceError: no such column, several that can be the time, or an impossible sample interval.
        UnitError: the column is not in a unit of time.
    """
    rows = columns.table.rows
    interval = _sample_interval(columns, time)
    if interval is not None:
        return Times(None, sample_times(0.0, interval, rows), replaced=_unused_time(columns, taken))
    numbered = Times(None, np.arange(rows, dtype=np.float64), are_sample_numbers=True)
    if time == SAMPLE and SAMPLE not in columns.table.names:
        return replace(numbered, replaced=_unused_time(columns, taken))
    name = _search(columns, taken) if time is None else columns.resolve(str(time))
    if name is None:
        return numbered
    columns.require(name)
    if "time" in columns.units:
        columns.units[name] = columns.units["time"]
    values, notes = _seconds(columns, name)
    unit = columns.unit(name)
    if unit is not None and not same_dimension(unit, "s"):
        raise UnitError(
            f"{columns.source}: the time column {name!r} is in {unit!r}, which is not a unit of time; "
            f"choose another column with time=, or correct it with units={{{name!r}: 's'}}."
        )
    if time is None:
        _warn_of_odd_times(columns, values, has_unit=unit is not None)
    return Times(name, values, notes=notes)


def _unused_time(columns: SourceColumns, taken: set[str]) -> str | None:
    """Return the time column that a sample interval replaces; None where there is no single one."""
    table = columns.table
    named = [name for name in table.names if is_called_time(name) and name not in taken and _can_be_time(columns, name)]
    known = table.time if not table.time_doubt and table.time not in taken else None
    return known or (named[0] if len(named) == 1 else None)


def _seconds(columns: SourceColumns, name: str) -> tuple[Array, tuple[str, ...]]:
    """Return a time column in seconds, and notes; day numbers count from the first, where float64 is fine enough."""
    raw = columns.table.column(name)
    unit = columns.unit(name)
    kind = "" if columns.table.roles or name in columns.table.unreadable else kind_of_day_number(raw)
    if kind and unit is None and are_days(name, raw):
        warn_user(
            f"{columns.source}: {name!r} has no unit and contains day numbers of {kind}, read as seconds since the first. "
            f"If they are seconds, pass units={{{name!r}: 's'}}."
        )
        columns.units[name] = "d"
        return seconds_of(raw), (f"{name!r} contains day numbers of {kind}; the times are seconds since the first",)
    if kind and unit is not None and is_unit_of(unit, "s") and parse_unit(unit).factor == DAY:
        return seconds_of(raw), (f"{name!r} contains day numbers; the times are seconds since the first",)
    if kind and unit is None and np.any(raw != np.round(raw)):
        warn_user(
            f"{columns.source}: {name!r} has no unit, and is taken as seconds; numbers of this size can also be day numbers of "
            f"{kind}: pass units={{{name!r}: 'd'}} if they are."
        )
    return columns.channel(name), ()


def _warn_of_odd_times(columns: SourceColumns, values: Array, *, has_unit: bool) -> None:
    """Warn of times that are dates or decrease; only for a column that the caller did not name."""
    if not has_unit and abs(float(values[0])) > _MAX_FIRST_TIME:
        warn_user(
            f"{columns.source}: the times begin at {values[0]:.6g}, without a unit; taken as seconds that is a date. If they "
            "are milliseconds or ticks of a clock, pass units={'time': 'ms'} or the sample interval, time=1e-9."
        )
    decreases = np.flatnonzero(np.diff(values) < 0) if not columns.table.roles else np.empty(0)
    if len(decreases):
        warn_user(
            f"{columns.source}: the times decrease {len(decreases)} times, first after row {int(decreases[0]) + 1}; if the "
            "file contains several recordings one after the other, cut it into one file for each."
        )


def _sample_interval(columns: SourceColumns, time: str | float | None) -> float | None:
    """Return the sample interval, if `time` is a number and not a name; the command line passes both as text."""
    if time is None or time in columns.table.names:
        return None
    try:
        interval = float(time)
    except ValueError:
        return None
    if not (np.isfinite(interval) and interval > 0):
        raise TraceError(f"the sample interval is {time}; expected a positive number of seconds.")
    return interval


def _search(columns: SourceColumns, taken: set[str]) -> str | None:
    """Return the only column that is the time: by the rules of the format, by its name, or the first and in a unit of time."""
    table = columns.table
    if table.time is not None and table.time not in taken:
        if table.time_doubt:
            warn_user(f"{columns.source}: {table.time_doubt}.")
        return table.time
    candidates = [name for name in table.names if name not in taken and _can_be_time(columns, name)]
    for name in candidates:
        if name in table.unreadable and (is_called_time(name) or contains_time(name) or is_called_date(name)):
            columns.channel(name)  # which reports what is wrong with it
    for is_time in (is_called_time, contains_time, is_called_date):
        found = [name for name in candidates if is_time(name)]
        if is_time is is_called_date:
            found = [name for name in found if kind_of_day_number(table.column(name))]
        elif len(found) > 1 and "T" in found:
            found.remove("T")  # a temperature beside a time
        if len(found) == 1:
            _refuse_second_time(columns, found[0], candidates)
            return found[0]
        if found and all(columns.repeats(found[0], name) for name in found):
            return found[0]
        if found:
            raise TraceError(
                f"{columns.source}: the columns {' and '.join(map(repr, found))} can each be the time; "
                f"choose one: time={found[0]!r}."
            )
    first = table.names[0]
    unit = columns.unit(first)
    _refuse_second_time(columns, first, candidates)
    if first in candidates and unit is not None and is_unit(unit):
        return first
    if table.rows > 1:
        _warn_of_no_time(columns, taken, candidates)
    return None


def _warn_of_no_time(columns: SourceColumns, taken: set[str], candidates: Sequence[str]) -> None:
    names = columns.table.names
    excluded = set(candidates)
    other_unit = [name for name in names if name not in excluded and name not in taken and is_called_time(name)]
    reason = "".join(f"; {name!r} is in {columns.unit(name)!r}, which is not a unit of time" for name in other_unit)
    warn_user(
        f"{columns.source} has no time column that can be recognised (its columns are: {listed(names)}{reason}), so its "
        "samples are numbered. Pass time='sample' if that is intended, the name of a column with time=, or the sample "
        f"interval in seconds: time=1e-9.{pulse_hint(names)}"
    )


def _can_be_time(columns: SourceColumns, name: str) -> bool:
    """Return False for a column in another unit; an unknown unit is accepted here, so that it is reported later."""
    unit = columns.unit(name)
    return unit is None or not is_unit(unit) or same_dimension(unit, "s")


def _refuse_second_time(columns: SourceColumns, time: str, names: Sequence[str]) -> None:
    """Refuse a file whose channels have times of their own, t1 and t2."""
    stem = _NUMBERED_NAME.fullmatch(time.strip())
    if stem is None or not is_unit_of(columns.unit(time), "s"):
        return
    for name in names:
        other, unit = _NUMBERED_NAME.fullmatch(name.strip()), columns.unit(name)
        if name == time or other is None or other["stem"] != stem["stem"] or unit is None or not same_dimension(unit, "s"):
            continue
        if not columns.equal(time, name):
            raise TraceError(
                f"{columns.source}: the columns {time!r} and {name!r} can each be the time, and they differ; choose one: "
                f"time={time!r}, and name the channels that belong to it with output=."
            )
