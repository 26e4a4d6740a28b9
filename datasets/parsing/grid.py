"""Rows of delimited numbers to columns: fast for clean files, exact about the line and column of a bad cell."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...errors import TraceError
from ...typing import Array
from .messages import counted, quoted

#: Words for a missing value: of programs, of spreadsheets, and of instruments out of range.
_MISSING_WORDS = "nan na n/a null none -- --- ---- #n/a #ref #ref! #div/0! #value! #num! ol ovld overload overflow ovrflw ovf"
MISSING = frozenset(("", *_MISSING_WORDS.split()))
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:inf|infinity)", re.IGNORECASE | re.ASCII)
_GROUPED_DIGITS = re.compile(r"[+-]?\d+([.,' ]\d+)+([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Line:
    """One line of a file: its number, counted from 1, and its text."""

    number: int
    text: str


def parse_number(cell: str) -> float | None:
    """Return the value of a cell: NaN where it is empty or a word for a missing value, None where it is not a number.

    Example:
        >>> parse_number("1.5e-3"), parse_number("OVLD"), parse_number("1_000")
        (0.0015, nan, None)
    """
    cell = cell.strip().strip('"').strip()
    if cell.lower() in MISSING:
        return float("nan")
    cell = cell.replace("\u221e", "inf")
    # float() alone would also accept "1_000" and Arabic digits.
    return float(cell) if _NUMBER.fullmatch(cell) else None


def parse_numbers(cells: Sequence[str]) -> tuple[Array, set[str]]:
    """Return the values of cells, shape (cells,), NaN where they are no numbers; and the cells that are none.

    Example:
        >>> parse_numbers(["1", "x", "", "2.5"])
        (array([1. , nan, nan, 2.5]), {'x'})
    """
    text = "".join(cells)
    if text.isascii() and "_" not in text:
        # All that float() then accepts are numbers or missing values here as well.
        with contextlib.suppress(ValueError):
            return np.array(list(map(float, cells))), set()
    value_of = {cell: parse_number(cell) for cell in dict.fromkeys(cells)}
    words = {cell for cell, value in value_of.items() if value is None}
    for word in words:
        value_of[word] = float("nan")
    return np.array([value_of[cell] for cell in cells], dtype=np.float64), words


def parse_whole_number(cell: str) -> int | None:
    """Return the whole number in the value of a header field; None where there is none."""
    value = parse_number(cell)
    return None if value is None or not abs(value) < 1e15 else int(value)


def is_numeric(cells: Sequence[str]) -> bool:
    """Return True if every cell is a number or empty, and at least one is a number."""
    return all(parse_number(cell) is not None for cell in cells) and any(cell.strip() for cell in cells)


def split_cells(text: str, delimiter: str | None) -> list[str]:
    """Split a line into cells at a delimiter outside double quotes; the delimiter None is any run of blanks."""
    if delimiter is None:
        return text.split()
    if '"' in text:
        # csv.Error: a cell beyond the limit of the csv module; without quotes it is refused later as not a number.
        with contextlib.suppress(csv.Error):
            return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))]
    return [cell.strip() for cell in text.split(delimiter)]


@dataclass
class Doubtful:
    """Columns of a table that are not plain numbers.

    Attributes:
        words: Cells of columns without any number, by column; their values are NaN.
        unreadable: What is wrong with the first bad cell of columns that also contain numbers, by column.
    """

    words: dict[int, list[str]] = field(default_factory=dict)
    unreadable: dict[int, str] = field(default_factory=dict)


def read_grid(
    lines: Sequence[Line],
    delimiter: str | None,
    names: Sequence[str],
    *,
    complete: bool = True,
    doubtful: Doubtful | None = None,
) -> Array:
    """Read columns of numbers, shape (len(names), rows).

    Args:
        lines: The rows of the file, without header and comments.
        delimiter: The text between cells; None for blanks.
        names: A name per column, for the messages. Cells beyond them must be empty.
        complete: True if the last line of the file ends in a line break.
        doubtful: Filled with the columns that are not plain numbers; if omitted, such columns are refused.

    Raises:
        TraceError: a row of another length, or a cell that is not a number; with line, column and cell.
    """
    _check_widths(lines, delimiter, names, complete)
    try:
        return np.loadtxt(
            [line.text for line in lines],
            delimiter=delimiter,
            usecols=range(len(names)),
            comments=None,
            ndmin=2,
            unpack=True,
        )
    except ValueError:
        # An empty cell, a word for a missing value, or something that is not a number: check every cell.
        return _read_cells(lines, delimiter, names, doubtful)


def _check_widths(lines: Sequence[Line], delimiter: str | None, names: Sequence[str], complete: bool) -> None:
    width = len(names)
    for line in lines:
        text = line.text
        if delimiter is None:
            count = len(text.split())
        elif '"' in text:
            count = len(split_cells(text, delimiter))
        else:
            count = text.count(delimiter) + 1
        if count != width and not (count > width and not any(split_cells(text, delimiter)[width:])):
            raise _wrong_width(line, count, width, cut_off=line is lines[-1] and not complete)


def _wrong_width(line: Line, count: int, width: int, *, cut_off: bool) -> TraceError:
    message = f"line {line.number} has {counted(count, 'cell')}, expected {width}: {quoted(line.text)}"
    if cut_off:
        return TraceError(f"{message}. It is the last line and has no line break: the file was cut off; remove that line.")
    return TraceError(f"{message}. Correct or remove that line.")


def _read_cells(lines: Sequence[Line], delimiter: str | None, names: Sequence[str], doubtful: Doubtful | None) -> Array:
    columns = np.empty((len(names), len(lines)))
    first_bad: dict[int, tuple[Line, str]] = {}
    word_columns: dict[int, list[str]] = {}
    rows = (split_cells(line.text, delimiter)[: len(names)] for line in lines)
    for column, cells in enumerate(zip(*rows, strict=True)):
        columns[column], words = parse_numbers(cells)
        if words:
            word_columns[column] = [cell if cell in words else "" for cell in cells]
            row = next(row for row, cell in enumerate(cells) if cell in words)
            first_bad[column] = (lines[row], cells[row])
    if not first_bad:
        return columns
    bad = sorted(first_bad, key=lambda index: (first_bad[index][0].number, index))
    if doubtful is None or len(lines) < 2 or len(bad) == len(names):
        raise _not_a_number(first_bad[bad[0]][0], bad[0], names[bad[0]], first_bad[bad[0]][1])
    for column in bad:
        if np.isfinite(columns[column]).any():
            line, cell = first_bad[column]
            doubtful.unreadable[column] = str(_not_a_number(line, column, names[column], cell))
            columns[column] = np.nan
        else:
            doubtful.words[column] = word_columns[column]
    return columns


def _not_a_number(line: Line, column: int, name: str, cell: str) -> TraceError:
    hint = ""
    if _GROUPED_DIGITS.fullmatch(cell):
        hint = " Numbers must be written without thousands separators, and with one kind of decimal mark."
    return TraceError(f"line {line.number}, column {column + 1} ({name!r}): {quoted(cell)} is not a number.{hint}")
