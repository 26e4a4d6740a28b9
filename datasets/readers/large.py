"""Text files of more than some ten megabytes: the beginning as lines, the rows in blocks of bytes.

Blocks are parsed by polars where it is installed (`pip install 'spinode[tables]'`), which is some five times faster than
NumPy's own reader; either gives the nearest float64 of each number. What neither takes is looked at cell by cell, so that a bad
cell is named with its line.
"""

from __future__ import annotations

import importlib
import io
import itertools
import mmap
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TraceError
from ...typing import Array
from .grid import MISSING, Line, read_grid
from .table import Progress
from .text import Text, looks_like_text, read_text

#: Files above this size [bytes] are read in blocks.
LARGE = 32_000_000
_BLOCK = 32_000_000
_HEAD = 1_000_000
_COMMENTS = (b"#", b"%")
_MISSING = sorted({form for word in MISSING for form in (word, word.upper(), word.title())} | {"NaN"})


def read_head(path: Path) -> tuple[Text, list[int]]:
    """The first lines of a file, and the offset of each in bytes.

    Raises:
        TraceError: its lines do not end as those of UNIX or Windows.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\n" not in head:
        raise TraceError(
            f"a text file of {path.stat().st_size / 1e9:.2g} GB must be in UTF-8 or Latin-1 with line feeds; convert it first."
        )
    lines = head[: head.rfind(b"\n") + 1].splitlines(keepends=True) if b"\r" not in head.replace(b"\r\n", b"") else []
    if not lines:
        raise TraceError("its lines end in carriage returns alone, and the file is large; convert the ends of its lines first.")
    raw = head[: head.rfind(b"\n") + 1]
    offsets = [0, *itertools.accumulate(len(line) + 1 for line in raw.split(b"\n")[:-1])]
    return read_text(path, raw), offsets


def read_columns(
    path: Path,
    offset: int,
    *,
    delimiter: str | None,
    names: Sequence[str],
    decimal_comma: bool,
    first: int,
    progress: Progress = None,
) -> list[Array]:
    """Columns of the rows from an offset on.

    Args:
        path: The file.
        offset: Where the first row begins [bytes].
        delimiter: Between cells; None for blanks.
        names: A name for each column.
        decimal_comma: Whether commas are decimal marks.
        first: Number of the line at `offset`.
        progress: Takes a line of text now and then.

    Raises:
        TraceError: as `read_grid`.
    """
    columns, filled = [np.empty(0) for _ in names], 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        size, place = len(data), offset
        while place < size:
            # Up to the last end of a line in the block; a longer line is taken whole.
            end = data.rfind(b"\n", place, min(place + _BLOCK, size)) + 1 or data.find(b"\n", place) + 1 or size
            end = size if not data[end : end + 100].strip() and end + 100 >= size else end
            block = _parse(
                data[place:end],
                delimiter,
                names,
                decimal_comma,
                partial(_line_at, path, place, offset, first),
                complete=end < size or data[size - 1 : size] == b"\n",
            )
            rows = len(block[0])
            if filled + rows > len(columns[0]):
                expected = filled + rows * (1 + (size - end) / (end - place))
                columns = [_longer(column, int(1.01 * expected) + 1) for column in columns]
            for column, values in zip(columns, block, strict=True):
                column[filled : filled + rows] = values
            filled, place = filled + rows, end
            if hasattr(mmap, "MADV_DONTNEED"):  # pages that were read count as memory of this process until then
                data.madvise(mmap.MADV_DONTNEED, 0, place // mmap.PAGESIZE * mmap.PAGESIZE)
            if progress:
                progress(f"reading {path.name}: {100 * place / size:.0f} %")
    return [_longer(column, filled) for column in columns]


def _longer(column: Array, rows: int) -> Array:
    """The array with another length, in its own memory where that is possible; what is new is not set."""
    column.resize(rows, refcheck=False)
    return column


def _line_at(path: Path, place: int, offset: int, first: int) -> int:
    """Number of the line that begins at a place of the file."""
    count = first
    with path.open("rb") as file:
        file.seek(offset)
        while file.tell() < place:
            count += file.read(min(_BLOCK, place - file.tell())).count(b"\n")
    return count


def _parse(
    piece: bytes,
    delimiter: str | None,
    names: Sequence[str],
    decimal_comma: bool,
    line: Callable[[], int],
    *,
    complete: bool = True,
) -> Sequence[Array]:
    found = _by_polars(piece, delimiter, len(names), decimal_comma) or _by_numpy(piece, delimiter, len(names), decimal_comma)
    if found is not None:
        return found
    if not looks_like_text(piece):
        raise TraceError(f"the file holds control characters behind line {line()}; is it damaged?")
    text = piece.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
    numbered = enumerate(text.split("\n"), start=line())
    rows = [
        Line(number, content.replace(",", ".") if decimal_comma else content)
        for number, content in numbered
        if content.strip() and not content.lstrip().startswith(("#", "%"))
    ]
    return list(read_grid(rows, delimiter, names, complete=complete)) if rows else [np.empty(0) for _ in names]


def _by_polars(piece: bytes, delimiter: str | None, width: int, decimal_comma: bool) -> Sequence[Array] | None:
    polars = _polars()
    if polars is None or delimiter is None:
        return None
    marks = piece[: piece.find(b"\n")].count(delimiter.encode())
    if marks < width - 1:
        return None
    kinds = {f"{k}": polars.Float64 if k < width else polars.String for k in range(marks + 1)}
    for clean in (False, True):
        content = _bare(piece, delimiter) if clean else piece
        try:
            frame = polars.read_csv(
                io.BytesIO(content),
                has_header=False,
                separator=delimiter,
                schema=kinds,
                null_values=_MISSING,
                decimal_comma=decimal_comma,
                quote_char=None,
            )
        except Exception:  # of whatever kind: the next way says what is wrong
            continue
        # Polars fills up short rows; where a last cell is empty, every row must have as many marks as the first.
        if frame[f"{marks}"].null_count() and content.count(delimiter.encode()) != len(frame) * marks:
            return None
        if any(frame[f"{k}"].str.strip_chars().str.len_chars().max() for k in range(width, marks + 1)):
            return None
        return [frame[f"{k}"].to_numpy() for k in range(width)]
    return None


def _bare(piece: bytes, delimiter: str) -> bytes:
    """Without blanks around cells and signs in front of numbers; what stands between digits stays, and is refused."""
    mark = re.escape(delimiter.encode())
    return re.sub(rb"(?<![0-9.])\+", b"", re.sub(rb" *(" + mark + rb"|\n) *", rb"\1", piece.replace(b"\r", b"")))


def _by_numpy(piece: bytes, delimiter: str | None, width: int, decimal_comma: bool) -> Sequence[Array] | None:
    content = piece.replace(b",", b".") if decimal_comma else piece
    lines = content.split(b"\n")
    marks = {len(each.split()) if delimiter is None else each.count(delimiter.encode()) + 1 for each in lines if each.strip()}
    if marks != {width} or any(mark in content for mark in _COMMENTS):
        return None
    try:
        found = np.loadtxt(
            io.BytesIO(content),
            delimiter=delimiter,
            usecols=range(width),
            comments=None,
            ndmin=2,
            unpack=True,
            encoding="latin-1",
        )
        return list(found)
    except ValueError:
        return None


def _polars() -> Any:
    try:
        return importlib.import_module("polars")
    except ImportError:
        return None
