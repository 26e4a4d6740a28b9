"""Tables with a time for each channel, `t,v,t,v`: joined where the clocks agree, one recording each where they differ."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..parsing.header import is_unit, is_unit_of
from ..parsing.messages import counted
from ..parsing.parts import Part, SeveralParts, choose_part
from ..parsing.table import Table
from .channels import is_called_time

# Numbers that tell columns of one name apart: "t#2" of this package, "t2", "time_1", "Time (2)".
_NUMBERED = re.compile(r"(?P<stem>.*?)[ _.]?(?:#?\d+|\(\d+\)|[A-D])")
# Cadence writes "/out X" and "/out Y".
_X, _Y = re.compile(r"(?P<stem>.+) X", re.IGNORECASE), re.compile(r"(?P<stem>.+) Y", re.IGNORECASE)


@dataclass(frozen=True)
class _Pair:
    """A time column and the channels behind it, as positions in the table."""

    time: int
    channels: tuple[int, ...]


def split_pairs(table: Table, part: Part, requested: Collection[str], units: Mapping[str, str]) -> Table:
    """Return the table of one clock: joined, or the part that was requested; any other table unchanged.

    Args:
        table: The columns of a file.
        part: Which recording, by the name of its channels or by number.
        requested: Channels that the caller named; they may all belong to one clock.
        units: The caller's units by name.

    Raises:
        SeveralParts: the clocks differ, and neither `part` nor `requested` chooses one.
    """
    pairs = _find_pairs(table, units)
    if len(pairs) < 2:
        return table
    first = table.columns[pairs[0].time]
    if all(np.array_equal(first, table.columns[pair.time], equal_nan=True) for pair in pairs):
        dropped = {pair.time for pair in pairs[1:]}
        return _select(table, [index for index in range(len(table.names)) if index not in dropped], pairs[0].time)
    parts: dict[str, Table] = {}
    selected = [_select(table, [pair.time, *pair.channels], pair.time) for pair in pairs]
    plain_names = [", ".join(name for name in chosen.names if name != chosen.time) for chosen in selected]
    for pair, chosen in zip(pairs, selected, strict=True):
        name = ", ".join(name for name in chosen.names if name != chosen.time)
        original = ", ".join(table.names[index] for index in pair.channels)
        parts[name if plain_names.count(name) == 1 else original] = _until_end(chosen)
    if part is None and requested:
        matching = [each for each in parts.values() if set(requested) <= {*each.names}]
        if len(matching) == 1:
            return matching[0]
    try:
        return choose_part(parts, part, lambda each: counted(each.rows, "row"))
    except SeveralParts as error:
        names = " and ".join(repr(table.names[pair.time]) for pair in pairs)
        same = len(set(plain_names)) == 1
        raise SeveralParts(
            f"the columns {names} can each be the time, and they differ; {error.description}", error.parts, same_channels=same
        ) from None


def _find_pairs(table: Table, units: Mapping[str, str]) -> list[_Pair]:
    """Return times of one name, each followed by channels; fewer than two in other tables."""
    if table.roles or (table.time is not None and table.time != table.names[0]):
        return []
    stems = [_time_stem(table, index, units) for index in range(len(table.names))]
    if stems[0] is None:
        return []
    starts = [index for index, stem in enumerate(stems) if stem == stems[0]]
    pairs = []
    for start, end in zip(starts, [*starts[1:], len(stems)], strict=True):
        channels = tuple(range(start + 1, end))
        if not channels:
            return []
        pairs.append(_Pair(start, channels))
    return pairs


def _time_stem(table: Table, index: int, units: Mapping[str, str]) -> str | None:
    """Return what is common to the names of times; None for a column that is not a time."""
    name = table.names[index]
    unit = units.get(name, table.units[index])
    if unit is not None and is_unit(unit) and not is_unit_of(unit, "s"):
        return None
    x = _X.fullmatch(name)
    if x and index + 1 < len(table.names):
        y = _Y.fullmatch(table.names[index + 1])
        return "X" if y and y["stem"] == x["stem"] else None
    numbered = _NUMBERED.fullmatch(name.strip())
    stem = (numbered["stem"] if numbered and numbered["stem"] else name).strip().casefold()
    return stem if is_called_time(stem) or is_unit_of(unit, "s") else None


def _select(table: Table, indices: list[int], time: int) -> Table:
    """Return some columns; numbers of repeated names that are no longer needed are dropped."""
    plain = [re.sub(r"#\d+$", "", table.names[index]) for index in indices]
    often = Counter(plain)
    names = [each if often[each] == 1 else table.names[index] for each, index in zip(plain, indices, strict=True)]
    return replace(
        table,
        names=tuple(names),
        columns=tuple(table.columns[index] for index in indices),
        units=tuple(table.units[index] for index in indices),
        time=names[indices.index(time)],
        time_doubt="",
    )


def _until_end(table: Table) -> Table:
    """Return the rows up to the last one with a time; columns of pairs differ in length."""
    known = np.flatnonzero(np.isfinite(table.columns[table.names.index(str(table.time))]))
    end = int(known[-1]) + 1 if len(known) else table.rows
    return replace(table, columns=tuple(column[:end] for column in table.columns))
