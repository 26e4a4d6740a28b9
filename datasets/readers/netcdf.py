"""netCDF, classic and version 4, and datasets of xarray, by xarray (extra `xarray`): variables of one dimension are channels.

Units stand in the attribute `units`; of "seconds since 2026-01-01" the first word counts. A coordinate in a unit of time is the
time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TraceError
from .arrays import Member, plain, to_table
from .header import is_unit
from .optional import library, refusing
from .own import own_table
from .table import Part, Progress, Table

NAME = "netcdf"


def sniff(head: bytes) -> bool:
    """Whether the file begins as a classic one; version 4 is HDF5, and told apart by its content."""
    return head.startswith((b"CDF\x01", b"CDF\x02", b"CDF\x05"))


def read(path: Path, part: Part = None, progress: Progress = None) -> Table:
    """The variables along a dimension.

    Raises:
        SeveralParts: variables along several dimensions, and no `part`.
        TraceError: xarray is not installed, the file is damaged, or it has no variables that can be channels.
    """
    xarray = library("xarray", "xarray", "a netCDF file")
    with refusing("netCDF file"), xarray.open_dataset(path, decode_times=False, decode_timedelta=False) as dataset:
        return of(dataset.load(), part)


def of(dataset: Any, part: Part = None) -> Table:
    """The table of a Dataset, or of a DataArray."""
    if not hasattr(dataset, "data_vars"):
        dataset = dataset.to_dataset(name=dataset.name or "value")
    dims = [name for name, size in dataset.sizes.items() if size > 1]
    members: list[Member] = []
    clocks = []
    for name, variable in dataset.variables.items():
        values, unit = np.asarray(variable.values), variable.attrs.get("units")
        unit = None if unit is None else str(unit).partition(" since ")[0]
        if values.dtype.kind in "mM":
            values, unit = (values - values.reshape(-1)[0]) / np.timedelta64(1, "ns") / 1e9, "s"
        if name in dims and (unit is None or (is_unit(unit) and _seconds(unit)) or str(name).casefold() in ("t", "time")):
            clocks.append(str(name))
        long = [dim for dim in variable.dims if dataset.sizes[dim] > 1]
        members.append(Member(str(long[0]) if len(long) == 1 and len(dims) > 1 else "", str(name), values, unit))
    head = {str(key): plain(value) for key, value in dataset.attrs.items()}
    if not members:
        raise TraceError("the dataset has no variables.")
    found = own_table(members, head)
    if found:
        return found
    return to_table(members, part, {"header": head}, time=clocks[0] if len(clocks) == 1 else None)


def _seconds(unit: str) -> bool:
    from ...units import same_dimension

    return same_dimension(unit, "s")
