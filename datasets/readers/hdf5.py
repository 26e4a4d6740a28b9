"""HDF5, by h5py (extra `hdf5`): the arrays of one group and one length are a recording.

Units stand in an attribute `unit` or `units`, names of the columns of a (rows, columns) array in `column_names`. Files that
`write_trace` made have their roles in attributes as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .arrays import Member, plain, to_table
from .optional import library, refusing
from .own import own_table
from .probe import probe
from .table import Part, Progress, Table

NAME = "hdf5"

_LARGEST = 500_000_000  # values
_UNITS = ("unit", "units", "Unit", "Units")


def sniff(head: bytes) -> bool:
    """Whether the file begins as one."""
    return head.startswith(b"\x89HDF\r\n\x1a\n")


def read(path: Path, part: Part = None, progress: Progress = None) -> Table:
    """The arrays of a group.

    Raises:
        SeveralParts: several groups, or arrays of several lengths, and no `part`.
        TraceError: h5py is not installed, the file is damaged, or it has no arrays that can be channels.
    """
    h5py = library("h5py", "hdf5", "an HDF5 file")
    probe(path)
    members: list[Member] = []
    with refusing("HDF5 file"), h5py.File(path, "r") as file:

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                members.extend(_members(name, item))

        file.visititems(visit)
        head = {str(key): plain(value) for key, value in file.attrs.items()}
    return own_table(members, head) or to_table(members, part, {"header": head})


def _members(name: str, item: Any) -> list[Member]:
    group, _, own = name.rpartition("/")
    if item.dtype.names:
        return [Member(group or own, field, item[field][...]) for field in item.dtype.names if item.ndim == 1]
    if item.dtype.kind == "O" and item.ndim == 0:
        return [Member(group, own, np.array(plain(item[()])))]
    if item.dtype.kind not in "buifcSU" or item.size > _LARGEST or item.size == 0:
        return []
    unit = next((str(plain(item.attrs[key])) for key in _UNITS if key in item.attrs), None)
    labels = [plain(label) for label in np.atleast_1d(item.attrs["column_names"])] if "column_names" in item.attrs else []
    return [Member(group, own, item[...], unit, [str(label) for label in labels])]
