"""The metadata that `write_trace` adds to the arrays of an .npz, HDF5 or netCDF file: units, roles, parameters, provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import TraceError
from .arrays import NamedArray
from .table import Table

#: Name of the attribute, or of the array, with the metadata as JSON.
KEY = "spinode_trace"


def table_of_written_trace(arrays: Sequence[NamedArray], attributes: Mapping[str, Any]) -> Table | None:
    """Return the table of a file written by `write_trace`; None for any other file.

    Raises:
        TraceError: the metadata contradict the arrays.
    """
    text = attributes.get(KEY)
    if text is None:
        text = next((str(each.values) for each in arrays if each.name == KEY and each.values.dtype.kind in "US"), None)
    if text is None:
        return None
    values_of = {each.name: each.values for each in arrays}
    try:
        about = json.loads(str(text))
        channels = {str(name): values_of[f"c{index}"] for index, name in enumerate(about["channels"])}
        names = ("time", *channels)
        columns = tuple(np.asarray(values, dtype=np.float64) for values in (values_of["time"], *channels.values()))
        if any(column.shape != columns[0].shape or column.ndim != 1 for column in columns):
            raise ValueError("channels of several lengths")
        return Table(
            names,
            columns,
            tuple(str(about["units"].get(name, "")) for name in names),
            {str(name): float(value) for name, value in about["parameters"].items()},
            {str(name): str(about["units"][name]) for name in about["parameters"] if name in about["units"]},
            {"provenance": about["provenance"]},
            time="time",
            roles={str(name): str(role) for name, role in about["channels"].items()},
            interpolation={str(name): str(kind) for name, kind in about["interpolation"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TraceError(
            f"the metadata of write_trace in this file contradict its arrays ({type(error).__name__}: {error}); write it again."
        ) from None
