"""The columns of a file as channels of a trace: found by name, converted to SI, without marks for missing values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import TraceError, UnitError
from ...typing import Array
from ...units import parse_unit
from ..parsing.messages import listed
from ..parsing.table import Table
from ..parsing.warn import warn_user
from .unit_advice import unit_of_kind

_TEMPERATURE = re.compile(r"^T\d*$|temp", re.IGNORECASE)
#: What source-measure units and parameter analysers write where they have no value.
_MISSING_MARKS = (9.9e37, 9.91e37, 1.99999e101, 1.99999e102)
_EXACT_TIME = re.compile(r"t|times?|time[ _]?stamps?|secs?|seconds?|elapsed|elapsed[ _]time|zeit|temps", re.IGNORECASE)
_TIME_WORD = re.compile(r"(?:^|[^a-z])time(?:$|[^a-z])", re.IGNORECASE)
# A time step, a dead time or a time constant is no time of a sample.
_OTHER_TIME = re.compile(
    r"step|delta|interval|increment|constant|dead|rise|fall|delay|cpu|wall|width|per |limit", re.IGNORECASE
)


def is_called_time(name: str) -> bool:
    """Return True for `t`, `Time` or `timestamp`."""
    return _EXACT_TIME.fullmatch(name.strip()) is not None


def contains_time(name: str) -> bool:
    """Return True for a name that contains the word time, such as `Simulation time`, but not for `Time Step`."""
    return _TIME_WORD.search(name.strip()) is not None and _OTHER_TIME.search(name) is None


@dataclass(frozen=True)
class SourceColumns:
    """The table of a source, with the units that the caller gives.

    Attributes:
        source: Name of the file, for messages.
        table: Its columns as written there.
        units: The caller's units by name; they take precedence.
        from_file: True if the arrays belong to the reader, so that they can be used without a copy.
    """

    source: str
    table: Table
    units: dict[str, str] = field(default_factory=dict)
    from_file: bool = True

    def check_units(self) -> None:
        """Check that every given unit is that of a column or a parameter; "time" may stand for the time column."""
        for name in self.units:
            if name != "time" and name not in self.table.parameters:
                self.require(name)

    def require(self, name: str) -> None:
        """Check that there is a column of that name.

        Raises:
            TraceError: there is none; with the names that exist and the closest one.
        """
        if self.table.has(name):
            return
        names = self.table.names
        if name in self.table.left_out:
            raise TraceError(
                f"{self.source}: the column {name!r} was left out: {self.table.left_out[name]}.".replace("..", ".")
            )
        folded = {known.casefold(): known for known in names}
        closest = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
        hint = f" Did you mean {folded[closest[0]]!r}?" if closest else ""
        raise TraceError(f"{self.source} has no column {name!r}; its columns are: {listed(names)}.{hint}")

    def resolve(self, name: str) -> str:
        """Return the column of that name or id, or the only one that ends in it after a colon: `mx` for `Oxs::mx`."""
        if not self.table.has(name) and name in self.table.ids:
            return self.table.ids[name]
        endings = [known for known in self.table.names if known.endswith(f":{name}")]
        return endings[0] if name not in self.table.names and len(endings) == 1 else name

    def repeats(self, time: str | None, name: str) -> bool:
        """Return True if a column contains the times again, under the same name."""
        if time is None or name.partition("#")[0] != time.partition("#")[0]:
            return False
        return self.equal(time, name)

    def equal(self, first: str, second: str) -> bool:
        """Return True if two columns contain the same values."""
        return np.array_equal(self.table.column(first), self.table.column(second), equal_nan=True)

    def unit(self, name: str) -> str | None:
        """Return the unit text of a column or parameter: the caller's, else the file's, else None."""
        if name in self.units:
            return self.units[name]
        unit = self.table.unit_of(name) if self.table.has(name) else self.table.parameter_units.get(name)
        return "degC" if unit == "C" and _TEMPERATURE.search(name) else unit

    def symbol(self, name: str) -> str:
        """Return the SI symbol of a column or parameter, "" where no unit is known."""
        return parse_unit(self.unit(name) or "").symbol

    def channel(self, name: str) -> Array:
        """Return a column in SI; of a file read-only, so that the trace does not need a copy.

        Raises:
            TraceError: the column contains cells that are not numbers.
            UnitError: its unit is not known.
        """
        if name in self.table.unreadable:
            raise TraceError(f"{self.source}: {self.table.unreadable[name]}")
        values = self._to_si(name, self._without_marks(name))
        memory: Any = values if self.from_file else None
        while isinstance(memory, np.ndarray):
            memory.setflags(write=False)
            memory = memory.base
        return values

    def parameter(self, name: str) -> float:
        """Return a parameter in SI."""
        return float(self._to_si(name, np.float64(self.table.parameters[name])))

    def _without_marks(self, name: str) -> Array:
        """Return a column as the file has it, NaN where the instrument marked a missing value."""
        values = self.table.column(name)
        if self.table.roles or np.nanmax(np.abs(values), initial=0.0) not in _MISSING_MARKS:
            return values
        marked = np.isin(np.abs(values), _MISSING_MARKS)
        warn_user(
            f"{self.source}: {int(marked.sum())} samples of {name!r} are {values[marked][0]:g}, by which instruments mark an "
            "overrange or a missing reading; they are NaN."
        )
        return np.where(marked, np.nan, values)

    def check_known_units(self, names: Iterable[str]) -> None:
        """Check that the units of columns and parameters are known; all unknown ones are reported at once.

        Raises:
            UnitError: some are not.
        """
        unknown: dict[str, UnitError] = {}
        for name in names:
            try:
                parse_unit(self.unit(name) or "")
            except UnitError as error:
                unknown[name] = error
        if not unknown:
            return
        first = next(iter(unknown))
        place = f"{self.source}, column {first!r}: {unknown[first]}"
        others = [f"{name!r} ({self.unit(name)!r})" for name in unknown if name != first]
        also = f" The units of {', '.join(others)} are not known either." if others else ""
        given = ", ".join(f"{name!r}: {unit_of_kind(name, self.unit(name) or '')!r}" for name in unknown)
        plain = ", ".join(f"{name!r}: ''" for name in unknown)
        number = "numbers without units" if others else "a number without a unit"
        these = "them" if others else "its unit"
        raise UnitError(f"{place}{also} To give {these}, pass units={{{given}}}, or units={{{plain}}} "
                        f"for {number}.")  # fmt: skip

    def _to_si(self, name: str, values: Any) -> Array:
        self.check_known_units([name])
        return parse_unit(self.unit(name) or "").to_si(values)
