"""Delimited text to a `Table`: columns between commas, semicolons, tabs or blanks, with or without a header and units.

Recognised are a header line (`t (s),V [mV]`), a header in the last comment, a line of units below the header, comments with `#`
or `%`, a decimal comma where the delimiter is not the comma, lines of settings above the table, as oscilloscopes write them
(see `scope_settings.py`), and lines of words below it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from .decimal_commas import unquote_decimal_commas
from .delimited_layout import SAMPLE_LINES, find_layout
from .delimited_lines import split_comments, strip_comment
from .delimited_table import build_table
from .grid import Doubtful, Line, parse_number, read_grid
from .header import split_name
from .messages import counted
from .parts import Part, choose_part
from .table import Table
from .text import Text
from .text_parts import split_parts
from .word_table import parse_words

_PARAMETER = re.compile(r"parameter (?P<name>.+) = (?P<value>\S+)")
_ROLE = re.compile(r"(?P<role>drive|output) (?P<name>.+?)(?:, (?P<interpolation>held|linear|spline) between samples)?")


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


def parse_delimited(text: Text, part: Part = None) -> Table:
    """Return the columns of lines of text.

    Args:
        text: The lines.
        part: Which table, of a text with several.

    Raises:
        SeveralParts: several tables, and no `part`.
        TraceError: no rows of numbers, a row of another length, a cell that is not a number, or a number that can be
            read in two ways; with line, column and cell.
    """
    parts = split_parts(text)
    if "" in parts:
        return _parse(text, parts[""])
    return _parse(text, choose_part(parts, part, lambda lines: counted(len(lines), "line")))


def _parse(text: Text, lines: Sequence[Line]) -> Table:
    comments, content = split_comments(lines)
    layout = find_layout(comments, unquote_decimal_commas(content))
    names, units = layout.names_and_units()
    doubtful = Doubtful()
    rows = layout.rows_with_decimal_points()
    complete = text.complete or bool(layout.footer)
    columns = read_grid(rows, layout.delimiter, names, complete=complete, doubtful=doubtful)
    words = parse_words(names, units, columns, doubtful)
    about = parse_comments(comments)
    metadata = {
        "encoding": text.encoding,
        "delimiter": layout.delimiter or "blanks",
        "decimal_mark": "," if layout.decimal_comma else ".",
        "comments": about.remarks[:SAMPLE_LINES],
        **({"text": words.text} if words.text else {}),
        **({"footer": [line.text.strip() for line in layout.footer[:SAMPLE_LINES]]} if layout.footer else {}),
    }
    table = build_table(layout, names, units, columns, about.remarks)
    notes = table.notes
    if layout.footer:
        first = layout.footer[0]
        notes += (
            f"{counted(len(layout.footer), 'line')} below the table left out, from line {first.number}: {first.text.strip()}",
        )
    return replace(
        table,
        metadata={**metadata, **table.metadata},
        parameters=about.parameters,
        parameter_units=about.units,
        roles=about.roles,
        interpolation=about.interpolation,
        left_out={**table.left_out, **words.left_out},
        unreadable=words.unreadable,
        notes=notes,
    )


def parse_comments(comments: Sequence[Line]) -> CommentContent:
    """Return what `write_csv` wrote into comments, and the other comments."""
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
