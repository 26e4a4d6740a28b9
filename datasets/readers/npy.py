"""A single NumPy array (.npy): a structured array names its columns; one of shape (rows, columns) has numbered ones.

Pickled arrays are refused: loading one can run any code.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import TraceError
from ...typing import Progress
from ..parsing.arrays import NamedArray, table_from_arrays
from ..parsing.libraries import translated_errors
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.table import Table


def sniff(head: bytes) -> bool:
    """Return True for the signature of NumPy."""
    return head.startswith(b"\x93NUMPY")


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the columns of the array.

    Raises:
        TraceError: the file is damaged or pickled, or the array has no columns of numbers; save named columns with
            numpy.savez(path, t=..., V=...).
    """
    with translated_errors("NumPy array"), path.open("rb") as file:
        array = np.load(file, allow_pickle=False)
        if array.dtype.names:
            array = array.reshape(-1)
            arrays = [NamedArray("", name, np.asarray(array[name])) for name in array.dtype.names]
        else:
            arrays = [NamedArray("", "column", array, None, _labels(array))]
    if not any(each.values.dtype.kind in "buifc" for each in arrays):
        raise TraceError(f"the array is of type {array.dtype}; save numbers, with numpy.savez(path, t=..., V=...).")
    return table_from_arrays(arrays, part, {"shape": list(array.shape)})


def _labels(array: np.ndarray) -> list[str]:
    """Return names of the columns, as those of text without a header."""
    return [f"column {index + 1}" for index in range(array.shape[1])] if array.ndim == 2 and array.shape[1] < 1000 else []


register_reader("npy", sniff, read, priority=12)
