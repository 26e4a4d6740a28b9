"""netCDF, classic and version 4, by xarray (extra `xarray`): variables of one dimension are channels.

A file of version 4 is HDF5 and is read as such; see `parsing/xarray_dataset.py` for units and the time.
"""

from __future__ import annotations

from pathlib import Path

from ...typing import Progress
from ..parsing.libraries import import_library, translated_errors
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.table import Table
from ..parsing.xarray_dataset import table_from_dataset


def sniff(head: bytes) -> bool:
    """Return True for the signature of a classic file."""
    return head.startswith((b"CDF\x01", b"CDF\x02", b"CDF\x05"))


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the variables along a dimension.

    Raises:
        SeveralParts: variables along several dimensions, and no `part`.
        TraceError: xarray is not installed, the file is damaged, or it has no variables that can be channels.
    """
    xarray = import_library("xarray", "xarray", "a netCDF file")
    with translated_errors("netCDF file"), xarray.open_dataset(path, decode_times=False, decode_timedelta=False) as dataset:
        return table_from_dataset(dataset.load(), part)


register_reader("netcdf", sniff, read, priority=40)
