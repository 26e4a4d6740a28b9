"""What `write_trace` leaves in .npz, HDF5 and netCDF files besides the arrays: units, roles, interpolation, parameters,
provenance.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import TraceError
from .arrays import Member
from .table import Table

#: Name of the attribute, or of the member.
KEY = "spinode_trace"


def own_table(members: Sequence[Member], head: Mapping[str, Any]) -> Table | None:
    """The table of a file that `write_trace` made; None of another.

    Raises:
        TraceError: what it left contradicts the arrays.
    """
    text = head.get(KEY)
    if text is None:
        text = next((str(each.values) for each in members if each.name == KEY and each.values.dtype.kind in "US"), None)
    if text is None:
        return None
    arrays = {each.name: each.values for each in members}
    try:
        about = json.loads(str(text))
        channels = {str(name): arrays[f"c{place}"] for place, name in enumerate(about["channels"])}
        names = ("time", *channels)
        columns = tuple(np.asarray(values, dtype=np.float64) for values in (arrays["time"], *channels.values()))
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
            f"what write_trace left in this file contradicts its arrays ({type(error).__name__}: {error})."
        ) from None
