"""The columns of delimited text with what its settings say about them: units, times, and the exact sample interval."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...traces.exact_clock import contradicts, exact_times, is_exact
from ...typing import Array
from ...units import parse_unit, readable
from .delimited_layout import Layout
from .header import is_unit_of
from .scope_settings import channel_unit, has_screen_columns, parse_settings, record_length, sample_clock, time_unit
from .table import Table, count_doubt, sample_times

# The number of a sample, beside channels whose unit the settings give.
_COUNTER = re.compile(r"index|samples?|points?|no\.?|nr\.?|#", re.IGNORECASE)


@dataclass
class _Columns:
    names: list[str]
    units: list[str | None]
    values: list[Array]


def build_table(
    layout: Layout,
    names: Sequence[str],
    units: Sequence[str | None],
    columns: Sequence[Array] | Array,
    remarks: Sequence[str] = (),
) -> Table:
    """Return the table of columns that were read; those with an empty name are left out.

    Args:
        layout: Layout of the text.
        names: Name of each column.
        units: Unit text of each column; None where it has none.
        columns: Values of each column.
        remarks: Comments, which may contain settings as well.
    """
    keep = [index for index, name in enumerate(names) if name and not _is_empty(layout, index, columns[index])]
    table = _Columns([names[index] for index in keep], [units[index] for index in keep], [columns[index] for index in keep])
    ids = {layout.ids[index]: names[index] for index in keep if layout.ids and layout.ids[index] not in names}
    left_out = _drop_repeated_times(table) if layout.header is None else {}
    settings = parse_settings([line.text for line in layout.settings], layout.delimiter)
    in_comments = parse_settings(list(remarks), None)
    if settings or any(key.casefold() in ("units", "unit") for key in in_comments):
        _add_units(table, settings or in_comments)
    clock = sample_clock(settings) or sample_clock(in_comments, certain=True)
    time, time_doubt = None, ""
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    if has_screen_columns(table.names) and table.units[0] is None and _increases(table.values[0]):
        time = table.names[0]
        table.units[0] = "s"
    times = next((k for k, pair in enumerate(zip(table.names, table.units, strict=True)) if _is_time(*pair)), None)
    if clock and time is None and times is None:
        time = "time"
        table.values.insert(0, sample_times(clock[0], clock[1], len(table.values[0])))
        table.names.insert(0, time)
        table.units.insert(0, clock[2])
        notes = (f"the times are those of the sample interval in the settings, {_shown(clock[1], clock[2])}",)
    elif clock and times is not None:
        notes, doubts = _make_exact(table, times, clock)
    elif layout.header is None and (left_out or _only_first_increases(table.values)):
        time = table.names[0]
        time_doubt = (
            f"it has no header, and {time!r}, which grows from row to row, is taken as the time in seconds; if it is not, "
            "pass time='sample', or units={'time': 'us'} for another unit"
        )
    length, rows = record_length(settings), len(table.values[0])
    return Table(
        tuple(table.names),
        tuple(table.values),
        tuple(table.units),
        metadata={"header": settings} if settings else {},
        time=time,
        time_doubt=time_doubt,
        doubts=doubts + (count_doubt(length, rows) if length is not None and length > rows else ()),
        left_out=left_out,
        notes=notes,
        ids=ids,
    )


def _drop_repeated_times(table: _Columns) -> dict[str, str]:
    """Leave out columns that repeat a first column that grows, as ngspice's `wrdata` writes them: x y x y; say why."""
    first = table.values[0]
    if len(table.values) < 3 or not _increases(first):
        return {}
    repeated = [k for k in range(1, len(table.values)) if np.array_equal(table.values[k], first)]
    left_out = {table.names[k]: f"it repeats {table.names[0]!r}" for k in repeated}
    for k in reversed(repeated):
        del table.names[k], table.units[k], table.values[k]
    return left_out


def _is_empty(layout: Layout, index: int, values: Array) -> bool:
    """Return True for a column without a name and without values, which separates two tables side by side."""
    header = layout.header
    return header is not None and index < len(header) and not header[index] and not np.isfinite(values).any()


def _add_units(table: _Columns, settings: Mapping[str, str]) -> None:
    """Give columns without a unit that of the settings."""
    pairs = list(zip(table.names, table.units, strict=True))
    channels = [name for name, unit in pairs if not _is_time(name, unit) and not _COUNTER.fullmatch(name)]
    for index, (name, unit) in enumerate(pairs):
        if unit is None and not _COUNTER.fullmatch(name):
            is_channel = name in channels
            table.units[index] = channel_unit(settings, name, channels.index(name)) if is_channel else time_unit(settings)


def _make_exact(table: _Columns, index: int, clock: tuple[float, float, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Replace a rounded column of times by the exact clock of the settings; return notes and doubts."""
    name, unit, column = table.names[index], table.units[index], table.values[index]
    start, step, clock_unit = clock
    if unit is not None and not is_unit_of(unit, "s"):
        return (), ()
    if unit is not None and unit != clock_unit:
        factor = parse_unit(clock_unit).factor / parse_unit(unit).factor
        start, step = start * factor, step * factor
    if is_exact(column, step):
        return (), ()
    exact = exact_times(column, start, step)
    shown = _shown(step, unit or clock_unit)
    if exact is not None:
        table.values[index] = exact
        table.units[index] = unit or clock_unit
        return (f"{name!r} is rounded; the times are those of the sample interval in the settings, {shown}",), ()
    if contradicts(column, step):
        mean = float(column[-1] - column[0]) / (len(column) - 1)
        found = _shown(mean, unit or clock_unit)
        return (), (f"its settings give a sample interval of {shown}, but {name!r} has steps of {found}; the column is used",)
    return (), ()


def _shown(value: float, unit: str) -> str:
    return readable(float(parse_unit(unit).to_si(value)), "s")


def _is_time(name: str, unit: str | None) -> bool:
    """Return True if a column has the name of a time, or a unit of time."""
    named = ("time" in name.casefold() and "step" not in name.casefold()) or name.casefold() == "t"
    return (named and (unit is None or is_unit_of(unit, "s"))) or (bool(unit) and is_unit_of(unit, "s"))


def _only_first_increases(columns: Sequence[Array]) -> bool:
    return len(columns) > 1 and _increases(columns[0]) and not any(map(_increases, columns[1:]))


def _increases(values: Array) -> bool:
    """Return True if values grow from each row to the next."""
    return len(values) > 2 and bool((np.diff(values) > 0).all())
