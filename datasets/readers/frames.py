"""Data that are in memory already: frames of pandas, datasets of xarray, dictionaries of arrays.

A frame's units stand in brackets in the names of its columns, in a second level of the names, or in `frame.attrs["units"]`. An
index that is not the plain number of the row becomes a column. Times of day become seconds since the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import TraceError
from . import netcdf
from .arrays import Member, to_table
from .header import bare_unit, split_name
from .table import Part, Table

NAME = "memory"


def is_frame(source: Any) -> bool:
    """Whether the object is one that `of` takes."""
    return (
        hasattr(source, "to_xarray")
        or hasattr(source, "to_dataset")
        or hasattr(source, "data_vars")
        or isinstance(source, Mapping)
    )


def of(source: Any, part: Part = None) -> Table:
    """The table of such an object.

    Raises:
        TraceError: nothing in it can be a channel.
    """
    if hasattr(source, "data_vars") or hasattr(source, "to_dataset"):
        return netcdf.of(source, part)
    if isinstance(source, Mapping):
        members = [Member("", *_titled(str(name), np.asarray(values))) for name, values in source.items()]
        return to_table(members, part, {})
    frame = source.to_frame() if not hasattr(source, "columns") else source
    named = frame.attrs.get("units", {}) if isinstance(frame.attrs.get("units", {}), Mapping) else {}
    columns = [] if _is_plain(frame.index) else [(frame.index.name or "index", frame.index.to_numpy())]
    columns += [(name, frame.iloc[:, place].to_numpy()) for place, name in enumerate(frame.columns)]
    members, clock = [], None
    for name, values in columns:
        if isinstance(name, tuple):
            title, unit = str(name[0]), bare_unit(str(name[1])) if len(name) > 1 else None
        else:
            title, unit = split_name(str(name))
        unit = str(named[name]) if name in named else unit
        if values.dtype.kind in "mM":
            values, unit, clock = (values - values[0]) / np.timedelta64(1, "ns") / 1e9, "s", clock or title
        if values.dtype.kind in "buif":
            members.append(Member("", title, np.asarray(values), unit))
    if not members:
        raise TraceError(f"the frame has no column of numbers (its columns: {', '.join(map(str, frame.columns))}).")
    return to_table(members, part, {}, time=clock)


def _titled(name: str, values: Any) -> tuple[str, Any, str | None]:
    title, unit = split_name(name)
    return title, values, unit


def _is_plain(index: Any) -> bool:
    return type(index).__name__ == "RangeIndex" or not hasattr(index, "dtype") or index.dtype.kind not in "iufmM"
