"""Delimited text to a `PulseTable`: where its header and rows are, and what stands between the cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ...errors import TraceError
from ..readers.grid import number, split
from ..readers.header import bare_unit, is_unit, split_name, split_words
from ..readers.table import distinct
from ..readers.text import read_text
from .table import Lines, PulseTable

# In the order of preference where two of them split the lines equally well.
_DELIMITERS: tuple[str | None, ...] = ("\t", ";", ",", None)
_COMMENTS = ("#", "%")
_SAMPLE = 100
_PARAMETER = re.compile(r"parameter (?P<name>.+) = (?P<value>\S+)")


def read_words(path: Path) -> PulseTable:
    """The table in a delimited text file, its rows not yet read.

    Understood are a header line or a header in the last comment, units in brackets or in a line under the header.

    Raises:
        TraceError: the file is not text, or holds no rows.
    """
    text = read_text(path)
    kept = [index for index, line in enumerate(text.lines) if line.strip() and not line.lstrip().startswith(_COMMENTS)]
    if not kept:
        raise TraceError("there are no rows in this file, only comments or empty lines.")
    lines = [text.lines[index] for index in kept]
    comments = [line.strip().lstrip("#%").strip() for line in text.lines if line.lstrip().startswith(_COMMENTS)]
    delimiter = _delimiter(lines[: _SAMPLE + 1])
    header, skipped = _header(lines, delimiter), 1
    if header is None:
        skipped = 0
        header = _commented_header(comments, split(lines[0], delimiter), delimiter)
    headed = header is not None
    pairs = [split_name(cell) for cell in header or [""] * len(split(lines[0], delimiter))]
    while len(pairs) > 1 and not pairs[-1][0] and headed:
        pairs.pop()
    units = [unit for _, unit in pairs]
    if skipped and _is_units_row(lines[1:3], len(header or ()), delimiter):
        under = split(lines[1], delimiter)
        units = [bare_unit(cell) if unit is None else unit for unit, cell in zip(units, under, strict=False)]
        skipped = 2
    if len(lines) == skipped:
        raise TraceError(f"the file has a header ({', '.join(name for name, _ in pairs if name)}) but no rows.")
    names = distinct(tuple(name or f"column {index + 1}" for index, (name, _) in enumerate(pairs)))
    # A comment or blanks below the last row end it as well.
    complete = text.complete or kept[-1] < len(text.lines) - 1
    rows = Lines(lines[skipped:], [index + 1 for index in kept[skipped:]], delimiter, complete)
    parameters, parameter_units = _parameters(comments)
    metadata = {"encoding": text.encoding, "delimiter": delimiter or "blanks", "comments": comments[:_SAMPLE]}
    return PulseTable(names, tuple(units), headed, rows, parameters, parameter_units, metadata)


def first_header(head: bytes) -> list[str]:
    """Column names in the first bytes of a text file; none where it has no header or is no text."""
    lines = [line for line in head.decode("latin-1").splitlines() if line.strip() and not line.lstrip().startswith(_COMMENTS)]
    header = _header(lines[:1], _delimiter(lines[:1])) if lines else None
    return [split_name(cell)[0] for cell in header or ()]


def _delimiter(lines: Sequence[str]) -> str | None:
    """The delimiter that cuts most rows into as many cells as the first line has; the first one for a single column."""

    def explained(delimiter: str | None) -> int:
        width = len(split_words(lines[0]) if delimiter is None else split(lines[0], delimiter))
        return sum(len(split(line, delimiter)) >= width > 1 for line in lines[1:] or lines)

    return max(_DELIMITERS, key=explained)


def _header(lines: Sequence[str], delimiter: str | None) -> list[str] | None:
    """The cells of the first line if none of them is a number; names of devices stand in rows that hold numbers too."""
    cells = split(lines[0], delimiter)
    if any(cell and number(cell) is not None for cell in cells):
        return None
    if delimiter is not None or (len(lines) > 1 and len(lines[1].split()) == len(cells)):
        return cells
    return split_words(lines[0])


def _commented_header(comments: Sequence[str], row: Sequence[str], delimiter: str | None) -> list[str] | None:
    """Names from the last comment, if it has one word for each column."""
    if not comments:
        return None
    cells = split_words(comments[-1]) if delimiter is None else split(comments[-1], delimiter)
    return cells if len(cells) == len(row) > 1 and all(number(cell) is None for cell in cells) else None


def _is_units_row(lines: Sequence[str], width: int, delimiter: str | None) -> bool:
    """Whether the line under the header holds units and no number, and the one below it a number, as every row does."""
    if len(lines) < 2:
        return False
    under, below = (split(line, delimiter) for line in lines)
    filled = [cell for cell in under if cell]
    are_units = bool(filled) and all(number(cell) is None and is_unit(bare_unit(cell)) for cell in filled)
    return len(under) == width and are_units and any(cell and number(cell) is not None for cell in below)


def _parameters(comments: Sequence[str]) -> tuple[dict[str, float], dict[str, str]]:
    """Constants that `write_pulses` and `write_csv` leave in the comments."""
    parameters, units = {}, {}
    for comment in comments:
        found = _PARAMETER.fullmatch(comment)
        value = number(found["value"]) if found else None
        if found is not None and value is not None:
            name, unit = split_name(found["name"])
            parameters[name] = value
            if unit is not None:
                units[name] = unit
    return parameters, units
