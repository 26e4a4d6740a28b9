"""Rows between tabs as instruments of electrochemistry write them: decimal commas, columns of words among the numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .grid import Doubtful, Line, read_grid
from .table import Table
from .word_table import parse_words


def decimal_points(lines: Sequence[Line]) -> list[Line]:
    """Return lines with decimal points; those of a locale with decimal commas have commas between digits."""
    comma = any(re.search(r"\d,\d", line.text) for line in lines[:20])
    return [Line(line.number, line.text.replace(",", ".") if comma else line.text) for line in lines]


def table_of_rows(
    lines: Sequence[Line],
    names: Sequence[str],
    units: Sequence[str | None],
    *,
    time: str,
    metadata: dict[str, Any],
    complete: bool,
) -> Table:
    """Read rows between tabs, decimal commas and words among them, as a table.

    Args:
        lines: The rows.
        names: Names of the columns.
        units: Their units; further columns have none.
        time: Name of the column of times, if there is one.
        metadata: What the file says about itself.
        complete: The file was not cut off.
    """
    doubtful = Doubtful()
    columns = read_grid(decimal_points(lines), "\t", tuple(names), complete=complete, doubtful=doubtful)
    named = list(names)
    given = [*units[: len(named)], *[None] * (len(named) - len(units))]
    words = parse_words(named, given, columns, doubtful)
    keep = [index for index, name in enumerate(named) if name]
    return Table(
        tuple(named[index] for index in keep),
        tuple(columns[index] for index in keep),
        tuple(given[index] for index in keep),
        metadata=metadata,
        time=time if time in named else None,
        left_out=words.left_out,
        unreadable=words.unreadable,
    )
