"""Tables whose columns may contain words (names of devices, directions of pulses) besides numbers."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import TraceError
from ...typing import Array
from ..parsing.grid import parse_number
from ..parsing.messages import counted, quoted
from ..parsing.table import Table

Codes = npt.NDArray[np.int64]

# This many rows stay in the processor's cache while their cells go to the columns: twice as fast as all at once.
_CHUNK = 1 << 10
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
_WITH_UNIT = re.compile(r"[+-]?[\d.]+(?:[eE][+-]?\d+)?\s*[^\W\d_]+", re.ASCII)


@dataclass(frozen=True, eq=False)
class Words:
    """A column of words: the distinct words in the order of their appearance, and for each row the index of its word."""

    codes: Codes
    names: list[str]


@dataclass(frozen=True, eq=False)
class PulseTable:
    """Named columns of a file, each read as numbers or as words when it is requested.

    Attributes:
        names: Column names, all distinct; "column 1", ... where the file has no header.
        units: Unit text per column as the file has it; None where the file gives none.
        headed: True if the file names its columns.
        source: The columns as numbers, or the lines of text that contain them.
        parameters: Constants that the file names.
        parameter_units: Unit text of the constants, where the file has it.
        metadata: Everything else in the file.
    """

    names: tuple[str, ...]
    units: tuple[str | None, ...]
    headed: bool
    source: Table | Lines
    parameters: Mapping[str, float] = field(default_factory=dict)
    parameter_units: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_table(cls, table: Table, headed: bool = True) -> PulseTable:
        """Return the columns of a table of numbers."""
        return cls(table.names, table.units, headed, table, table.parameters, table.parameter_units, table.metadata)

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return self.source.rows if isinstance(self.source, Table) else len(self.source.texts)

    def where(self, row: int) -> str:
        """Return the name of a row for a message: its line in a text file, its number from 1 elsewhere."""
        return f"row {row + 1}" if isinstance(self.source, Table) else f"line {self.source.positions[row]}"

    def doubt_about_last_line(self) -> str:
        """Return a doubt if the last line has no line break, as after an interrupted writer; else ""."""
        if isinstance(self.source, Table) or self.source.complete:
            return ""
        return (
            f"line {self.source.positions[-1]} is the last one and has no line break: its last number may be cut "
            f"({quoted(self.source.texts[-1])}); end the line if it is right, or remove it"
        )

    def columns(self, numbers: Sequence[str], words: Sequence[str]) -> tuple[dict[str, Array], dict[str, Words]]:
        """Return some columns as numbers, NaN where a cell is empty, and others as words.

        Raises:
            TraceError: a row of another length, or a cell that is not a number; with line, column and cell.
        """
        if isinstance(self.source, Table):
            return {n: self.source.column(n) for n in numbers}, {n: _distinct_values(self.source.column(n)) for n in words}
        return self._from_lines(self.source, list(dict.fromkeys(numbers)), list(dict.fromkeys(words)))

    def _from_lines(self, lines: Lines, numbers: list[str], words: list[str]) -> tuple[dict[str, Array], dict[str, Words]]:
        values: dict[str, list[Array]] = {name: [] for name in numbers}
        codes: dict[str, list[Codes]] = {name: [] for name in words}
        code_of: dict[str, dict[str, int]] = {name: {} for name in words}
        for first, cells in lines.chunks(len(self.names)):
            for name in numbers:
                column = self.names.index(name)
                values[name].append(_numbers(cells[column], lines, first, column, name))
            for name in words:
                own = code_of[name]
                rows = (own.setdefault(cell, len(own)) for cell in cells[self.names.index(name)])
                codes[name].append(np.fromiter(rows, np.int64))
        columns = {name: np.concatenate(parts) for name, parts in values.items()}
        return columns, {name: _stripped(np.concatenate(codes[name]), list(code_of[name])) for name in words}


@dataclass(frozen=True, eq=False)
class Lines:
    """The rows of a text file with their line numbers."""

    texts: list[str]
    positions: list[int]
    delimiter: str | None
    complete: bool

    def chunks(self, width: int) -> Iterator[tuple[int, list[tuple[str, ...]]]]:
        """Yield the cells of a thousand rows at a time by column, with the index of the first row."""
        for first in range(0, len(self.texts), _CHUNK):
            texts = self.texts[first : first + _CHUNK]
            rows = self._split(texts, first)
            if set(map(len, rows)) != {width}:
                for row, cells in enumerate(rows):
                    if len(cells) < width or any(cell.strip() for cell in cells[width:]):
                        raise self._wrong_width(first + row, len(cells), width)
                    del cells[width:]
            yield first, list(zip(*rows, strict=True))

    def _split(self, texts: list[str], first: int) -> list[list[str]]:
        if self.delimiter is None:
            return [text.split() for text in texts]
        try:
            rows = list(csv.reader(texts, delimiter=self.delimiter, skipinitialspace=True))
        except csv.Error as error:
            raise TraceError(f"the lines from {self.positions[first]} on cannot be split into cells ({error}).") from None
        if len(rows) != len(texts):
            raise TraceError(
                f"below line {self.positions[first]} a quotation mark opens a cell that does not end on its line; close it."
            )
        return rows

    def _wrong_width(self, row: int, count: int, width: int) -> TraceError:
        message = f"line {self.positions[row]} has {counted(count, 'cell')}, expected {width}: {quoted(self.texts[row])}"
        if row == len(self.texts) - 1 and not self.complete:
            return TraceError(f"{message}. It is the last line and has no line break: the file was cut off; remove that line.")
        return TraceError(f"{message}. Correct or remove that line.")


def _numbers(cells: Sequence[str], lines: Lines, first: int, column: int, name: str) -> Array:
    """Parse cells as numbers: by `float` where that is safe, else cell by cell."""
    joined = "\n".join(cells)
    # float() would also accept "1_000" and Arabic digits.
    if joined.isascii() and "_" not in joined:
        try:
            return np.fromiter(map(float, cells), np.float64, len(cells))
        except ValueError:
            pass
    if lines.delimiter != "," and "," in joined and "." not in joined:
        with_comma = [cell.strip() for cell in cells if "," in cell]
        if all(_DECIMAL_COMMA.fullmatch(cell) for cell in with_comma):
            if all(_THOUSANDS.fullmatch(cell) for cell in with_comma):
                raise TraceError(
                    f"column {name!r}: the commas of {with_comma[0]!r} can be decimal marks or thousands separators, and no "
                    "other number of the column decides it; write it with a decimal point."
                )
            cells = [cell.replace(",", ".") for cell in cells]
    values = [parse_number(cell) for cell in cells]
    if None in values:
        row = values.index(None)
        cell = cells[row].strip()
        hint = ""
        if _WITH_UNIT.fullmatch(cell):
            hint = f" Write plain numbers of one unit, and the unit into the header: {name} (uS)."
        place = f"line {lines.positions[first + row]}, column {column + 1} ({name!r})"
        raise TraceError(f"{place}: {quoted(cell)} is not a number.{hint}")
    return np.array(values, dtype=np.float64)


def _stripped(codes: Codes, names: list[str]) -> Words:
    """Remove the blanks around words; those that differ by blanks only become one."""
    code_of: dict[str, int] = {}
    merged = np.array([code_of.setdefault(name.strip(), len(code_of)) for name in names], dtype=np.int64)
    return Words(merged[codes], list(code_of))


def _distinct_values(column: Array) -> Words:
    """Return numbers as words, for files that contain numbers only."""
    values, first, inverse = np.unique(column, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return Words(rank[inverse.reshape(-1)], [repr(value) for value in values[order].tolist()])
