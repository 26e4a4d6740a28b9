"""Datasets of xarray to a `Table`: variables of one dimension are channels.

Units are in the attribute `units`; of "seconds since 2026-01-01" the first word counts. A coordinate in a unit of time is the
time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import TraceError
from .arrays import NamedArray, table_from_arrays, to_plain
from .header import is_unit_of
from .parts import Part
from .table import Table
from .written_trace import table_of_written_trace


def table_from_dataset(dataset: Any, part: Part = None) -> Table:
    """Return the table of a Dataset, or of a DataArray.

    Raises:
        SeveralParts: variables along several dimensions, and no `part`.
        TraceError: no variable can be a channel.
    """
    if not hasattr(dataset, "data_vars"):
        dataset = dataset.to_dataset(name=dataset.name or "value")
    dimensions = [name for name, size in dataset.sizes.items() if size > 1]
    arrays: list[NamedArray] = []
    times = []
    for name, variable in dataset.variables.items():
        values, unit = np.asarray(variable.values), variable.attrs.get("units")
        unit = None if unit is None else str(unit).partition(" since ")[0]
        if values.dtype.kind in "mM":
            values, unit = (values - values.reshape(-1)[0]) / np.timedelta64(1, "ns") / 1e9, "s"
        if name in dimensions and (unit is None or is_unit_of(unit, "s") or str(name).casefold() in ("t", "time")):
            times.append(str(name))
        own = [dimension for dimension in variable.dims if dataset.sizes[dimension] > 1]
        group = str(own[0]) if len(own) == 1 and len(dimensions) > 1 else ""
        arrays.append(NamedArray(group, str(name), values, unit))
    attributes = {str(key): to_plain(value) for key, value in dataset.attrs.items()}
    if not arrays:
        raise TraceError("the dataset has no variables.")
    written = table_of_written_trace(arrays, attributes)
    if written:
        return written
    return table_from_arrays(arrays, part, {"header": attributes}, time=times[0] if len(times) == 1 else None)
