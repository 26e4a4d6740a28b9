"""OOMMF vector fields, OVF 1.0 and 2.0, in text, binary 4 and binary 8: the mean over the magnetic cells, one row for a file.

Text is in UTF-8 or Latin-1; numbers of OVF 1.0 in binary are big-endian, those of 2.0 little-endian, behind a check value
(1234567.0 or 123456789012345.0). Cells whose vector is zero are no part of the magnet. A series of files is read by
`read_trace("m*.ovf")`: one recording over the time in `Desc: Total simulation time`.

Source: OOMMF user's guide, "Vector field file format (OVF)".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import TraceError
from ...typing import Array
from .grid import number
from .table import Part, Progress, Table

NAME = "ovf"

_HEAD = re.compile(rb"(?:\xef\xbb\xbf)?\s*#+ *OOMMF[ :]", re.IGNORECASE)
_DATA = re.compile(rb"^#+ *Begin: *Data +(Text|Binary 4|Binary 8)[ \t]*\r?\n", re.IGNORECASE | re.MULTILINE)
_TIME = re.compile(r"Total simulation time: *(?P<time>[-+.\deE]+) *s")
_CHECK = {4: 1234567.0, 8: 123456789012345.0}


@dataclass
class _Field:
    mean: Array
    labels: list[str]
    units: list[str]
    time: float | None
    cells: int
    empty: int
    head: dict[str, str] = field(default_factory=dict)


def sniff(head: bytes) -> bool:
    """Whether the first line is that of a vector field."""
    return bool(_HEAD.match(head))


def read(path: Path, part: Part = None, progress: Progress = None) -> Table:
    """One row of means.

    Raises:
        TraceError: a head without the size of the mesh, a check value that is wrong, or too few numbers.
    """
    return _table([_read(path)])


def read_series(paths: Sequence[Path], progress: Progress = None) -> Table:
    """One row for each file, in the order of their times.

    Raises:
        TraceError: as `read`, or fields with other components; with the name of the file.
    """
    fields = []
    for place, path in enumerate(paths, start=1):
        try:
            fields.append(_read(path))
        except TraceError as error:
            raise TraceError(f"{path.name}: {error}") from None
        if fields[-1].labels != fields[0].labels:
            raise TraceError(f"{path.name} has components {fields[-1].labels}, and {paths[0].name} {fields[0].labels}.")
        if progress:
            progress(f"reading {place} of {len(paths)} files")
    if all(each.time is not None for each in fields):
        fields.sort(key=lambda each: each.time or 0.0)
    return _table(fields)


def _table(fields: Sequence[_Field]) -> Table:
    means = np.stack([each.mean for each in fields], -1)
    first = fields[0]
    metadata: dict[str, Any] = {"header": first.head, "cells": first.cells, "empty_cells": first.empty, "files": len(fields)}
    times = [each.time for each in fields]
    if any(time is None for time in times):
        return Table(tuple(first.labels), tuple(means), tuple(first.units), metadata=metadata)
    return Table(
        ("t", *first.labels), (np.array(times, dtype=np.float64), *means), ("s", *first.units), metadata=metadata, time="t"
    )


def _read(path: Path) -> _Field:
    data = path.read_bytes()
    found = _DATA.search(data)
    if found is None:
        raise TraceError("the field has no line '# Begin: Data Text' (or Binary 4, Binary 8); was the file cut off?")
    lines = data[: found.start()].decode("utf-8", errors="replace").splitlines()
    if sum(line.lstrip("# ").casefold().startswith("begin: segment") for line in lines) > 1:
        raise TraceError("the file has several segments; write one field to a file.")
    head, times = _head(lines)
    first = "rectangular mesh v1" in lines[0] or "1.0" in lines[0]
    width = 3 if first else _count(head, "valuedim")
    if head.get("meshtype", "rectangular").casefold() == "irregular":
        rows = _count(head, "pointcount")
        width, skipped = width + 3, 3
    else:
        rows, skipped = _count(head, "xnodes") * _count(head, "ynodes") * _count(head, "znodes"), 0
    kind = found[1].decode().casefold()
    values = (
        _text(data[found.end() :], rows * width) if kind == "text" else _binary(data, found.end(), rows * width, kind, first)
    )
    vectors = values.reshape(rows, width)[:, skipped:] * (_multiplier(head) if first else 1.0)
    inside = (vectors != 0).any(1)
    if not np.isfinite(vectors).all():
        raise TraceError("the field holds NaN or infinite values; the simulation went wrong, or the file is damaged.")
    mean = vectors[inside].mean(0) if inside.any() else np.zeros(vectors.shape[1])
    labels, units = _labels(head, vectors.shape[1], first)
    return _Field(mean, labels, units, times, rows, int((~inside).sum()), head)


def _head(lines: Sequence[str]) -> tuple[dict[str, str], float | None]:
    head, time = {}, None
    for line in lines:
        text = line.lstrip("#").strip()
        found = _TIME.search(text)
        if found:
            value = number(found["time"])
            time = value if value is not None and value >= 0 else None  # a minimisation writes -1 or -2
        key, mark, value_text = text.partition(":")
        if mark and key.casefold() not in ("begin", "end", "desc"):
            head[key.strip().casefold()] = value_text.strip()
    return head, time


def _count(head: dict[str, str], key: str) -> int:
    text = head.get(key, "")
    if not text.isdigit() or not 0 < int(text) < 10**9:
        raise TraceError(f"the head of the field has {key} {text!r}; expected a positive whole number.")
    return int(text)


def _multiplier(head: dict[str, str]) -> float:
    value = number(head.get("valuemultiplier", "1"))
    if value is None or not abs(value) < float("inf"):
        raise TraceError(f"the head of the field has valuemultiplier {head['valuemultiplier']!r}; expected a number.")
    return value


def _text(data: bytes, count: int) -> Array:
    body = re.split(rb"^#+ *End: *Data", data, maxsplit=1, flags=re.IGNORECASE | re.MULTILINE)[0]
    kept = b"\n".join(line for line in body.splitlines() if not line.lstrip().startswith(b"#"))
    words = kept.split()
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise TraceError(f"the field holds what is no number: {error}.") from None
    if len(values) != count:
        raise TraceError(f"the field has {len(values)} numbers, and its head promises {count}; was the file cut off?")
    return values


def _binary(data: bytes, start: int, count: int, kind: str, first: bool) -> Array:
    size = int(kind[-1])
    order = ">" if first else "<"
    kinds: npt.DTypeLike = f"{order}f{size}"
    if len(data) - start < size * (count + 1):
        have = max(0, (len(data) - start) // size - 1)
        raise TraceError(f"the field has {have} numbers, and its head promises {count}; was the file cut off?")
    check = float(np.frombuffer(data, kinds, 1, start)[0])
    if check != _CHECK[size] and float(np.frombuffer(data, kinds, 1, start).byteswap()[0]) == _CHECK[size]:
        kinds, check = f"{'<' if first else '>'}f{size}", _CHECK[size]  # some programs write the other order
    if check != _CHECK[size]:
        raise TraceError(
            f"the check value of the binary data is {check:.9g}, expected {_CHECK[size]:.9g}; the file is damaged."
        )
    end = data[start + size * (count + 1) :][:40].lstrip()
    if not re.match(rb"#+ *End: *Data", end, re.IGNORECASE):
        raise TraceError("the binary data do not end where the head of the field says; the file is damaged.")
    return np.frombuffer(data, kinds, count, start + size).astype(np.float64)


def _labels(head: dict[str, str], width: int, first: bool) -> tuple[list[str], list[str]]:
    plain = ["mx", "my", "mz"] if width == 3 else [f"value {k + 1}" for k in range(width)]
    if first:
        return plain, [head.get("valueunit", "")] * width
    labels = re.findall(r"\{([^{}]*)\}|(\S+)", head.get("valuelabels", ""))
    names = [braced or word for braced, word in labels]
    units = [("" if unit == "1" else unit) for unit in re.sub(r"\{\}", "1", head.get("valueunits", "")).split()]
    return names if len(names) == width else plain, units if len(units) == width else [""] * width
