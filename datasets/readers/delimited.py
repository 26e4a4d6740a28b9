"""Delimited text: columns between commas, semicolons, tabs or blanks, with or without a header and units.

Understood are a header line (`t (s),V [mV]`), a header in the last comment, a line of units under the header, comments
with `#` or `%`, a decimal comma where the delimiter is not the comma, and lines of settings above the table, as oscilloscopes
write them (see `scope.py`). What cannot be understood without a guess is refused with the line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TraceError
from ...typing import Array
from ...units import same_dimension
from .grid import Line, is_numeric, number, read_grid, split
from .header import bare_unit, is_unit, split_name, split_time, split_words
from .large import LARGE, read_columns, read_head
from .scope import clock, is_screen, length, settings, time_unit, unit_of
from .table import Part, Progress, Table, ticks
from .text import Text, looks_like_text, read_text
from .words import kept, quantities_of, seconds_of, units_from

NAME = "delimited"

# In the order of preference where two of them explain the rows equally well.
_DELIMITERS: tuple[str | None, ...] = ("\t", ";", ",", None)
_COMMENTS = ("#", "%")
_SAMPLE = 100
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
_PARAMETER = re.compile(r"parameter (?P<name>.+) = (?P<value>\S+)")
_ROLE = re.compile(r"(?P<role>drive|output) (?P<name>.+?)(?:, (?P<course>held|linear|spline) between samples)?")
_LONGEST_PREAMBLE = 2000
# A number in a form that is not read, such as 1.5u or 1,234.5; a date is none.
_DIGITS = re.compile(r"(?!\d+([./-])\d+\1\d+$)[+-]?[.,]?\d[\d.,' ]*(?:[eEdD][+-]?\d+)?[afpnuµmkMGT]?")


@dataclass(frozen=True)
class _Layout:
    """How the file is built: what stands between cells, what begins the decimals, and where the rows start."""

    delimiter: str | None
    header: list[str] | None
    units: list[str] | None
    rows: list[Line]
    decimal_comma: bool
    preamble: list[Line] = field(default_factory=list)


def sniff(head: bytes) -> bool:
    """Whether the file is text at all; the last reader to be asked."""
    return looks_like_text(head)


def read(path: Path, part: Part = None, progress: Progress = None) -> Table:
    """The columns of a delimited text file.

    Raises:
        TraceError: no rows of numbers, a row of another length, a cell that is not a number, or a number that can be
            read in two ways; with line, column and cell.
    """
    if path.stat().st_size <= LARGE:
        return parse(read_text(path))
    # The layout is told by the beginning, and the rows are read in blocks.
    head, offsets = read_head(path)
    comments, content = _sort(head)
    layout = _layout(comments, content)
    names, units = _names(layout)
    columns = read_columns(
        path,
        offsets[layout.rows[0].number - 1],
        delimiter=layout.delimiter,
        names=names,
        decimal_comma=layout.decimal_comma,
        first=layout.rows[0].number,
        progress=progress,
    )
    return _table(head, comments, layout, (names, units), columns)


def parse(text: Text) -> Table:
    """The columns of lines of text; raises as `read`."""
    comments, content = _sort(text)
    layout = _layout(comments, content)
    names, units = _names(layout)
    rows = _with_points(layout) if layout.decimal_comma else layout.rows
    texts: dict[int, list[str]] = {}
    columns = read_grid(rows, layout.delimiter, names, complete=text.complete, texts=texts)
    remarks = _words(names, units, columns, texts) if texts else {}
    table = _table(text, comments, layout, (names, units), columns)
    return replace(table, metadata={**table.metadata, "text": remarks}) if remarks else table


def _words(names: list[str], units: list[str | None], columns: Array, texts: dict[int, list[str]]) -> dict[str, list[str]]:
    """Turn columns of words into times, quantities and units, as far as they are; what is left loses its name."""
    for place, unit in units_from(names, texts).items():
        units[place] = units[place] or unit
    left = {}
    for place, cells in texts.items():
        seconds = seconds_of(cells, names[place])
        quantities = None if seconds is not None else quantities_of(cells, names[place])
        if seconds is not None:
            fractions = next((k for k, name in enumerate(names) if name.casefold() == "fractional seconds"), None)
            columns[place] = seconds if fractions is None else seconds + columns[fractions] - columns[fractions][0]
            units[place] = "s"
        elif quantities is not None:
            columns[place], units[place] = quantities
        elif units[place] is not None or any(_DIGITS.fullmatch(cell.strip('" ')) for cell in cells):
            # Numbers in a form that is not read, and no remarks: leaving them out would lose a channel.
            raise TraceError(
                f"the column {names[place]!r} holds {cells[0]!r}, which is no number; write plain numbers with a decimal "
                "point, or take the column out."
            )
        else:
            left[names[place]] = kept(cells)
            names[place] = ""
    return left


def _table(
    text: Text,
    comments: Sequence[Line],
    layout: _Layout,
    titles: tuple[list[str], list[str | None]],
    columns: Sequence[Array] | Array,
) -> Table:
    keep = [index for index, name in enumerate(titles[0]) if name]
    names, units = [titles[0][index] for index in keep], [titles[1][index] for index in keep]
    values = [columns[index] for index in keep]
    parameters, parameter_units, roles, remarks = _remarks(comments)
    head = settings([line.text for line in layout.preamble], layout.delimiter)
    time, doubt = None, ""
    if head:
        channels = [name for name, unit in zip(names, units, strict=True) if not _names_time(name, unit)]
        units = [
            unit if unit is not None else unit_of(head, name, channels.index(name)) if name in channels else time_unit(head)
            for name, unit in zip(names, units, strict=True)
        ]
    if is_screen(names) and units[0] is None and _is_clock(values[0]):
        time, units = names[0], ["s", *units[1:]]
    elif head and not any(map(_names_time, names, units)) and (beat := clock(head)):
        time = "time"
        names, units = ["time", *names], [beat[2], *units]
        values = [ticks(beat[0], beat[1], len(values[0])), *values]
    elif layout.header is None and len(names) > 1 and _is_clock(values[0]) and not any(map(_is_clock, values[1:])):
        time = names[0]
        doubt = (
            f"it has no header, and {time!r}, which grows from row to row, is taken for the time in seconds; if it is not, "
            "pass time='sample', or units={'time': 'us'} for another unit"
        )
    return Table(
        tuple(names),
        tuple(values),
        tuple(units),
        parameters,
        parameter_units,
        {**_metadata(text, layout, remarks), **({"header": head} if head else {})},
        time=time,
        time_doubt=doubt,
        doubts=_short(length(head), len(values[0])),
        roles={name: role for name, (role, _) in roles.items()},
        interpolation={name: course for name, (_, course) in roles.items() if course},
    )


def _short(promised: int | None, rows: int) -> tuple[str, ...]:
    if promised is None or promised <= rows:
        return ()
    return (f"its head says {promised} samples, and it has {rows}; was it cut off?",)


def _names_time(name: str, unit: str | None) -> bool:
    """Whether a column is called like a time, or measured in a unit of it."""
    return (
        "time" in name.casefold()
        or name.casefold() == "t"
        or (bool(unit) and is_unit(str(unit)) and same_dimension(str(unit), "s"))
    )


def _is_clock(values: Array) -> bool:
    """Whether values grow from each row to the next."""
    return len(values) > 2 and bool((np.diff(values) > 0).all())


def _sort(text: Text) -> tuple[list[Line], list[Line]]:
    """The comments and the other lines that are not empty."""
    comments: list[Line] = []
    content: list[Line] = []
    for position, line in enumerate(text.lines, start=1):
        if line.strip(" \t,;"):
            (comments if line.lstrip().startswith(_COMMENTS) else content).append(Line(position, line))
    return comments, content


def _layout(comments: Sequence[Line], content: Sequence[Line]) -> _Layout:
    if not content:
        raise TraceError("there are no rows of numbers in this file, only comments or empty lines.")
    delimiter = _delimiter(content)
    decimal_comma = _has_decimal_comma(content, delimiter)
    begin = _preamble(content, delimiter, decimal_comma)
    above, content = list(content[:begin]), content[begin:]
    cells = [_cells(line, delimiter, decimal_comma) for line in content[:3]]
    if is_numeric(cells[0]) or (number(cells[0][0]) is not None and cells[0][0]):
        # A first line that begins with a number is a row; if it is a bad one, the reading of it will say so.
        header = _commented_header(comments, content[0], delimiter)
        return _Layout(delimiter, header, None, list(content), decimal_comma, above)
    header = split_words(content[0].text) if delimiter is None else split(content[0].text, delimiter)
    if delimiter is None and len(content) > 1 and len(header) != len(cells[1]):
        header = content[0].text.split()
    _check_header(content[0], header)
    if len(content) == 1:
        raise TraceError(f"the file has a header ({', '.join(filter(None, header))}) but no rows of numbers.")
    units = _units_row(cells[1], len(header)) if len(content) > 2 and is_numeric(cells[2]) else None
    return _Layout(delimiter, header, units, list(content[2 if units else 1 :]), decimal_comma, above)


def _preamble(content: Sequence[Line], delimiter: str | None, decimal_comma: bool) -> int:
    """Number of lines above the table: above its header, or above its rows where it has none.

    Rows are the first three lines of numbers of one width; a line above them that could be a bad row makes no preamble.
    """
    rows = [_cells(line, delimiter, decimal_comma) for line in content[: _SAMPLE + _LONGEST_PREAMBLE]]
    widths = [_width(cells) if is_numeric(cells) and number(cells[0]) is not None else 0 for cells in rows]
    first = next((k for k, width in enumerate(widths) if width and set(widths[k : k + 3]) == {width}), 0)
    if not any(widths):
        # Rows with words in some columns: three of one width, below a line of words of that width.
        loose = [
            _width(cells) if any(number(cell) == number(cell) is not None for cell in cells if cell) else 0 for cells in rows
        ]
        first = next((k for k, width in enumerate(loose) if k and width > 2 and loose[k : k + 3] == 3 * [width]
                      and loose[k - 1] == 0 and _width(rows[k - 1]) == width), 0)  # fmt: skip
        widths = loose
    if first < 2:
        return 0
    words = [
        _width(cells) == widths[first] and all(map(_is_word, cells)) and number(cells[0]) is None for cells in rows[:first]
    ]
    if words[-1]:
        # Two lines of words: names, and units, which may be unknown ones.
        two = words[-2] and (_are_units(rows[first - 1]) or (first == 2 and not any(split_name(cell)[1] for cell in rows[1])))
        begin = first - 2 if two else first - 1
    else:
        begin = first
        if words[0] or _width(rows[first - 1]) == widths[first]:
            return 0
    return 0 if any(cells[0] and number(cells[0]) is not None for cells in rows[:begin]) else begin


def _width(cells: Sequence[str]) -> int:
    """Number of cells up to the last one that is not empty."""
    return max((place for place, cell in enumerate(cells, start=1) if cell), default=0)


def _is_word(cell: str) -> bool:
    """Whether a cell can be a name: whole numbers may name channels."""
    return number(cell) is None or not cell or cell.isdigit()


def _are_units(cells: Sequence[str]) -> bool:
    return any(cells) and all(is_unit(bare_unit(cell)) for cell in cells if cell)


def _delimiter(content: Sequence[Line]) -> str | None:
    """The delimiter under which most lines split into two or more numbers."""
    lines = [*content[1 : _SAMPLE + 1], *(content[-_SAMPLE:] if len(content) > 2 * _SAMPLE else [])] or content

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
    rows = [line for line in content if number(_point(split(line.text, delimiter)[0], delimiter)) is not None]
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
    pairs = [split_time(*split_name(cell)) for cell in layout.header]
    while pairs and not pairs[-1][0]:
        pairs.pop()
    names = [name.rstrip(":") or f"column {index + 1}" for index, (name, _) in enumerate(pairs)]
    units = [unit for _, unit in pairs]
    for index, cell in enumerate((layout.units or [])[: len(units)]):
        units[index] = bare_unit(cell) if units[index] is None else units[index]
    return names, units


def _filled(line: Line, delimiter: str | None) -> int:
    """Number of cells up to the last one that is not empty."""
    return _width(split(line.text, delimiter))


def _remarks(
    comments: Sequence[Line],
) -> tuple[dict[str, float], dict[str, str], dict[str, tuple[str, str | None]], list[str]]:
    """Parameters and roles that `write_csv` left in the comments, and the other comments as they stand."""
    parameters: dict[str, float] = {}
    units: dict[str, str] = {}
    roles: dict[str, tuple[str, str | None]] = {}
    remarks: list[str] = []
    for line in comments:
        text = line.text.strip().lstrip("#%").strip()
        role = _ROLE.fullmatch(text)
        if role:
            roles[role["name"]] = (role["role"], role["course"])
            continue
        found = _PARAMETER.fullmatch(text)
        value = number(found["value"]) if found else None
        if found is None or value is None:
            remarks.append(text)
            continue
        name, unit = split_name(found["name"])
        parameters[name] = value
        if unit is not None:
            units[name] = unit
    return parameters, units, roles, remarks


def _metadata(text: Text, layout: _Layout, remarks: list[str]) -> dict[str, Any]:
    return {
        "encoding": text.encoding,
        "delimiter": layout.delimiter or "blanks",
        "decimal_mark": "," if layout.decimal_comma else ".",
        "comments": remarks[:_SAMPLE],
    }
