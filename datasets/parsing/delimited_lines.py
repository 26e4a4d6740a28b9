"""The lines of delimited text: comments, rows, and lines below the table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .grid import Line, is_numeric, parse_number, split_cells

COMMENTS = ("#", "%", "//")
# libsigrok: "; Samplerate: 1 MHz". A semicolon alone may be an empty first cell.
_REMARK = re.compile(r"\s*;\s+[^;]*")
_SEPARATORS = re.compile(r"[\t;,]|\s+")


def split_comments(lines: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """Return the comments, and the other lines that are not empty."""
    comments: list[Line] = []
    content: list[Line] = []
    for line in lines:
        if line.text.strip(" \t,;"):
            (comments if is_comment(line.text) else content).append(line)
    return comments, content


def is_comment(text: str) -> bool:
    """Return True if a line begins with the mark of a comment."""
    return text.lstrip().startswith(COMMENTS) or (";" in text[:20] and _REMARK.fullmatch(text) is not None)


def strip_comment(text: str) -> str:
    """Return the text of a comment without its mark."""
    return text.strip().lstrip("#%/;").strip()


def split_anywhere(text: str) -> list[str]:
    """Split a line of unknown delimiter into words."""
    return [cell for cell in _SEPARATORS.split(text.strip()) if cell] or [""]


def is_row(text: str) -> bool:
    """Return True if a line of unknown delimiter begins with a number."""
    first = split_anywhere(text)[0].strip('"')
    return bool(first) and first[0] in "+-.0123456789" and parse_number(first) is not None


def split_footer(rows: Sequence[Line], delimiter: str | None) -> tuple[list[Line], list[Line]]:
    """Split the lines below a header into the rows and the lines of words at the end, `V_DS = -0.6` or `End of data`.

    A line of words has no number in its first cell, although the column has numbers, or no number at all, and another number
    of cells than a row.
    """
    samples = [split_cells(line.text, delimiter) for line in rows[:3]]
    if len(samples) < 2:
        return list(rows), []
    width = len(samples[0])
    first_is_number = all(_is_number(cells[0]) for cells in samples)
    end = len(rows)
    while end > 1:
        cells = split_cells(rows[end - 1].text, delimiter)
        has_words = not _is_number(cells[0]) and bool(cells[0].strip())
        if first_is_number:
            is_footer = has_words and parse_number(cells[0]) is None
        else:
            is_footer = has_words and len(cells) != width and not any(_is_number(cell) for cell in cells)
        if not is_footer:
            break
        end -= 1
    if end < 2 or not is_numeric_like(samples):
        return list(rows), []
    return list(rows[:end]), list(rows[end:])


def is_numeric_like(rows: Sequence[Sequence[str]]) -> bool:
    """Return True if each row has a number."""
    return all(any(_is_number(cell) for cell in cells) or is_numeric(cells) for cells in rows)


def _is_number(cell: str) -> bool:
    value = parse_number(cell.replace(",", ".") if cell.count(",") == 1 else cell) if cell.strip() else None
    return value is not None and value == value
