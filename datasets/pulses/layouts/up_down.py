"""Two columns: the reads after consecutive SET pulses (cycle 0), and those after consecutive RESET pulses (cycle 1)."""

from __future__ import annotations

from ....errors import TraceError
from ..columns import PulseColumns
from ..ramp_columns import ramp_names, read_interval, read_ramp_columns
from ..reads import Reads
from ..registry import register_layout


def recognise(columns: PulseColumns) -> bool:
    """Return True for two columns without a header and without a given polarity."""
    return not columns.table.headed and len(columns.table.names) == 2 and columns.layout.polarity is None


def read(columns: PulseColumns, time: str | float | None) -> Reads:
    """Return the reads of both columns.

    Raises:
        TraceError: another number of columns, no read voltage for currents, or a gap in a column.
        UnitError: columns of different units.
    """
    interval = read_interval(time)
    names = ramp_names(columns)
    if len(names) != 2:
        raise TraceError(
            f"the layout 'up-down' has two columns, reads after SET and after RESET pulses; here are {len(names)}: "
            f"{', '.join(names[:10])}. Choose 'long' or 'ramps', or leave columns out of the file."
        )
    return read_ramp_columns(columns, names, [1.0, -1.0], interval)


register_layout(
    "up-down",
    read,
    recognise=recognise,
    priority=20,
    assumption="two columns without a header are taken as reads after SET pulses and reads after RESET pulses",
)
