"""OOMMF vector fields, OVF 1.0 and 2.0, in text, binary 4 and binary 8: the mean over the magnetic cells, one row for a file.

Text is in UTF-8 or Latin-1; numbers of OVF 1.0 in binary are big-endian, those of 2.0 little-endian, after a check value
(1234567.0 or 123456789012345.0). Cells whose vector is zero are not part of the magnet. A series of files is read by
`read_trace("m*.ovf")`: one recording over the time in `Desc: Total simulation time`.

Source: OOMMF user's guide, "Vector field file format (OVF)".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import TraceError
from ...typing import Array, Progress
from ..parsing.grid import parse_number
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.table import Table

_FIRST_LINE = re.compile(rb"(?:\xef\xbb\xbf)?\s*#+ *OOMMF[ :]", re.IGNORECASE)
_DATA = re.compile(rb"^#+ *Begin: *Data +(Text|Binary 4|Binary 8)[ \t]*\r?\n", re.IGNORECASE | re.MULTILINE)
_END_OF_DATA = re.compile(rb"^#+ *End: *Data", re.IGNORECASE | re.MULTILINE)
_TIME = re.compile(r"Total simulation time: *(?P<time>[-+.\deE]+) *s")
_CHECK_VALUE = {4: 1234567.0, 8: 123456789012345.0}


@dataclass
class _VectorField:
    mean: Array
    labels: list[str]
    units: list[str | None]
    time: float | None
    cells: int
    empty_cells: int
    header: dict[str, str] = field(default_factory=dict)


def sniff(head: bytes) -> bool:
    """Return True if the first line is that of a vector field."""
    return bool(_FIRST_LINE.match(head))


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read one row of means.

    Raises:
        TraceError: a header without the size of the mesh, a wrong check value, or too few numbers.
    """
    note = f"one field is one sample; a folder or a pattern ('*{path.suffix}') of a series of them is a recording"
    return replace(_table([_read(path)]), notes=(note,))


def read_series(paths: Sequence[Path], progress: Progress | None = None) -> Table:
    """Read one row for each file, in the order of their times.

    Raises:
        TraceError: as `read`, or fields with other components; with the name of the file.
    """
    fields = []
    for count, path in enumerate(paths, start=1):
        try:
            fields.append(_read(path))
        except TraceError as error:
            raise TraceError(f"{path.name}: {error}") from None
        if fields[-1].labels != fields[0].labels:
            raise TraceError(f"{path.name} has components {fields[-1].labels}, and {paths[0].name} {fields[0].labels}.")
        if progress:
            progress(f"reading {count} of {len(paths)} files")
    if all(each.time is not None for each in fields):
        fields.sort(key=lambda each: each.time or 0.0)
    return _table(fields)


def _table(fields: Sequence[_VectorField]) -> Table:
    means = np.stack([each.mean for each in fields], -1)
    first = fields[0]
    metadata: dict[str, Any] = {
        "header": first.header,
        "cells": first.cells,
        "empty_cells": first.empty_cells,
        "files": len(fields),
    }
    times = [each.time for each in fields]
    if any(time is None for time in times):
        return Table(tuple(first.labels), tuple(means), tuple(first.units), metadata=metadata)
    return Table(
        ("t", *first.labels), (np.array(times, dtype=np.float64), *means), ("s", *first.units), metadata=metadata, time="t"
    )


def _read(path: Path) -> _VectorField:
    data = path.read_bytes()
    begin = _DATA.search(data)
    if begin is None:
        raise TraceError("the field has no line '# Begin: Data Text' (or Binary 4, Binary 8); was the file cut off?")
    lines = data[: begin.start()].decode("utf-8", errors="replace").splitlines()
    if sum(line.lstrip("# ").casefold().startswith("begin: segment") for line in lines) > 1:
        raise TraceError("the file has several segments; write one field to a file.")
    header, time = _header(lines)
    is_version_1 = "rectangular mesh v1" in lines[0] or "1.0" in lines[0]
    width = 3 if is_version_1 else _count(header, "valuedim")
    if header.get("meshtype", "rectangular").casefold() == "irregular":
        # Each row of an irregular mesh begins with the position of its point.
        rows, skipped = _count(header, "pointcount"), 3
        width += skipped
    else:
        rows, skipped = _count(header, "xnodes") * _count(header, "ynodes") * _count(header, "znodes"), 0
    encoding = begin[1].decode().casefold()
    if encoding == "text":
        values = _text_values(data[begin.end() :], rows * width)
    else:
        values = _binary_values(data, begin.end(), rows * width, int(encoding[-1]), big_endian=is_version_1)
    vectors = values.reshape(rows, width)[:, skipped:] * (_multiplier(header) if is_version_1 else 1.0)
    inside = (vectors != 0).any(1)
    if not np.isfinite(vectors).all():
        raise TraceError("the field contains NaN or infinite values; the simulation went wrong, or the file is damaged.")
    mean = vectors[inside].mean(0) if inside.any() else np.zeros(vectors.shape[1])
    labels, units = _labels(header, vectors.shape[1], is_version_1)
    return _VectorField(mean, labels, units, time, rows, int((~inside).sum()), header)


def _header(lines: Sequence[str]) -> tuple[dict[str, str], float | None]:
    """Return the keys of the header, and the time of the field [s]."""
    header, time = {}, None
    for line in lines:
        text = line.lstrip("#").strip()
        match = _TIME.search(text)
        if match:
            value = parse_number(match["time"])
            time = value if value is not None and value >= 0 else None  # a minimisation writes -1 or -2
        key, colon, value_text = text.partition(":")
        if colon and key.casefold() not in ("begin", "end", "desc"):
            header[key.strip().casefold()] = value_text.strip()
    return header, time


def _count(header: dict[str, str], key: str) -> int:
    text = header.get(key, "")
    if not text.isdigit() or not 0 < int(text) < 10**9:
        raise TraceError(f"the header of the field has {key} {text!r}; expected a positive whole number.")
    return int(text)


def _multiplier(header: dict[str, str]) -> float:
    value = parse_number(header.get("valuemultiplier", "1"))
    if value is None or not abs(value) < float("inf"):
        raise TraceError(f"the header of the field has valuemultiplier {header['valuemultiplier']!r}; expected a number.")
    return value


def _text_values(data: bytes, count: int) -> Array:
    body = _END_OF_DATA.split(data, maxsplit=1)[0]
    words = b"\n".join(line for line in body.splitlines() if not line.lstrip().startswith(b"#")).split()
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise TraceError(f"the field contains a value that is not a number: {error}.") from None
    if len(values) != count:
        raise TraceError(f"the field has {len(values)} numbers, but its header gives {count}; was the file cut off?")
    return values


def _binary_values(data: bytes, start: int, count: int, size: int, *, big_endian: bool) -> Array:
    """Return the numbers after the check value.

    Args:
        data: The whole file.
        start: Offset of the check value [bytes].
        count: Number of values.
        size: Bytes per value.
        big_endian: Byte order of the version; some programs write the other one, which the check value shows.
    """
    order, other_order = (">", "<") if big_endian else ("<", ">")
    if len(data) - start < size * (count + 1):
        available = max(0, (len(data) - start) // size - 1)
        raise TraceError(f"the field has {available} numbers, but its header gives {count}; was the file cut off?")
    check = float(np.frombuffer(data, f"{order}f{size}", 1, start)[0])
    expected = _CHECK_VALUE[size]
    if check != expected and float(np.frombuffer(data, f"{other_order}f{size}", 1, start)[0]) == expected:
        order, check = other_order, expected
    if check != expected:
        raise TraceError(f"the check value of the binary data is {check:.9g}, expected {expected:.9g}; the file is damaged.")
    end = data[start + size * (count + 1) :][:40].lstrip()
    if not _END_OF_DATA.match(end):
        raise TraceError("the binary data do not end at the size that the header of the field gives; the file is damaged.")
    kind: npt.DTypeLike = f"{order}f{size}"
    return np.frombuffer(data, kind, count, start + size).astype(np.float64)


def _labels(header: dict[str, str], width: int, is_version_1: bool) -> tuple[list[str], list[str | None]]:
    """Return names and units of the components."""
    default = ["mx", "my", "mz"] if width == 3 else [f"value {k + 1}" for k in range(width)]
    if is_version_1:
        return default, [header.get("valueunit")] * width
    labels = re.findall(r"\{([^{}]*)\}|(\S+)", header.get("valuelabels", ""))
    names = [braced or word for braced, word in labels]
    units: list[str | None] = [
        ("" if unit == "1" else unit) for unit in re.sub(r"\{\}", "1", header.get("valueunits", "")).split()
    ]
    return names if len(names) == width else default, units if len(units) == width else [None] * width


register_reader("ovf", sniff, read, priority=110, read_series=read_series)
