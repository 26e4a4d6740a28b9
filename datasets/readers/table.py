"""What every reader hands back: the columns of a file, as written there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import TraceError

Array = npt.NDArray[np.float64]


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

    Raises:
        TraceError: no column, or no row.
    """

    names: tuple[str, ...]
    columns: tuple[Array, ...]
    units: tuple[str | None, ...]
    parameters: Mapping[str, float] = field(default_factory=dict)
    parameter_units: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

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
