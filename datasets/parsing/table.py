"""The result of every reader: the columns of a file, as written there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ...errors import TraceError
from ...typing import Array

#: Largest number of columns: tables with more have their samples along the rows.
MAX_COLUMNS = 20_000


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of equal length, not yet in SI.

    Attributes:
        names: Column names in the order of the file. Repeated names are numbered, so that all are distinct.
        columns: One float64 array of shape (rows,) per name; NaN where the file has no value.
        units: Unit text per column as the file has it: "" for dimensionless, None where the file gives no unit.
        parameters: Constants of the recording that the file names.
        parameter_units: Unit text of the parameters, where the file has it.
        metadata: Everything else in the file, in plain types.
        time: Name of the column that is the time by the rules of the format; None where the format has no such rule.
        time_doubt: Why `time` may be wrong, reported if the caller does not name the time; "" where it is certain.
        doubts: What a user should know before trusting the numbers, one sentence each without its full stop.
        roles: "drive" or "output" by column, where the file was written by this package.
        interpolation: "held", "linear" or "spline" by drive, where the file was written by this package.
        left_out: Why a column of the file is not among the columns here, by its name.
        unreadable: What is wrong with a column that has bad cells, by its name; an error where the column is used.
        ids: Column by another name that the file gives it, by which it can be asked for as well.
        notes: What the user should be told about the reading, one sentence each without its full stop; no reason for a warning.

    Raises:
        TraceError: no column, or no row.

    Example:
        >>> import numpy as np
        >>> table = Table(("t", "V"), (np.array([0.0, 1.0]), np.array([0.5, 0.25])), ("ns", None))
        >>> table.rows, table.unit_of("t"), table.column("V").tolist()
        (2, 'ns', [0.5, 0.25])
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
    left_out: Mapping[str, str] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ids: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.columns or not len(self.columns[0]):
            names = ", ".join(self.names) or "none"
            raise TraceError(f"there are no rows of numbers in this file (its columns: {names}).")
        if len(self.columns) > MAX_COLUMNS:
            raise TraceError(
                f"this table has {len(self.columns)} columns and {len(self.columns[0])} rows; a recording has a row for each "
                f"sample and at most {MAX_COLUMNS} channels. If its samples run along the rows, transpose it."
            )
        object.__setattr__(self, "names", number_duplicates(self.names))

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return len(self.columns[0])

    def unit_of(self, name: str) -> str | None:
        """Return the unit text of a column, as the file has it."""
        return self.units[self._position[name]]

    def column(self, name: str) -> Array:
        """Return the values of a column, as the file has them."""
        return self.columns[self._position[name]]

    def has(self, name: str) -> bool:
        """Return True if there is a column of that name."""
        return name in self._position

    @cached_property
    def _position(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}


def number_duplicates(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names with repeated ones numbered.

    The first of several also gets a number, so that a request for the plain name fails instead of returning one of them.

    Example:
        >>> number_duplicates(("t", "V", "V"))
        ('t', 'V#1', 'V#2')
    """
    total, count = Counter(names), dict[str, int]()
    result = []
    for name in names:
        if total[name] > 1:
            count[name] = count.get(name, 0) + 1
            name = f"{name}#{count[name]}"
        result.append(name)
    return tuple(result)


def sample_times(start: float, step: float, rows: int) -> Array:
    """Return the times start + i step, shape (rows,); no temporary arrays are allocated."""
    times = np.arange(rows, dtype=np.float64)
    times *= step
    times += start
    return times


def count_doubt(expected: int | None, found: int) -> tuple[str, ...]:
    """Return a doubt if a file has another number of samples than its header states; nothing if the header states none."""
    if expected is None or expected == found:
        return ()
    return (f"its header gives {expected} samples, but the file has {found}; was it cut off?",)
