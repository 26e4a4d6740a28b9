"""Two columns: the reads after consecutive SET pulses (cycle 0), and those after consecutive RESET pulses (cycle 1).

Further columns are further cycles, where their names give the polarity: `Pulse,LTP,LTD`, `Potentiation 1,Depression 1,...`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ....errors import TraceError
from ..columns import PulseColumns, role_of
from ..polarity import sign_in_name
from ..ramp_columns import ramp_names, read_interval, read_ramp_columns
from ..reads import Reads
from ..registry import register_layout

_BRANCH = re.compile(r"LTP|LTD|potentiat|depress", re.IGNORECASE)


def recognise(columns: PulseColumns) -> bool:
    """Return True for two columns without a header, or for a header of LTP and LTD; without a given polarity."""
    table = columns.table
    if columns.layout.polarity is not None or columns.layout.columns:
        return False
    if not table.headed:
        return len(table.names) == 2
    return _signs_by_name(_read_names(table.names)) is not None and _is_clear(table.names)


def _read_names(names: Sequence[str]) -> list[str]:
    """Return the names that are not those of pulse numbers or of empty columns."""
    return [name for name in names if role_of(name)[0] != "pulse" and not name.startswith("column ")]


def _signs_by_name(names: Sequence[str]) -> list[float] | None:
    """Return the polarity of each column by its name; None unless every column has one and both occur."""
    signs = [sign for name in names if (sign := sign_in_name(name)) is not None]
    return signs if len(signs) == len(names) and len(set(signs)) == 2 else None


def _is_clear(names: Sequence[str]) -> bool:
    """Return True if the names can only be those of two branches: SET and RESET alone may also be ramps of many devices."""
    return any(role_of(name)[0] == "pulse" for name in names) or any(_BRANCH.search(name) for name in names)


def read(columns: PulseColumns, time: str | float | None) -> Reads:
    """Return the reads of all columns.

    Raises:
        TraceError: other columns than two, or than some named after their polarity; no read voltage for currents.
        UnitError: columns of different units.
    """
    interval = read_interval(time)
    names = ramp_names(columns)
    signs = _signs_by_name(names) if columns.table.headed else None
    if signs is None and len(names) == 2:
        signs = [1.0, -1.0]
    if signs is None:
        raise TraceError(
            f"the layout 'up-down' has two columns, reads after SET and after RESET pulses; here are {len(names)}: "
            f"{', '.join(names[:10])}. Choose 'long' or 'ramps', or leave columns out of the file."
        )
    return read_ramp_columns(columns, names, signs, interval)


register_layout(
    "up-down",
    read,
    recognise=recognise,
    priority=20,
    assumption="two columns without a header are taken as reads after SET pulses and reads after RESET pulses",
)
