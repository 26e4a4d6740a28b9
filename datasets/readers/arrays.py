"""Named arrays, as archives and hierarchical files hold them, to a `Table`: the shape that npz, HDF5, MATLAB and netCDF share.

Arrays of one group and one length are a recording; scalars are its parameters; text is metadata. A column of several, (rows,
k), becomes k columns, and complex numbers become two.
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
from .header import split_name
from .table import Part, Table, chosen

_TEXT = 2000
_WIDEST = 1000


@dataclass(frozen=True, eq=False)
class Member:
    """One array of a file.

    Attributes:
        group: Path of the group that holds it, "" at the top.
        name: Within the group.
        values: Of any type; numbers and truth values become columns or parameters.
        unit: As the file has it, or None.
        labels: Names of the columns of a (rows, k) array, where the file has them.
    """

    group: str
    name: str
    values: npt.NDArray[Any]
    unit: str | None = None
    labels: Sequence[str] = ()


@dataclass
class _Columns:
    """Arrays of one group and one length."""

    members: list[Member] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return len(self.members[0].values)

    def described(self) -> str:
        names = ", ".join(member.name for member in self.members[:4]) + (", ..." if len(self.members) > 4 else "")
        return f"{self.rows} rows of {names}"


def to_table(members: Sequence[Member], part: Part, metadata: Mapping[str, Any], *, time: str | None = None) -> Table:
    """The recording among some arrays.

    Args:
        members: In the order of the file.
        part: Which recording, where there are several: group, or group and length.
        metadata: What else the file says.
        time: Name of the time column, if the format knows it and the recording has it.

    Raises:
        SeveralParts: several groups, or arrays of several lengths in one, and no `part`.
        TraceError: no array of numbers with one or two dimensions.
    """
    tall = [_tall(member) for member in members]
    columns = [member for member in tall if _is_column(member)]
    if not columns:
        shapes = ", ".join(f"{m.name!r} {m.values.shape} {m.values.dtype}" for m in members[:8]) or "none"
        raise TraceError(
            f"no array here can be the channels of a recording (its arrays: {shapes}); expected real numbers of shape "
            "(rows,) or "
            "(rows, columns). Save the channels as arrays of one length."
        )
    largest = max(tall, key=lambda member: member.values.size)
    if part is None and largest.values.ndim > 2 and largest.values.size > max(each.values.size for each in columns):
        where = f"{largest.group}/{largest.name}".lstrip("/")
        raise TraceError(
            f"the largest array, {where!r}, has shape {largest.values.shape}, and a channel has one dimension; save its "
            "means or "
            f"points as arrays (rows,). To read the others, pass part={next(iter(_parts(columns)))!r}."
        )
    parts = _parts(columns)
    labelled = [name for name, each in parts.items() if any(member.labels for member in each.members)]
    if part is None and len(labelled) == 1:
        part = labelled[0]  # the only one whose columns have names
    found = chosen(parts, part, _Columns.described)
    names, values, units = zip(*itertools.chain.from_iterable(map(_columns, found.members)), strict=True)
    group = found.members[0].group
    scalars = [m for m in members if m.values.size == 1 and m.values.dtype.kind in "buif" and m.group in ("", group)]
    parameters = {m.name: float(m.values.reshape(())) for m in scalars if m.name not in names}
    parameter_units = {m.name: m.unit for m in scalars if m.unit is not None and m.name in parameters}
    texts = {m.name: text for m in members if m.group in ("", group) and (text := _text(m.values)) is not None}
    left = sorted({m.group or "/" for m in members} - {group or "/"})
    return Table(
        names,
        values,
        units,
        parameters,
        parameter_units,
        {**metadata, **texts, **({"group": group} if group else {}), **({"other_groups": left[:20]} if left else {})},
        time=time if time in names else None,
    )


def _tall(member: Member) -> Member:
    """A (1, n) array, as MATLAB writes a vector, as (n,); of more dimensions, without those of length 1."""
    values = member.values
    if values.ndim > 2:
        values = values.reshape([size for size in values.shape if size != 1])
    if values.ndim == 2 and 1 in values.shape and values.size > 1:
        values = values.reshape(-1)
    return Member(member.group, member.name, values, member.unit, member.labels)


def _is_column(member: Member) -> bool:
    values = member.values
    return values.ndim in (1, 2) and len(values) > 1 and values.size > 0 and values.dtype.kind in "buifc"


def _parts(columns: Sequence[Member]) -> dict[str, _Columns]:
    """By group, and where the arrays of one differ in length, by group and length."""
    lengths: dict[str, dict[int, _Columns]] = {}
    for member in columns:
        lengths.setdefault(member.group, {}).setdefault(len(member.values), _Columns()).members.append(member)
    parts = {}
    for group, found in lengths.items():
        for rows, each in found.items():
            name = group or "/"
            parts[name if len(found) == 1 else f"{name} ({rows} rows)"] = each
    return parts


def _columns(member: Member) -> list[tuple[str, Array, str | None]]:
    values = member.values
    if values.ndim == 1:
        return _real(member.name, values, member.unit)
    width = values.shape[1]
    if width > _WIDEST:
        raise TraceError(
            f"{member.name!r} has shape {values.shape}; that are more columns than a recording has channels. Save those "
            "that matter."
        )
    labels = list(member.labels) if len(member.labels) == width else [f"{member.name}[{k}]" for k in range(width)]
    titled = (split_name(label) if member.labels else (label, None) for label in labels)
    found = (_real(name, values[:, k], unit or member.unit) for k, (name, unit) in enumerate(titled))
    return [column for columns in found for column in columns]


def _real(name: str, values: npt.NDArray[Any], unit: str | None) -> list[tuple[str, Array, str | None]]:
    if values.dtype.kind != "c":
        return [(name, np.asarray(values, dtype=np.float64), unit)]
    parts = (values.real, values.imag)
    return [(f"{name}.{kind}", np.asarray(x, dtype=np.float64), unit) for kind, x in zip(("re", "im"), parts, strict=True)]


def _text(values: npt.NDArray[Any]) -> str | None:
    if values.dtype.kind in "US" and values.size == 1:
        item = values.reshape(()).item()
        return (item.decode(errors="replace") if isinstance(item, bytes) else str(item))[:_TEXT]
    return None


def plain(value: Any) -> Any:
    """What a library gives as an attribute, in types that JSON knows."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray):
        return [plain(each) for each in value.reshape(-1)[:100].tolist()]
    return (
        value.item() if isinstance(value, np.generic) else value if isinstance(value, str | int | float | bool) else str(value)
    )
