"""Parquet and Feather (Arrow IPC) files, by polars (extra `tables`): columns of numbers, units in brackets in their names."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TraceError
from ...typing import Progress
from ..parsing.arrays import NamedArray, table_from_arrays
from ..parsing.header import split_name
from ..parsing.libraries import import_library, translated_errors
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.table import Table
from ..parsing.trial_process import try_file

_SIGNATURE = re.compile(rb"PAR1[\x00-\x08\x0e-\x1f]|ARROW1\x00")


def sniff(head: bytes) -> bool:
    """Return True for the signature of Parquet or of Arrow."""
    return bool(_SIGNATURE.match(head))


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the columns of numbers and of times; the others are left out.

    Raises:
        TraceError: polars is not installed, the file is damaged, or it has no columns of numbers.
    """
    polars = import_library("polars", "tables", "a Parquet or Feather file")
    with translated_errors("Parquet or Feather file"):
        data = path.read_bytes()
        if len(data) < 12 or not data.endswith((b"PAR1", b"ARROW1")):
            raise TraceError("the Parquet or Feather file does not end as it should; was it cut off?")
        try_file(path, "parquet" if data.startswith(b"PAR1") else "feather")
        load = polars.read_parquet if data.startswith(b"PAR1") else polars.read_ipc
        frame = load(io.BytesIO(data))
        arrays, left_out, time = [], {}, None
        for name in frame.columns:
            values, is_time = _numbers(frame[name])
            title, unit = split_name(name)
            if values is None:
                left_out[name] = f"it is of type {frame[name].dtype}"
                continue
            time = time or (title if is_time else None)
            arrays.append(NamedArray("", title, values, "s" if is_time else unit))
    if not arrays:
        raise TraceError(f"the file has no column of numbers (its columns: {', '.join(frame.columns)}).")
    table = table_from_arrays(arrays, part, {}, time=time)
    return replace(table, left_out=left_out)


def _numbers(column: Any) -> tuple[np.ndarray | None, bool]:
    """Return the values of a column, and True for dates, which become seconds since the first; None for other types."""
    kind = column.dtype
    if kind.is_temporal():
        values = column.to_numpy()
        return np.asarray((values - values[0]) / np.timedelta64(1, "ns"), dtype=np.float64) / 1e9, True
    if kind.is_numeric() or str(kind) == "Boolean":
        return np.asarray(column.cast(_float64()).to_numpy(), dtype=np.float64), False
    return None, False


def _float64() -> Any:
    return import_library("polars", "tables", "a Parquet or Feather file").Float64


register_reader("parquet", sniff, read, priority=46)
