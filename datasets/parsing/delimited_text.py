"""Delimited text to a `Table`: columns between commas, semicolons, tabs or blanks, with or without a header and units.

Recognised are a header line (`t (s),V [mV]`), a header in the last comment, a line of units below the header, comments with `#`
or `%`, a decimal comma where the delimiter is not the comma, and lines of settings above the table, as oscilloscopes write them
(see `scope_settings.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...errors import TraceError
from ...typing import Array
from .delimited_layout import SAMPLE_LINES, Layout, find_layout, split_comments, strip_comment
from .grid import Line, parse_number, read_grid
from .header import is_unit_of, split_name
from .scope_settings import channel_unit, has_screen_columns, parse_settings, record_length, sample_clock, time_unit
from .table import Table, count_doubt, sample_times
from .text import Text
from .word_columns import distinct_words, parse_quantities, parse_times, units_from_unit_columns

_PARAMETER = re.compile(r"parameter (?P<name>.+) = (?P<value>\S+)")
_ROLE = re.compile(r"(?P<role>drive|output) (?P<name>.+?)(?:, (?P<interpolation>held|linear|spline) between samples)?")
# A number in a form that is not read, such as 1.5u or 1,234.5; dates are excluded.
_UNREAD_NUMBER = re.compile(r"(?!\d+([./-])\d+\1\d+$)[+-]?[.,]?\d[\d.,' ]*(?:[eEdD][+-]?\d+)?[afpnuµmkMGT]?")


@dataclass
class CommentContent:
    """Comments written by `write_csv`, and all other comments.

    Attributes:
        parameters: Constants of the recording.
        units: Unit text of the parameters.
        roles: "drive" or "output" by channel.
        interpolation: "held", "linear" or "spline" by drive.
        remarks: The other comments.
    """

    parameters: dict[str, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    interpolation: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def parse_delimited(text: Text) -> Table:
    """Return the columns of lines of text.

    Raises:
        TraceError: no rows of numbers, a row of another length, a cell that is not a number, or a number that can be
            read in two ways; with line, column and cell.
    """
    comments, content = split_comments(text)
    layout = find_layout(comments, content)
    names, units = layout.names_and_units()
    words: dict[int, list[str]] = {}
    rows = layout.rows_with_decimal_points()
    columns = read_grid(rows, layout.delimiter, names, complete=text.complete, words=words)
    text_columns = _parse_words(names, units, columns, words) if words else {}
    table = build_table(text, comments, layout, names, units, columns)
    return replace(table, metadata={**table.metadata, "text": text_columns}) if text_columns else table


def _parse_words(
    names: list[str], units: list[str | None], columns: Array, words: dict[int, list[str]]
) -> dict[str, list[str]]:
    """Turn columns of words into times, quantities and units in place.

    Returns:
        The distinct words of the other columns by name; their names in `names` become "".
    """
    for index, unit in units_from_unit_columns(names, words).items():
        units[index] = units[index] or unit
    text_columns = {}
    for index, cells in words.items():
        seconds = parse_times(cells, names[index])
        quantities = None if seconds is not None else parse_quantities(cells, names[index])
        if seconds is not None:
            fractions = next((k for k, name in enumerate(names) if name.casefold() == "fractional seconds"), None)
            columns[index] = seconds if fractions is None else seconds + columns[fractions] - columns[fractions][0]
            units[index] = "s"
        elif quantities is not None:
            columns[index], units[index] = quantities
        elif units[index] is not None or any(_UNREAD_NUMBER.fullmatch(cell.strip('" ')) for cell in cells):
            # Numbers in a form that is not read: leaving them out as remarks would lose a channel.
            raise TraceError(
                f"the column {names[index]!r} contains {cells[0]!r}, which is not a number; write plain numbers with a "
                "decimal point, or take the column out."
            )
        else:
            text_columns[names[index]] = distinct_words(cells)
            names[index] = ""
    return text_columns


def build_table(
    text: Text,
    comments: Sequence[Line],
    layout: Layout,
    names: Sequence[str],
    units: Sequence[str | None],
    columns: Sequence[Array] | Array,
) -> Table:
    """Return the table of columns that were read, with units and times from the settings above it and roles from comments."""
    keep = [index for index, name in enumerate(names) if name]
    names, units = [names[index] for index in keep], [units[index] for index in keep]
    values = [columns[index] for index in keep]
    content = _parse_comments(comments)
    settings = parse_settings([line.text for line in layout.settings], layout.delimiter)
    time, doubt = None, ""
    if settings:
        channels = [name for name, unit in zip(names, units, strict=True) if not _is_time(name, unit)]
        given = [
            channel_unit(settings, name, channels.index(name)) if name in channels else time_unit(settings) for name in names
        ]
        units = [unit if unit is not None else setting for unit, setting in zip(units, given, strict=True)]
    if has_screen_columns(names) and units[0] is None and _increases(values[0]):
        time, units = names[0], ["s", *units[1:]]
    elif settings and not any(map(_is_time, names, units)) and (clock := sample_clock(settings)):
        time = "time"
        names, units = ["time", *names], [clock[2], *units]
        values = [sample_times(clock[0], clock[1], len(values[0])), *values]
    elif layout.header is None and len(names) > 1 and _increases(values[0]) and not any(map(_increases, values[1:])):
        time = names[0]
        doubt = (
            f"it has no header, and {time!r}, which grows from row to row, is taken as the time in seconds; if it is not, "
            "pass time='sample', or units={'time': 'us'} for another unit"
        )
    length = record_length(settings)
    return Table(
        tuple(names),
        tuple(values),
        tuple(units),
        content.parameters,
        content.units,
        {**_metadata(text, layout, content.remarks), **({"header": settings} if settings else {})},
        time=time,
        time_doubt=doubt,
        doubts=count_doubt(length, len(values[0])) if length is not None and length > len(values[0]) else (),
        roles=content.roles,
        interpolation=content.interpolation,
    )


def _is_time(name: str, unit: str | None) -> bool:
    """Return True if a column has the name of a time, or a unit of time."""
    return "time" in name.casefold() or name.casefold() == "t" or (bool(unit) and is_unit_of(unit, "s"))


def _increases(values: Array) -> bool:
    """Return True if values grow from each row to the next."""
    return len(values) > 2 and bool((np.diff(values) > 0).all())


def _parse_comments(comments: Sequence[Line]) -> CommentContent:
    content = CommentContent()
    for line in comments:
        text = strip_comment(line.text)
        role = _ROLE.fullmatch(text)
        if role:
            content.roles[role["name"]] = role["role"]
            if role["interpolation"]:
                content.interpolation[role["name"]] = role["interpolation"]
        elif (parameter := parse_parameter(text)) is not None:
            name, value, unit = parameter
            content.parameters[name] = value
            if unit is not None:
                content.units[name] = unit
        else:
            content.remarks.append(text)
    return content


def parse_parameter(comment: str) -> tuple[str, float, str | None] | None:
    """Return name, value and unit text of a parameter in a comment, `parameter T (K) = 300.0`; None for another comment."""
    match = _PARAMETER.fullmatch(comment)
    value = parse_number(match["value"]) if match else None
    if match is None or value is None:
        return None
    name, unit = split_name(match["name"])
    return name, value, unit


def _metadata(text: Text, layout: Layout, remarks: list[str]) -> dict[str, Any]:
    return {
        "encoding": text.encoding,
        "delimiter": layout.delimiter or "blanks",
        "decimal_mark": "," if layout.decimal_comma else ".",
        "comments": remarks[:SAMPLE_LINES],
    }
