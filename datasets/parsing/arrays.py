"""Named arrays, as archives and hierarchical files contain them, to a `Table`; shared by npz, HDF5, MATLAB and netCDF.

Arrays of one group and one length are a recording; scalars are its parameters; text is metadata. An array of shape (rows, k)
becomes k columns, and complex numbers become two.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import TraceError
from ...typing import Array
from .header import is_unit, is_unit_of, split_name
from .parts import Part, choose_part
from .scope_settings import sample_clock
from .table import Table, sample_times

_MAX_TEXT = 2000
_MAX_COLUMNS = 1000


@dataclass(frozen=True, eq=False)
class NamedArray:
    """One array of a file.

    Attributes:
        group: Path of the group that contains it, "" at the top.
        name: Name within the group.
        values: Values of any type; numbers and booleans become columns or parameters.
        unit: Unit text as the file has it, or None.
        labels: Names of the columns of a (rows, k) array, where the file has them.
    """

    group: str
    name: str
    values: npt.NDArray[Any]
    unit: str | None = None
    labels: Sequence[str] = ()


@dataclass
class _Recording:
    """Arrays of one group and one length."""

    arrays: list[NamedArray] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return len(self.arrays[0].values)

    def describe(self) -> str:
        names = ", ".join(each.name for each in self.arrays[:4]) + (", ..." if len(self.arrays) > 4 else "")
        return f"{self.rows} rows of {names}"


def table_from_arrays(
    arrays: Sequence[NamedArray], part: Part, metadata: Mapping[str, Any], *, time: str | None = None
) -> Table:
    """Return the recording among some arrays.

    Args:
        arrays: In the order of the file.
        part: Which recording, where there are several: group, or group and length.
        metadata: Everything else in the file.
        time: Name of the time column, if the format knows it and the recording has it.

    Raises:
        SeveralParts: several groups, or arrays of several lengths in one, and no `part`.
        TraceError: no array of numbers with one or two dimensions.
    """
    squeezed = [_squeeze(each) for each in arrays]
    columns = [each for each in squeezed if _is_column(each)]
    if not columns:
        shapes = ", ".join(f"{each.name!r} {each.values.shape} {each.values.dtype}" for each in arrays[:8]) or "none"
        raise TraceError(
            f"no array here can be the channels of a recording (its arrays: {shapes}); expected real numbers of shape "
            "(rows,) or (rows, columns). Save the channels as arrays of one length."
        )
    largest = max(squeezed, key=lambda each: each.values.size)
    if part is None and largest.values.ndim > 2 and largest.values.size > max(each.values.size for each in columns):
        where = f"{largest.group}/{largest.name}".lstrip("/")
        raise TraceError(
            f"the largest array, {where!r}, has shape {largest.values.shape}, and a channel has one dimension; save its "
            f"means or points as arrays (rows,). To read the others, pass part={next(iter(_recordings(columns)))!r}."
        )
    recordings = _recordings(columns)
    labelled = [name for name, each in recordings.items() if any(array.labels for array in each.arrays)]
    if part is None and len(labelled) == 1:
        part = labelled[0]  # the only one whose columns have names
    recording = choose_part(recordings, part, _Recording.describe)
    names, values, units = zip(*itertools.chain.from_iterable(map(_columns, recording.arrays)), strict=True)
    notes: tuple[str, ...] = ()
    group = recording.arrays[0].group
    own = [each for each in arrays if each.group in ("", group)]
    scalars = [each for each in own if each.values.size == 1 and each.values.dtype.kind in "buif" and each.name not in names]
    clock = None if time in names or any(map(_is_time, names, units)) else _clock(scalars)
    if clock is not None:
        first, step, unit = clock
        names, units = ("time", *names), (unit, *units)
        values = (sample_times(first, step, len(values[0])), *values)
        time = "time"
        notes = (f"the times are those of the sample interval in the file, {step:g} {unit}",)
    texts = {each.name: text for each in own if (text := _text(each.values)) is not None}
    other_groups = sorted({each.group or "/" for each in arrays} - {group or "/"})
    return Table(
        names,
        values,
        units,
        {each.name: float(each.values.reshape(())) for each in scalars},
        {each.name: each.unit for each in scalars if each.unit is not None},
        {
            **metadata,
            **texts,
            **({"group": group} if group else {}),
            **({"other_groups": other_groups[:20]} if other_groups else {}),
        },
        time=time if time in names else None,
        notes=notes,
    )


def _is_time(name: str, unit: str | None) -> bool:
    return name.casefold() in ("t", "time", "times", "timestamp") or is_unit_of(unit, "s")


def _clock(scalars: Sequence[NamedArray]) -> tuple[float, float, str] | None:
    """Return first time, sample interval and unit among the scalars of a file: Tinterval and Tstart, XInc and XOrg, fs, dt."""
    settings = {}
    for each in scalars:
        unit = f" {each.unit}" if each.unit and is_unit(each.unit) else ""
        settings[each.name] = f"{float(each.values.reshape(()))!r}{unit}"
    return sample_clock(settings)


def _squeeze(array: NamedArray) -> NamedArray:
    """Return a (1, n) array, as MATLAB writes a vector, as (n,), and one of more dimensions without those of length 1."""
    values = array.values
    if values.ndim > 2:
        values = values.reshape([size for size in values.shape if size != 1])
    if values.ndim == 2 and 1 in values.shape and values.size > 1:
        values = values.reshape(-1)
    return NamedArray(array.group, array.name, values, array.unit, array.labels)


def _is_column(array: NamedArray) -> bool:
    values = array.values
    return values.ndim in (1, 2) and len(values) > 1 and values.size > 0 and values.dtype.kind in "buifc"


def _recordings(columns: Sequence[NamedArray]) -> dict[str, _Recording]:
    """Return the recordings by group, or by group and length where the arrays of a group differ in length."""
    by_length: dict[str, dict[int, _Recording]] = {}
    for array in columns:
        by_length.setdefault(array.group, {}).setdefault(len(array.values), _Recording()).arrays.append(array)
    recordings = {}
    for group, found in by_length.items():
        for rows, each in found.items():
            name = group or "/"
            recordings[name if len(found) == 1 else f"{name} ({rows} rows)"] = each
    return recordings


def _columns(array: NamedArray) -> list[tuple[str, Array, str | None]]:
    values = array.values
    if values.ndim == 1:
        return _real_columns(array.name, values, array.unit)
    width = values.shape[1]
    if width > _MAX_COLUMNS:
        raise TraceError(
            f"{array.name!r} has shape {values.shape}; a recording does not have that many channels (at most {_MAX_COLUMNS}). "
            "Save those that matter."
        )
    labels = list(array.labels) if len(array.labels) == width else [f"{array.name}[{k}]" for k in range(width)]
    titles = (split_name(label) if array.labels else (label, None) for label in labels)
    found = (_real_columns(name, values[:, k], unit or array.unit) for k, (name, unit) in enumerate(titles))
    return [column for columns in found for column in columns]


def _real_columns(name: str, values: npt.NDArray[Any], unit: str | None) -> list[tuple[str, Array, str | None]]:
    if values.dtype.kind != "c":
        return [(name, np.asarray(values, dtype=np.float64), unit)]
    parts = (values.real, values.imag)
    return [(f"{name}.{kind}", np.asarray(x, dtype=np.float64), unit) for kind, x in zip(("re", "im"), parts, strict=True)]


def _text(values: npt.NDArray[Any]) -> str | None:
    if values.dtype.kind in "US" and values.size == 1:
        item = values.reshape(()).item()
        return (item.decode(errors="replace") if isinstance(item, bytes) else str(item))[:_MAX_TEXT]
    return None


def to_plain(value: Any) -> Any:
    """Return an attribute as a library gives it in types that JSON knows."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray):
        return [to_plain(each) for each in value.reshape(-1)[:100].tolist()]
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, str | int | float | bool) else str(value)
