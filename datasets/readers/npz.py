"""NumPy `.npz`: one-dimensional members are channels, scalars are parameters.

An optional member `units` holds a JSON object as text, such as '{"t": "ns", "V": "mV"}'. Pickled members are refused:
loading one can run any code.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TraceError
from .table import Array, Table

NAME = "npz"


def sniff(head: bytes) -> bool:
    """Whether the file is a ZIP archive whose first member is a NumPy array."""
    return (head.startswith(b"PK\x03\x04") and b".npy" in head[:300]) or head.startswith(b"PK\x05\x06")


def read(path: Path) -> Table:
    """The members of an .npz file as columns and parameters.

    Raises:
        TraceError: a damaged archive, or a member that is pickled, complex, text or of more than one dimension, or of
            another length than the rest.
    """
    members = _members(path)
    units = _units(members.pop("units", None))
    for name, array in members.items():
        if array.ndim > 1:
            raise TraceError(
                f"member {name!r} has shape {array.shape}; a channel has one dimension. Save its columns as members of "
                "their own, or one file per recording."
            )
    columns = {name: _real(name, array) for name, array in members.items() if array.ndim == 1}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise TraceError(f"the members have different lengths ({listed}); a trace needs one value of each per instant.")
    scalars = {name: array for name, array in members.items() if array.ndim == 0}
    parameters = {name: float(_real(name, array)) for name, array in scalars.items() if array.dtype.kind in "buif"}
    return Table(
        tuple(columns),
        tuple(columns.values()),
        tuple(units.get(name) for name in columns),
        parameters,
        {name: units[name] for name in parameters if name in units},
        {name: str(array) for name, array in scalars.items() if name not in parameters},
    )


def _members(path: Path) -> dict[str, Any]:
    """All members, each an array."""
    members = {}
    name = ""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for name in archive.files:
                members[name] = archive[name]
                if not isinstance(members[name], np.ndarray):
                    raise TraceError(f"member {name!r} is no NumPy array; an .npz file must hold only arrays.")
    except ValueError as error:
        if not name:
            raise TraceError("the file is no NumPy archive, or its first bytes are damaged; save it again.") from None
        if "allow_pickle" not in str(error):
            raise TraceError(f"member {name!r} is damaged ({error}); save the file again.") from None
        raise TraceError(
            f"member {name!r} is a pickled object array, which could run code when it is loaded; "
            "save it as plain numbers, for example with numpy.asarray(x, dtype=float)."
        ) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise TraceError(f"the archive is damaged or cut off ({error}); save the file again.") from None
    except MemoryError:
        raise TraceError(f"member {name!r} claims more values than memory holds; is the file damaged?") from None
    return members


def _units(member: Any) -> dict[str, str]:
    if member is None:
        return {}
    try:
        units = json.loads(str(member))
    except (ValueError, RecursionError):
        units = None
    if not isinstance(units, dict) or not all(isinstance(unit, str) for unit in units.values()):
        raise TraceError(
            "the member 'units' must hold one JSON object as text, for example "
            'numpy.savez(path, t=t, V=v, units=\'{"t": "ns", "V": "mV"}\').'
        )
    return units


def _real(name: str, array: Any) -> Array:
    kind = array.dtype.kind
    if kind == "c":
        raise TraceError(
            f"member {name!r} is complex, and a channel is one real signal; "
            f"save two of them, for example {name}_re and {name}_im."
        )
    if kind not in "buif":
        raise TraceError(f"member {name!r} is of type {array.dtype}; a channel must hold real numbers.")
    return np.asarray(array, dtype=np.float64)
