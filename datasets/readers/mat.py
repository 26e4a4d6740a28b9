"""MATLAB .mat: up to version 7 by SciPy, version 7.3 by pymatreader (extra `hdf5`). Structs are groups, objects are left out.

The arrays of one struct and one length are a recording.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...typing import Progress
from ..parsing.arrays import NamedArray, table_from_arrays
from ..parsing.libraries import import_library, translated_errors
from ..parsing.mat_check import check_mat
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.table import Table
from ..parsing.trial_process import try_file

_MAX_DEPTH = 20


def sniff(head: bytes) -> bool:
    """Return True for a file of version 5 or later, or one that begins with a matrix of version 4."""
    return head.startswith((b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file", b"MATLAB 7.0 MAT-file")) or _is_version_4(head)


def _is_version_4(head: bytes) -> bool:
    """Return True for a plausible header of version 4: number type, rows, columns, complex flag, name length, name."""
    if len(head) < 24:
        return False
    kind, rows, columns, imaginary, length = struct.unpack("<5i", head[:20])
    sizes = 0 < rows < 10**9 and 0 < columns < 10**9 and imaginary in (0, 1) and 1 < length <= 64
    return kind in (0, 10, 20, 30, 40, 50) and sizes and head[20 : 20 + length].rstrip(b"\0").isalnum()


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the arrays of a struct, or of the top level.

    Raises:
        SeveralParts: several structs, or arrays of several lengths, and no `part`.
        TraceError: the library is not installed, the file is damaged, or it has no arrays that can be channels.
    """
    with path.open("rb") as file:
        head = file.read(116)
    if head.startswith(b"MATLAB 7.3"):
        pymatreader = import_library("pymatreader", "hdf5", "a MATLAB 7.3 file")
        try_file(path, "hdf5")
        with translated_errors("MATLAB file"):
            content = pymatreader.read_mat(str(path))
    else:
        if not _is_version_4(head):
            with translated_errors("MATLAB file"):
                check_mat(path.read_bytes())  # SciPy's compiled reader crashes the process on an invalid type
        with translated_errors("MATLAB file"):
            import scipy.io  # half a second, which no other format needs

            content = scipy.io.loadmat(path, simplify_cells=True)
    metadata = {"header": "" if _is_version_4(head) else head.split(b"\0")[0].decode("latin-1").strip()}
    with translated_errors("MATLAB file"):
        arrays = [each for each in _arrays(content, "", 0) if not each.name.startswith("__")]
    return table_from_arrays(arrays, part, metadata)


def _arrays(content: Mapping[Any, Any], group: str, depth: int) -> Iterator[NamedArray]:
    for name, value in content.items():
        path = f"{group}.{name}" if group else str(name)
        if isinstance(value, Mapping):
            if depth < _MAX_DEPTH:
                yield from _arrays(value, path, depth + 1)
        elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            # An array of structs: a field of numbers becomes an array.
            for key in value[0]:
                field = [each.get(key) for each in value]
                if all(isinstance(each, int | float | np.number) for each in field):
                    yield NamedArray(path, str(key), np.array(field, dtype=np.float64))
        elif isinstance(value, int | float | complex | bool | np.number | str | np.ndarray | list):
            try:
                array = np.asarray(value)
            except ValueError:  # a list of arrays of several lengths
                continue
            if array.dtype.kind in "buifcU":
                yield NamedArray(group, str(name), array)


register_reader("mat", sniff, read, priority=30)
