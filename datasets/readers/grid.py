"""Rows of delimited numbers to columns: fast when all is well, exact about the place when it is not."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import TraceError
from ...typing import Array

#: What says that there is no value: words of programs, of spreadsheets, and of instruments out of range.
_WORDS = "nan na n/a null none -- --- ---- #n/a #ref #ref! #div/0! #value! #num! ol ovld overload overflow ovrflw ovf"
MISSING = frozenset(("", *_WORDS.split()))
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:inf|infinity)", re.IGNORECASE | re.ASCII)
_SHOWN = 40


@dataclass(frozen=True)
class Line:
    """One line of a file: its number, counted from 1, and its text."""

    number: int
    text: str


def number(cell: str) -> float | None:
    """The value of a cell: NaN where it is empty or says so, None where it is not a number."""
    cell = cell.strip().strip('"').strip()
    if cell.lower() in MISSING:
        return float("nan")
    cell = cell.replace("\u221e", "inf")
    # float() alone would also take "1_000" and Arabic digits.
    return float(cell) if _NUMBER.fullmatch(cell) else None


def whole(cell: str) -> int | None:
    """The whole number that a setting promises; None where there is none."""
    value = number(cell)
    return None if value is None or not abs(value) < 1e15 else int(value)


def is_numeric(cells: Sequence[str]) -> bool:
    """Whether every cell is a number or empty, and at least one is a number."""
    return all(number(cell) is not None for cell in cells) and any(cell.strip() for cell in cells)


def split(text: str, delimiter: str | None) -> list[str]:
    """The cells of a line; None is any run of blanks. A delimiter inside double quotes does not count."""
    if delimiter is None:
        return text.split()
    if '"' in text:
        # csv.Error: a cell beyond the limit of the module; cut plainly, it is refused as no number.
        with contextlib.suppress(csv.Error):
            return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))]
    return [cell.strip() for cell in text.split(delimiter)]


def read_grid(
    lines: Sequence[Line],
    delimiter: str | None,
    names: Sequence[str],
    *,
    complete: bool = True,
    texts: dict[int, list[str]] | None = None,
) -> Array:
    """Columns of numbers, shape (len(names), rows).

    Args:
        lines: The rows of the file, without header and comments.
        delimiter: The text between cells; None for blanks.
        names: A name per column, for the messages. Cells beyond them must be empty.
        complete: Whether the last line of the file has its end.
        texts: Takes the cells of columns without any number, which are NaN then; without it, they are refused.

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
        # An empty cell, a word for a missing one, or something that is not a number: look at every cell.
        return _read_cells(lines, delimiter, names, texts)


def _check_widths(lines: Sequence[Line], delimiter: str | None, names: Sequence[str], complete: bool) -> None:
    width = len(names)
    for line in lines:
        text = line.text
        if delimiter is None:
            count = len(text.split())
        elif '"' in text:
            count = len(split(text, delimiter))
        else:
            count = text.count(delimiter) + 1
        if count != width and not (count > width and not any(split(text, delimiter)[width:])):
            raise _ragged(line, count, width, cut=line is lines[-1] and not complete)


def _ragged(line: Line, count: int, width: int, *, cut: bool) -> TraceError:
    message = f"line {line.number} has {count} cells, expected {width}: {_shown(line.text)}"
    if cut:
        return TraceError(f"{message}. It is the last line and has no end: the file was cut off; remove that line.")
    return TraceError(f"{message}. Correct or remove that line.")


def _read_cells(
    lines: Sequence[Line], delimiter: str | None, names: Sequence[str], texts: dict[int, list[str]] | None
) -> Array:
    columns = np.full((len(names), len(lines)), np.nan)
    bad: dict[int, tuple[Line, str]] = {}
    words: dict[int, list[str]] = {}
    for row, line in enumerate(lines):
        cells = split(line.text, delimiter)
        for column, cell in enumerate(cells[: len(names)]):
            value = number(cell)
            if value is not None:
                columns[column, row] = value
                continue
            if texts is None:
                raise _not_a_number(line, column, names[column], cell)
            bad.setdefault(column, (line, cell))
            words.setdefault(column, [""] * len(lines))[row] = cell
    for column in sorted(bad, key=lambda place: (bad[place][0].number, place)):
        if len(lines) < 2 or np.isfinite(columns[column]).any():
            raise _not_a_number(bad[column][0], column, names[column], bad[column][1])
    if texts is not None:
        if len(words) == len(names):
            raise _not_a_number(bad[0][0], 0, names[0], bad[0][1])
        texts.update(words)
    return columns


def _not_a_number(line: Line, column: int, name: str, cell: str) -> TraceError:
    hint = ""
    if re.fullmatch(r"[+-]?\d+([.,' ]\d+)+([eE][+-]?\d+)?", cell):
        hint = " Numbers must be written without thousands separators, and with one kind of decimal mark."
    return TraceError(f"line {line.number}, column {column + 1} ({name!r}): {_shown(cell)} is not a number.{hint}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
