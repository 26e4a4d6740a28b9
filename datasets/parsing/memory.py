"""Data that are in memory already: frames of pandas, datasets of xarray, dictionaries of arrays.

The units of a frame are in brackets in the names of its columns, in a second level of the names, or in `frame.attrs["units"]`.
An index that is not the plain row number becomes a column. Dates become seconds since the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import TraceError
from .arrays import NamedArray, table_from_arrays
from .header import bare_unit, split_name
from .parts import Part
from .table import Table
from .xarray_dataset import table_from_dataset

#: Name of this source in the provenance, where files have the name of their reader.
NAME = "memory"


def is_data_in_memory(source: Any) -> bool:
    """Return True if `table_from_memory` accepts the object."""
    attributes = ("to_xarray", "to_dataset", "data_vars")
    return any(hasattr(source, name) for name in attributes) or isinstance(source, Mapping)


def table_from_memory(source: Any, part: Part = None) -> Table:
    """Return the table of a frame, a dataset or a dictionary.

    Raises:
        SeveralParts: arrays of several lengths, and no `part`.
        TraceError: nothing in it can be a channel.
    """
    if hasattr(source, "data_vars") or hasattr(source, "to_dataset"):
        return table_from_dataset(source, part)
    if isinstance(source, Mapping):
        arrays = []
        for name, values in source.items():
            title, unit = split_name(str(name))
            arrays.append(NamedArray("", title, np.asarray(values), unit))
        return table_from_arrays(arrays, part, {})
    frame = source.to_frame() if not hasattr(source, "columns") else source
    given_units = frame.attrs.get("units", {}) if isinstance(frame.attrs.get("units", {}), Mapping) else {}
    columns = [] if _is_row_number(frame.index) else [(frame.index.name or "index", frame.index.to_numpy())]
    columns += [(name, frame.iloc[:, index].to_numpy()) for index, name in enumerate(frame.columns)]
    arrays, time = [], None
    for name, values in columns:
        if isinstance(name, tuple):
            title, unit = str(name[0]), bare_unit(str(name[1])) if len(name) > 1 else None
        else:
            title, unit = split_name(str(name))
        unit = str(given_units[name]) if name in given_units else unit
        if values.dtype.kind in "mM":
            values, unit, time = (values - values[0]) / np.timedelta64(1, "ns") / 1e9, "s", time or title
        if values.dtype.kind in "buif":
            arrays.append(NamedArray("", title, np.asarray(values), unit))
    if not arrays:
        raise TraceError(f"the frame has no column of numbers (its columns: {', '.join(map(str, frame.columns))}).")
    return table_from_arrays(arrays, part, {}, time=time)


def _is_row_number(index: Any) -> bool:
    return type(index).__name__ == "RangeIndex" or not hasattr(index, "dtype") or index.dtype.kind not in "iufmM"
