"""What every reader hands back: the columns of a file, as written there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ...errors import TraceError
from ...typing import Array

T = TypeVar("T")
#: Which recording of a file that holds several, by name or number.
Part = str | int | None
#: Takes a line about how far the reading is.
Progress = Callable[[str], None] | None

_LISTED = 12


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of equal length, not yet in SI.

    Attributes:
        names: Column names in the order of the file, all distinct.
        columns: One float64 array of shape (rows,) per name; NaN where the file holds no value.
        units: Unit text per column as the file has it: "" where it says dimensionless, None where it says nothing.
        parameters: Constants of the recording that the file names.
        parameter_units: Unit text of the parameters, where the file has it.
        metadata: Whatever else the file says, in plain types.
        time: Name of the column that is the time by the rules of the format; None where it has no such rule.
        time_doubt: Why that is not sure, said where the caller does not name the time; "" where it is.
        doubts: What a user should know before trusting the numbers, one sentence each without its full stop.
        roles: "drive" or "output" by column, where the file was written by this package.
        interpolation: Course of the drives between samples, likewise.

    Raises:
        TraceError: no column, or no row.
    """

    names: tuple[str, ...]
    columns: tuple[Array, ...]
    units: tuple[str | None, ...]
    parameters: Mapping[str, float] = field(default_factory=dict)
    parameter_units: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    time: str | None = None
    time_doubt: str = ""
    doubts: tuple[str, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    interpolation: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.columns or not len(self.columns[0]):
            names = ", ".join(self.names) or "none"
            raise TraceError(f"there are no rows of numbers in this file (its columns: {names}).")
        object.__setattr__(self, "names", distinct(self.names))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.columns[0])

    def unit_of(self, name: str) -> str | None:
        """Unit text of a column, as the file has it."""
        return self.units[self.names.index(name)]

    def column(self, name: str) -> Array:
        """Values of a column, as the file has them."""
        return self.columns[self.names.index(name)]


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names with every double numbered: ("t", "V", "V") gives ("t", "V#1", "V#2").

    Both doubles get a number: a request for "V" is then refused with both names, rather than answered with the first.
    """
    seen: dict[str, int] = {}
    result = []
    for name in names:
        if names.count(name) > 1:
            seen[name] = seen.get(name, 0) + 1
            name = f"{name}#{seen[name]}"
        result.append(name)
    return tuple(result)


def ticks(start: float, step: float, rows: int) -> Array:
    """Instants start + i step, shape (rows,), in memory of their own size only."""
    times = np.arange(rows, dtype=np.float64)
    times *= step
    times += start
    return times


class SeveralParts(TraceError):
    """A file holds several recordings, and none of them was asked for.

    Attributes:
        parts: Their names, as `part=` takes them.
    """

    def __init__(self, message: str, parts: Sequence[str]) -> None:
        super().__init__(message)
        self.parts = tuple(parts)


def chosen(parts: Mapping[str, T], part: Part, what: Callable[[T], str]) -> T:
    """The one recording of a file, or that of the given name or number.

    Args:
        parts: Recordings by name, in the order of the file.
        part: Name, or number counted from 0; None for the only one.
        what: A few words on each, for the message.

    Raises:
        SeveralParts: there are several, and none was named.
        TraceError: there is none of that name.
    """
    if part is None and len(parts) == 1:
        return next(iter(parts.values()))
    listed = "; ".join(f"{name!r} ({what(each)})" for name, each in [*parts.items()][:_LISTED])
    listed += f"; and {len(parts) - _LISTED} more" if len(parts) > _LISTED else ""
    if part is None:
        raise SeveralParts(
            f"the file holds {len(parts)} recordings: {listed}. Say which with part={next(iter(parts))!r}, or by number, "
            "or read all with read_traces.",
            list(parts),
        )
    if isinstance(part, str) and part in parts:
        return parts[part]
    if str(part).isdigit() and int(part) < len(parts):
        return [*parts.values()][int(part)]
    raise TraceError(f"there is no part {part!r} in this file; it has: {listed}.")
