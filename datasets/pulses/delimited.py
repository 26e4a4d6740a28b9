"""Delimited text to a `PulseTable`: where its header and rows are, and what separates the cells."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import TraceError
from ..parsing.delimited_layout import DELIMITERS, SAMPLE_LINES
from ..parsing.delimited_lines import COMMENTS, strip_comment
from ..parsing.delimited_text import parse_parameter
from ..parsing.grid import parse_number, split_cells
from ..parsing.header import bare_unit, is_unit, split_name, split_words
from ..parsing.table import number_duplicates
from ..parsing.text import Text
from .table import Lines, PulseTable

# Lines above a header, and the share of the lines below it that have its width.
_MAX_TITLES, _MOST = 20, 0.6


def parse_pulse_table(text: Text) -> PulseTable:
    """Return the table in delimited text, its rows not yet read.

    Recognised are a header line or a header in the last comment, units in brackets or in a line below the header.

    Raises:
        TraceError: the text contains no rows.
    """
    kept = [index for index, line in enumerate(text.lines) if line.strip() and not line.lstrip().startswith(COMMENTS)]
    if not kept:
        raise TraceError("there are no rows in this file, only comments or empty lines.")
    lines = [text.lines[index] for index in kept]
    comments = [strip_comment(line) for line in text.lines if line.lstrip().startswith(COMMENTS)]
    delimiter = _delimiter_below_titles(lines[: SAMPLE_LINES + 1])
    titles = _count_titles(lines[: SAMPLE_LINES + 1], delimiter)
    title_lines, lines, kept = lines[:titles], lines[titles:], kept[titles:]
    header, header_lines = _header(lines, delimiter), 1
    if header is None:
        header_lines = 0
        header = _header_in_comments(comments, split_cells(lines[0], delimiter), delimiter)
    headed = header is not None
    pairs = [split_name(cell) for cell in header or [""] * len(split_cells(lines[0], delimiter))]
    while len(pairs) > 1 and not pairs[-1][0] and headed:
        pairs.pop()
    units = [unit for _, unit in pairs]
    if header_lines and _has_units_row(lines[1:3], len(header or ()), delimiter):
        units_row = split_cells(lines[1], delimiter)
        units = [bare_unit(cell) if unit is None else unit for unit, cell in zip(units, units_row, strict=False)]
        header_lines = 2
    if len(lines) == header_lines:
        raise TraceError(f"the file has a header ({', '.join(name for name, _ in pairs if name)}) but no rows.")
    names = number_duplicates(tuple(name or f"column {index + 1}" for index, (name, _) in enumerate(pairs)))
    # A comment or blanks below the last row end it as well.
    complete = text.complete or kept[-1] < len(text.lines) - 1
    rows = Lines(lines[header_lines:], [index + 1 for index in kept[header_lines:]], delimiter, complete)
    parameters = [parameter for comment in comments if (parameter := parse_parameter(comment)) is not None]
    return PulseTable(
        names,
        tuple(units),
        headed,
        rows,
        {name: value for name, value, _ in parameters},
        {name: unit for name, _, unit in parameters if unit is not None},
        {"encoding": text.encoding, "delimiter": delimiter or "blanks", "comments": comments[:SAMPLE_LINES]}
        | ({"titles": [line.strip() for line in title_lines]} if title_lines else {}),
    )


def _count_titles(lines: Sequence[str], delimiter: str | None) -> int:
    """Return the number of lines above the header: with fewer filled cells than it has, and without the width of a row.

    The header is the first line without a number that has as many cells as most rows.
    """
    cells = [split_words(line) if delimiter is None else split_cells(line, delimiter) for line in lines]
    filled = [sum(bool(cell) for cell in row) for row in cells]
    rows = [len(row) for row in cells if any(cell and parse_number(cell) is not None for cell in row)]
    if not rows:
        return 0
    width = max(set(rows), key=rows.count)
    for index, row in enumerate(cells):
        if any(cell and parse_number(cell) is not None for cell in row) and filled[index] >= min(width, 2):
            return 0  # a row, before any header below titles
        if len(row) >= width and filled[index] > 1 and filled[index] >= max(filled[:index], default=0):
            return index if all(count < filled[index] for count in filled[:index]) else 0
        if width == 1:
            return 0
    return 0


def first_header(head: bytes) -> list[str]:
    """Return the column names in the first bytes of a text file; none where it has no header or is not text."""
    lines = [line for line in head.decode("latin-1").splitlines() if line.strip() and not line.lstrip().startswith(COMMENTS)]
    header = _header(lines[:1], _find_delimiter(lines[:1])) if lines else None
    return [split_name(cell)[0] for cell in header or ()]


def _find_delimiter(lines: Sequence[str]) -> str | None:
    """Return the delimiter that splits most rows into as many cells as the first line; the first one for a single column."""
    return max(DELIMITERS, key=lambda delimiter: _count_rows(lines, delimiter))


def _count_rows(lines: Sequence[str], delimiter: str | None) -> int:
    """Return the number of lines with as many cells as the first, which has several."""
    width = len(split_words(lines[0]) if delimiter is None else split_cells(lines[0], delimiter))
    return sum(len(split_cells(line, delimiter)) >= width > 1 for line in lines[1:] or lines)


def _delimiter_below_titles(lines: Sequence[str]) -> str | None:
    """Return the delimiter of the rows; a title has another one, or none."""
    for first in range(min(_MAX_TITLES, len(lines) - 1)):
        delimiter = _find_delimiter(lines[first:])
        if _count_rows(lines[first:], delimiter) > _MOST * (len(lines) - first - 1):
            return delimiter
    return _find_delimiter(lines)


def _header(lines: Sequence[str], delimiter: str | None) -> list[str] | None:
    """Return the cells of the first line if none of them is a number; rows with names of devices contain numbers too."""
    cells = split_cells(lines[0], delimiter)
    if any(cell and parse_number(cell) is not None for cell in cells):
        return None
    if delimiter is not None or (len(lines) > 1 and len(lines[1].split()) == len(cells)):
        return cells
    return split_words(lines[0])


def _header_in_comments(comments: Sequence[str], row: Sequence[str], delimiter: str | None) -> list[str] | None:
    """Return names from the last comment, if it has one word for each column."""
    if not comments:
        return None
    cells = split_words(comments[-1]) if delimiter is None else split_cells(comments[-1], delimiter)
    return cells if len(cells) == len(row) > 1 and all(parse_number(cell) is None for cell in cells) else None


def _has_units_row(lines: Sequence[str], width: int, delimiter: str | None) -> bool:
    """Return True if the line below the header contains units and no number, and the next one a number, as every row does."""
    if len(lines) < 2:
        return False
    units_row, first_row = (split_cells(line, delimiter) for line in lines)
    filled = [cell for cell in units_row if cell]
    are_units = bool(filled) and all(parse_number(cell) is None and is_unit(bare_unit(cell)) for cell in filled)
    has_number = any(cell and parse_number(cell) is not None for cell in first_row)
    return len(units_row) == width and are_units and has_number
