"""MATLAB .mat: up to version 7 by SciPy, version 7.3 by pymatreader (extra `hdf5`). Structs are groups, objects are left out.

The arrays of one struct and one length are a recording.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from .arrays import Member, to_table
from .mat_check import check
from .optional import library, refusing
from .probe import probe
from .table import Part, Progress, Table

NAME = "mat"

_DEEPEST = 20


def sniff(head: bytes) -> bool:
    """Whether the file begins as one of version 5 or later, or with a matrix of version 4."""
    return head.startswith((b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file", b"MATLAB 7.0 MAT-file")) or _is_version_4(head)


def _is_version_4(head: bytes) -> bool:
    """Kind of number, rows, columns, whether complex, length of the name, and the name with its end."""
    if len(head) < 24:
        return False
    kind, rows, columns, imaginary, length = struct.unpack("<5i", head[:20])
    sizes = 0 < rows < 10**9 and 0 < columns < 10**9 and imaginary in (0, 1) and 1 < length <= 64
    return kind in (0, 10, 20, 30, 40, 50) and sizes and head[20 : 20 + length].rstrip(b"\0").isalnum()


def read(path: Path, part: Part = None, progress: Progress = None) -> Table:
    """The arrays of a struct, or of the top.

    Raises:
        SeveralParts: several structs, or arrays of several lengths, and no `part`.
        TraceError: the library is not installed, the file is damaged, or it has no arrays that can be channels.
    """
    with path.open("rb") as file:
        head = file.read(116)
    if head.startswith(b"MATLAB 7.3"):
        reader = library("pymatreader", "hdf5", "a MATLAB 7.3 file")
        probe(path)
        with refusing("MATLAB file"):
            content = reader.read_mat(str(path))
    else:
        if not _is_version_4(head):
            with refusing("MATLAB file"):
                check(path.read_bytes())  # SciPy's compiled reader ends the process where a type is none
        with refusing("MATLAB file"):
            content = scipy.io.loadmat(path, simplify_cells=True)
    about = {"header": "" if _is_version_4(head) else head.split(b"\0")[0].decode("latin-1").strip()}
    with refusing("MATLAB file"):
        members = [each for each in _members(content, "", 0) if not each.name.startswith("__")]
    return to_table(members, part, about)


def _members(content: Mapping[Any, Any], group: str, depth: int) -> Iterator[Member]:
    for name, value in content.items():
        path = f"{group}.{name}" if group else str(name)
        if isinstance(value, Mapping):
            if depth < _DEEPEST:
                yield from _members(value, path, depth + 1)
        elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            # An array of structs: a field of numbers becomes an array.
            for key in value[0]:
                found = [each.get(key) for each in value]
                if all(isinstance(each, int | float | np.number) for each in found):
                    yield Member(path, str(key), np.array(found, dtype=np.float64))
        elif isinstance(value, int | float | complex | bool | np.number | str | np.ndarray | list):
            try:
                array = np.asarray(value)
            except ValueError:  # a list of arrays of several lengths
                continue
            if array.dtype.kind in "buifcU":
                yield Member(group, str(name), array)
