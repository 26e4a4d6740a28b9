"""HDF5, by h5py (extra `hdf5`): the arrays of one group and one length are a recording.

Units are in an attribute `unit` or `units`, names of the columns of a (rows, columns) array in `column_names`. Files written by
`write_trace` have their roles in attributes as well. Attributes XInc and XOrg, as Keysight writes them, are the clock of a
dataset, and YInc, YOrg the scale of its whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...typing import Progress
from ..parsing.arrays import NamedArray, table_from_arrays, to_plain
from ..parsing.libraries import import_library, translated_errors
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.table import Table
from ..parsing.trial_process import try_file
from ..parsing.written_trace import table_of_written_trace

_MAX_VALUES = 500_000_000
_UNIT_ATTRIBUTES = ("unit", "units", "Unit", "Units")


def sniff(head: bytes) -> bool:
    """Return True for the signature of HDF5."""
    return head.startswith(b"\x89HDF\r\n\x1a\n")


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the arrays of a group.

    Raises:
        SeveralParts: several groups, or arrays of several lengths, and no `part`.
        TraceError: h5py is not installed, the file is damaged, or it has no arrays that can be channels.
    """
    h5py = import_library("h5py", "hdf5", "an HDF5 file")
    try_file(path, "hdf5")
    arrays: list[NamedArray] = []
    with translated_errors("HDF5 file"), h5py.File(path, "r") as file:

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                arrays.extend(_arrays(name, item))

        file.visititems(visit)
        attributes = {str(key): to_plain(value) for key, value in file.attrs.items()}
    written = table_of_written_trace(arrays, attributes)
    return written or table_from_arrays(_join_waveforms(arrays), part, {"header": attributes})


def _arrays(path: str, dataset: Any) -> list[NamedArray]:
    group, _, name = path.rpartition("/")
    fields = dataset.dtype.names
    if fields:
        return [NamedArray(group or name, field, dataset[field][...]) for field in fields if dataset.ndim == 1]
    if dataset.dtype.kind == "O" and dataset.ndim == 0:
        return [NamedArray(group, name, np.array(to_plain(dataset[()])))]
    if dataset.dtype.kind not in "buifcSU" or dataset.size > _MAX_VALUES or dataset.size == 0:
        return []
    attributes = dataset.attrs
    unit = next((_single_text(attributes[key]) for key in _UNIT_ATTRIBUTES if key in attributes), None)
    names = np.atleast_1d(attributes["column_names"]).tolist() if "column_names" in attributes else []
    own = {**dict(dataset.parent.attrs), **dict(attributes)}
    if "XInc" in own and dataset.ndim == 1:
        return _waveform(group, name, dataset, own)
    return [NamedArray(group, name, dataset[...], unit, [str(to_plain(each)) for each in names])]


def _single_text(value: Any) -> str:
    """Return a text, also of an array that contains one."""
    plain = to_plain(value)
    return str(plain[0]) if isinstance(plain, list) and len(plain) == 1 else str(plain)


def _waveform(group: str, name: str, dataset: Any, attributes: Mapping[str, Any]) -> list[NamedArray]:
    """Return a waveform of Keysight with its clock; waveforms of one clock and length are one recording."""
    values = dataset[...]
    number = {key: np.float64(attributes[key]) for key in ("XInc", "XOrg", "YInc", "YOrg") if key in attributes}
    if values.dtype.kind in "iu" and "YInc" in number:
        values = values * number["YInc"] + number.get("YOrg", 0.0)
    unit = _single_text(attributes["YUnits"]) if "YUnits" in attributes else None
    clock = [NamedArray(group, key, np.asarray(number[key])) for key in ("XInc", "XOrg") if key in number]
    return [NamedArray(group, name, np.asarray(values), unit), *clock]


def _join_waveforms(arrays: list[NamedArray]) -> list[NamedArray]:
    """Return the waveforms of several groups in one, if their clocks are equal."""
    clocks: dict[str, list[tuple[str, float]]] = {}
    for each in arrays:
        if each.name in ("XInc", "XOrg") and each.values.ndim == 0:
            clocks.setdefault(each.group, []).append((each.name, float(each.values)))
    if len(clocks) < 2 or any(clock != next(iter(clocks.values())) for clock in clocks.values()):
        return arrays
    parent, first = next(iter(clocks)).rpartition("/")[0], next(iter(clocks))
    kept = [each for each in arrays if each.values.ndim or each.group not in clocks or each.group == first]
    return [replace(each, group=parent) if each.group in clocks else each for each in kept]


register_reader("hdf5", sniff, read, priority=20)
