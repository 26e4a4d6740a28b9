"""Text files of more than some ten megabytes: the beginning as lines, the rows in blocks of bytes.

Blocks are parsed by polars where it is installed (`pip install 'spinode[tables]'`), which is some five times faster than
NumPy's own reader; either gives the nearest float64 of each number. What neither takes is looked at cell by cell, so that a bad
cell is named with its line.
"""

from __future__ import annotations

import importlib
import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TraceError
from .grid import Array, Line, read_grid
from .table import Progress
from .text import Text, looks_like_text, read_text

#: Files above this size [bytes] are read in blocks.
LARGE = 32_000_000
_BLOCK = 16_000_000
_HEAD = 1_000_000
_COMMENTS = (b"#", b"%")
_MISSING = ("", "nan", "NaN", "NAN", "NA", "N/A", "null", "None", "--")


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
    size, rest, line = path.stat().st_size, b"", first
    blocks: list[Array] = []
    with path.open("rb") as file:
        file.seek(offset)
        while True:
            block = file.read(_BLOCK)
            cut = block.rfind(b"\n") + 1 if block else 0
            piece, rest = (rest + block[:cut], block[cut:]) if block else (rest, b"")
            if not block and not piece:
                break
            if cut or not block:
                blocks.append(_parse(piece, delimiter, names, decimal_comma, line, complete=bool(block)))
                line += piece.count(b"\n")
            else:
                rest = piece + rest
            if progress:
                progress(f"reading {path.name}: {100 * file.tell() / size:.0f} %")
            if not block:
                break
    columns = []
    for place in range(len(names)):
        columns.append(np.concatenate([block[place] for block in blocks]))
    return columns


def _parse(
    piece: bytes, delimiter: str | None, names: Sequence[str], decimal_comma: bool, line: int, *, complete: bool
) -> Array:
    if any(mark in piece for mark in _COMMENTS) or b"\n\n" in piece or b"\n\r\n" in piece:
        kept = [each for each in piece.split(b"\n") if each.strip() and not each.lstrip().startswith(_COMMENTS)]
        plain = b"\n".join(kept) + b"\n" if kept else b""
    else:
        plain = piece
    if not plain.strip():
        return np.empty((len(names), 0))
    found = _by_polars(plain, delimiter, len(names), decimal_comma)
    if found is None:
        found = _by_numpy(plain, delimiter, len(names), decimal_comma)
    if found is not None:
        return found
    if not looks_like_text(piece):
        raise TraceError(f"the file holds control characters behind line {line}; is it damaged?")
    text = piece.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
    numbered = enumerate(text.split("\n"), start=line)
    rows = [
        Line(number, content.replace(",", ".") if decimal_comma else content)
        for number, content in numbered
        if content.strip() and not content.lstrip().startswith(("#", "%"))
    ]
    return read_grid(rows, delimiter, names, complete=complete)


def _by_polars(piece: bytes, delimiter: str | None, width: int, decimal_comma: bool) -> Array | None:
    polars = _polars()
    if polars is None or delimiter is None:
        return None
    mark = delimiter.encode()
    first = piece[: piece.find(b"\n")] if b"\n" in piece else piece
    marks = first.count(mark)
    rows = piece.count(b"\n") + (not piece.endswith(b"\n"))
    # Polars fills up short rows; every row must have as many marks as the first.
    if marks < width - 1 or piece.count(mark) != rows * marks or b'"' in piece:
        return None
    kinds = {f"{k}": polars.Float64 if k < width else polars.String for k in range(marks + 1)}
    for content in (piece, piece.replace(b" ", b"").replace(b"+", b"").replace(b"\r", b"")):
        try:
            frame = polars.read_csv(
                io.BytesIO(content),
                has_header=False,
                separator=delimiter,
                schema=kinds,
                null_values=list(_MISSING),
                decimal_comma=decimal_comma,
                quote_char=None,
            )
        except Exception:  # of whatever kind: the next way says what is wrong
            continue
        if len(frame) != rows or any(
            bool(frame[f"{k}"].is_not_null().any() and frame[f"{k}"].str.strip_chars().str.len_chars().max())
            for k in range(width, marks + 1)
        ):
            continue
        return np.stack([frame[f"{k}"].to_numpy() for k in range(width)])
    return None


def _by_numpy(piece: bytes, delimiter: str | None, width: int, decimal_comma: bool) -> Array | None:
    content = piece.replace(b",", b".") if decimal_comma else piece
    lines = content.split(b"\n")
    marks = {len(each.split()) if delimiter is None else each.count(delimiter.encode()) + 1 for each in lines if each.strip()}
    if marks != {width}:
        return None
    try:
        return np.loadtxt(
            io.BytesIO(content),
            delimiter=delimiter,
            usecols=range(width),
            comments=None,
            ndmin=2,
            unpack=True,
            encoding="latin-1",
        )
    except ValueError:
        return None


def _polars() -> Any:
    try:
        return importlib.import_module("polars")
    except ImportError:
        return None
