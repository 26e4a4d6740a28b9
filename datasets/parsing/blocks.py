"""Text files of more than some ten megabytes: the first lines as text, the rows in blocks of bytes.

Blocks are parsed by polars where it is installed (`pip install 'spinode[tables]'`), which is some five times faster than
NumPy's own reader; both give the nearest float64 of each number. A block that neither can parse is checked cell by cell, so
that a bad cell is reported with its line.
"""

from __future__ import annotations

import importlib
import io
import itertools
import mmap
import re
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TraceError
from ...typing import Array, Progress
from .grid import MISSING, Doubtful, Line, read_grid
from .messages import quoted
from .text import Text, is_text, read_text

#: Files above this size [bytes] are read in blocks.
LARGE = 32_000_000
_BLOCK = 32_000_000
_HEAD, _TAIL = 1_000_000, 100_000
_COMMENTS = (b"#", b"%")
_MISSING = sorted({form for word in MISSING for form in (word, word.upper(), word.title())} | {"NaN"})


def read_head(path: Path) -> tuple[Text, list[int]]:
    """Read the first lines of a file, and the offset of each in bytes.

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
        raise TraceError("its lines end in carriage returns alone, and the file is large; convert its line breaks first.")
    raw = head[: head.rfind(b"\n") + 1]
    offsets = [0, *itertools.accumulate(len(line) + 1 for line in raw.split(b"\n")[:-1])]
    return read_text(path, raw), offsets


def read_tail(path: Path) -> list[str]:
    """Return the last lines of a file, at most some hundred kilobytes, without the line that this cuts."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _TAIL, 0))
        return file.read().decode("latin-1").split("\n")[1:]


def read_columns_in_blocks(
    path: Path,
    offset: int,
    *,
    stop: int | None = None,
    delimiter: str | None,
    names: Sequence[str],
    decimal_comma: bool,
    first: int,
    progress: Progress | None = None,
    words: Collection[int] = (),
) -> list[Array]:
    """Read the columns of the rows from an offset to the end of a file.

    Args:
        path: The file.
        offset: Offset of the first row [bytes].
        stop: Offset of the end of the rows; that of the file if omitted.
        delimiter: The text between cells; None for blanks.
        names: A name for each column.
        decimal_comma: True if commas are decimal marks.
        first: Line number at `offset`.
        progress: Receives a line of text after each block.
        words: Columns that contain words, which become NaN.

    Raises:
        TraceError: as `read_grid`.
    """
    columns, filled = [np.empty(0) for _ in names], 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        size, begin = len(data) if stop is None else stop, offset
        while begin < size:
            # Up to the last line break in the block; a longer line is taken as a whole.
            end = data.rfind(b"\n", begin, min(begin + _BLOCK, size)) + 1 or data.find(b"\n", begin) + 1 or size
            end = size if not data[end : end + 100].strip() and end + 100 >= size else end
            block = _parse(
                data[begin:end],
                delimiter,
                names,
                decimal_comma,
                partial(_line_number, path, begin, offset, first),
                complete=end < size or data[size - 1 : size] == b"\n",
                words=words,
            )
            rows = len(block[0])
            if filled + rows > len(columns[0]):
                expected = filled + rows * (1 + (size - end) / (end - begin))
                columns = [_resized(column, int(1.01 * expected) + 1) for column in columns]
            for column, values in zip(columns, block, strict=True):
                column[filled : filled + rows] = values
            filled, begin = filled + rows, end
            if hasattr(mmap, "MADV_DONTNEED"):  # pages that were read count as memory of this process until then
                data.madvise(mmap.MADV_DONTNEED, 0, begin // mmap.PAGESIZE * mmap.PAGESIZE)
            if progress:
                progress(f"reading {path.name}: {100 * begin / size:.0f} %")
    return [_resized(column, filled) for column in columns]


def _resized(column: Array, rows: int) -> Array:
    """Return the array with another length, in its own memory where that is possible; new elements are not set."""
    column.resize(rows, refcheck=False)
    return column


def _line_number(path: Path, position: int, offset: int, first: int) -> int:
    """Return the number of the line that begins at a position of the file."""
    count = first
    with path.open("rb") as file:
        file.seek(offset)
        while file.tell() < position:
            count += file.read(min(_BLOCK, position - file.tell())).count(b"\n")
    return count


def _parse(
    block: bytes,
    delimiter: str | None,
    names: Sequence[str],
    decimal_comma: bool,
    line_number: Callable[[], int],
    *,
    complete: bool = True,
    words: Collection[int] = (),
) -> Sequence[Array]:
    """Return the columns of a block by the fastest way that can parse it."""
    width = len(names)
    columns = _by_polars(block, delimiter, width, decimal_comma, words)
    columns = columns or _by_numpy(block, delimiter, width, decimal_comma, words)
    if columns is not None:
        return columns
    if not is_text(block):
        raise TraceError(f"the file contains control characters after line {line_number()}; is it damaged?")
    text = block.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
    numbered = enumerate(text.split("\n"), start=line_number())
    rows = [
        Line(number, content.replace(",", ".") if decimal_comma else content)
        for number, content in numbered
        if content.strip() and not content.lstrip().startswith(("#", "%"))
    ]
    if not rows:
        return [np.empty(0) for _ in names]
    doubtful = Doubtful()
    columns = list(read_grid(rows, delimiter, names, complete=complete, doubtful=doubtful))
    bad = next((index for index in (*doubtful.unreadable, *doubtful.words) if index not in words), None)
    if bad is not None:
        cell = doubtful.words.get(bad, [""])[0]
        raise TraceError(
            doubtful.unreadable.get(
                bad,
                f"the column {names[bad]!r} contains {quoted(cell)} after line {rows[0].number - 1}, which is not a number.",
            )
        )
    return columns


def _by_polars(
    block: bytes, delimiter: str | None, width: int, decimal_comma: bool, words: Collection[int]
) -> Sequence[Array] | None:
    polars = _polars()
    if polars is None or delimiter is None:
        return None
    delimiters = block[: block.find(b"\n")].count(delimiter.encode())
    if delimiters < width - 1:
        return None
    schema = {f"{k}": polars.Float64 if k < width and k not in words else polars.String for k in range(delimiters + 1)}
    for strip in (False, True):
        content = _stripped(block, delimiter) if strip else block
        try:
            frame = polars.read_csv(
                io.BytesIO(content),
                has_header=False,
                separator=delimiter,
                schema=schema,
                null_values=_MISSING,
                decimal_comma=decimal_comma,
                quote_char=None,
            )
        except Exception:  # of whatever kind: the next way reports the bad cell
            continue
        # Polars fills up short rows; where a last cell is empty, every row must have as many delimiters as the first.
        if frame[f"{delimiters}"].null_count() and content.count(delimiter.encode()) != len(frame) * delimiters:
            return None
        if any(frame[f"{k}"].str.strip_chars().str.len_chars().max() for k in range(width, delimiters + 1)):
            return None
        return [np.full(len(frame), np.nan) if k in words else frame[f"{k}"].to_numpy() for k in range(width)]
    return None


def _stripped(block: bytes, delimiter: str) -> bytes:
    """Remove blanks around cells and plus signs in front of numbers; blanks between digits stay, and are refused."""
    mark = re.escape(delimiter.encode())
    return re.sub(rb"(?<![0-9.])\+", b"", re.sub(rb" *(" + mark + rb"|\n) *", rb"\1", block.replace(b"\r", b"")))


def _by_numpy(
    block: bytes, delimiter: str | None, width: int, decimal_comma: bool, words: Collection[int]
) -> Sequence[Array] | None:
    content = block.replace(b",", b".") if decimal_comma else block
    lines = content.split(b"\n")
    widths = {len(each.split()) if delimiter is None else each.count(delimiter.encode()) + 1 for each in lines if each.strip()}
    if widths != {width} or any(mark in content for mark in _COMMENTS):
        return None
    used = [k for k in range(width) if k not in words]
    try:
        columns = np.loadtxt(
            io.BytesIO(content),
            delimiter=delimiter,
            usecols=used,
            comments=None,
            ndmin=2,
            unpack=True,
            encoding="latin-1",
        )
        rows = columns.shape[1]
        return [columns[used.index(k)] if k in used else np.full(rows, np.nan) for k in range(width)]
    except ValueError:
        return None


def _polars() -> Any:
    try:
        return importlib.import_module("polars")
    except ImportError:
        return None
