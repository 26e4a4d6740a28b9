"""Delimited text: columns between commas, semicolons, tabs or blanks, with or without a header and units.

Understood are a header line (`t (s),V [mV]`), a header in the last comment, a line of units under the header, comments
with `#` or `%`, and a decimal comma where the delimiter is not the comma. What cannot be understood without a guess is
refused with the line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import TraceError
from .grid import Line, is_numeric, number, read_grid, split
from .header import bare_unit, split_name, split_words
from .table import Table
from .text import Text, looks_like_text, read_text

NAME = "delimited"

# In the order of preference where two of them explain the rows equally well.
_DELIMITERS: tuple[str | None, ...] = ("\t", ";", ",", None)
_COMMENTS = ("#", "%")
_SAMPLE = 100
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
_PARAMETER = re.compile(r"parameter (?P<name>.+) = (?P<value>\S+)")


@dataclass(frozen=True)
class _Layout:
    """How the file is built: what stands between cells, what begins the decimals, and where the rows start."""

    delimiter: str | None
    header: list[str] | None
    units: list[str] | None
    rows: list[Line]
    decimal_comma: bool


def sniff(head: bytes) -> bool:
    """Whether the file is text at all; the last reader to be asked."""
    return looks_like_text(head)


def read(path: Path) -> Table:
    """The columns of a delimited text file.

    Raises:
        TraceError: no rows of numbers, a row of another length, a cell that is not a number, or a number that can be
            read in two ways; with line, column and cell.
    """
    text = read_text(path)
    comments, content = _sort(text)
    layout = _layout(comments, content)
    names, units = _names(layout)
    rows = _with_points(layout) if layout.decimal_comma else layout.rows
    columns = read_grid(rows, layout.delimiter, names, complete=text.complete)
    keep = [index for index, name in enumerate(names) if name]
    parameters, parameter_units, remarks = _remarks(comments)
    return Table(
        tuple(names[index] for index in keep),
        tuple(columns[index] for index in keep),
        tuple(units[index] for index in keep),
        parameters,
        parameter_units,
        _metadata(text, layout, remarks),
    )


def _sort(text: Text) -> tuple[list[Line], list[Line]]:
    """The comments and the other lines that are not empty."""
    comments: list[Line] = []
    content: list[Line] = []
    for position, line in enumerate(text.lines, start=1):
        if line.strip():
            (comments if line.lstrip().startswith(_COMMENTS) else content).append(Line(position, line))
    return comments, content


def _layout(comments: Sequence[Line], content: Sequence[Line]) -> _Layout:
    if not content:
        raise TraceError("there are no rows of numbers in this file, only comments or empty lines.")
    delimiter = _delimiter(content)
    decimal_comma = _has_decimal_comma(content, delimiter)
    cells = [_cells(line, delimiter, decimal_comma) for line in content[:3]]
    if is_numeric(cells[0]) or (number(cells[0][0]) is not None and cells[0][0]):
        # A first line that begins with a number is a row; if it is a bad one, the reading of it will say so.
        header = _commented_header(comments, content[0], delimiter)
        return _Layout(delimiter, header, None, list(content), decimal_comma)
    header = split_words(content[0].text) if delimiter is None else split(content[0].text, delimiter)
    if delimiter is None and len(content) > 1 and len(header) != len(cells[1]):
        header = content[0].text.split()
    _check_header(content[0], header)
    if len(content) == 1:
        raise TraceError(f"the file has a header ({', '.join(filter(None, header))}) but no rows of numbers.")
    units = _units_row(cells[1], len(header)) if len(content) > 2 and is_numeric(cells[2]) else None
    return _Layout(delimiter, header, units, list(content[2 if units else 1 :]), decimal_comma)


def _delimiter(content: Sequence[Line]) -> str | None:
    """The delimiter under which most lines split into two or more numbers."""
    lines = content[1 : _SAMPLE + 1] or content

    def explained(delimiter: str | None) -> int:
        rows = [[_point(cell, delimiter) for cell in split(line.text, delimiter)] for line in lines]
        return sum(len(cells) > 1 and is_numeric(cells) for cells in rows)

    def present(delimiter: str | None) -> int:
        return sum(len(split(line.text, delimiter)) > 1 for line in content[:_SAMPLE])

    best = max(_DELIMITERS, key=explained)
    if explained(best):
        return best
    # Nothing splits into numbers: one column, or bad cells in every line; take what separates words in most lines.
    return None if any(is_numeric([_point(line.text, None)]) for line in lines) else max(_DELIMITERS, key=present)


def _point(cell: str, delimiter: str | None) -> str:
    return cell if delimiter == "," else cell.replace(",", ".")


def _cells(line: Line, delimiter: str | None, decimal_comma: bool) -> list[str]:
    cells = split(line.text, delimiter)
    return [cell.replace(",", ".") for cell in cells] if decimal_comma else cells


def _has_decimal_comma(content: Sequence[Line], delimiter: str | None) -> bool:
    """Whether commas are decimal marks: they stand inside cells, and no point does in any row."""
    first_is_row = is_numeric([_point(cell, delimiter) for cell in split(content[0].text, delimiter)])
    rows = content if first_is_row else content[1:]
    with_comma = [line for line in rows if "," in line.text]
    if delimiter == "," or not with_comma or any("." in line.text for line in rows):
        return False
    cells = ((line, cell) for line in with_comma for cell in split(line.text, delimiter) if "," in cell)
    first = next(cells)
    if all(_THOUSANDS.fullmatch(cell) for _, cell in (first, *cells)):
        line, cell = first
        raise TraceError(
            f"line {line.number}: the commas of {cell!r} can be decimal marks or thousands separators, "
            "and no other number of the file tells; write it with a decimal point."
        )
    return True


def _with_points(layout: _Layout) -> list[Line]:
    return [Line(line.number, line.text.replace(",", ".")) for line in layout.rows]


def _commented_header(comments: Sequence[Line], first: Line, delimiter: str | None) -> list[str] | None:
    """Names from the comments above the rows: the last comment with one word for each column."""
    width = len(split(first.text, delimiter))
    above = [line.text.strip().lstrip("#%").strip() for line in comments if line.number < first.number]
    # Blanks also stand between the words of a sentence, so there only the line directly above the rows can be a header.
    for text in reversed(above if delimiter is not None else above[-1:]):
        cells = split_words(text) if delimiter is None else split(text, delimiter)
        if len(cells) == width and not is_numeric(cells) and all(number(cell) is None for cell in cells):
            return cells
    return None


def _check_header(line: Line, header: Sequence[str]) -> None:
    """Refuse a first line that is half header, half numbers; whole numbers may name channels: `x-axis,1,2`."""
    for column, cell in enumerate(header):
        if cell and number(cell) is not None and not cell.isdigit():
            raise TraceError(
                f"line {line.number} mixes words and numbers ({cell!r} in column {column + 1}): it is neither a header "
                "nor a row. Correct it, or put # before lines that are not part of the table."
            )


def _units_row(cells: Sequence[str], width: int) -> list[str] | None:
    """Units from the line under the header, if it is as wide and holds words only; else it is a row, if a bad one."""
    filled = [cell for cell in cells if cell]
    are_words = bool(filled) and all(number(cell) is None for cell in filled)
    return list(cells) if are_words and len(cells) == width else None


def _names(layout: _Layout) -> tuple[list[str], list[str | None]]:
    """Name and unit text of each column; the name "" for a column that is empty, left by a delimiter at line ends."""
    if layout.header is None:
        width = max(_filled(line, layout.delimiter) for line in layout.rows[:_SAMPLE])
        return [f"column {index + 1}" for index in range(width)], [None] * width
    pairs = [split_name(cell) for cell in layout.header]
    while pairs and not pairs[-1][0]:
        pairs.pop()
    names = [name or f"column {index + 1}" for index, (name, _) in enumerate(pairs)]
    units = [unit for _, unit in pairs]
    for index, cell in enumerate((layout.units or [])[: len(units)]):
        units[index] = bare_unit(cell) if units[index] is None else units[index]
    return names, units


def _filled(line: Line, delimiter: str | None) -> int:
    """Number of cells up to the last one that is not empty."""
    cells = split(line.text, delimiter)
    while cells and not cells[-1]:
        cells.pop()
    return len(cells)


def _remarks(comments: Sequence[Line]) -> tuple[dict[str, float], dict[str, str], list[str]]:
    """Parameters that `write_csv` left in the comments, and the other comments as they stand."""
    parameters, units, remarks = {}, {}, []
    for line in comments:
        text = line.text.strip().lstrip("#%").strip()
        found = _PARAMETER.fullmatch(text)
        value = number(found["value"]) if found else None
        if found is None or value is None:
            remarks.append(text)
            continue
        name, unit = split_name(found["name"])
        parameters[name] = value
        if unit is not None:
            units[name] = unit
    return parameters, units, remarks


def _metadata(text: Text, layout: _Layout, remarks: list[str]) -> dict[str, Any]:
    return {
        "encoding": text.encoding,
        "delimiter": layout.delimiter or "blanks",
        "decimal_mark": "," if layout.decimal_comma else ".",
        "comments": remarks[:_SAMPLE],
    }
