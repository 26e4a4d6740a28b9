"""A column for each ramp of pulses of one polarity, a row for each pulse; the cycle is the position of the column, from 0."""

from __future__ import annotations

from ....errors import TraceError
from ..columns import PulseColumns
from ..ramp_columns import ramp_names, read_interval, read_ramp_columns
from ..reads import Reads
from ..registry import register_layout


def read(columns: PulseColumns, time: str | float | None) -> Reads:
    """Return the reads of all ramps.

    Empty cells at the end of a column show that its ramp ended earlier; so do zeros, unless the reads are normalised.

    Raises:
        TraceError: no polarity, no read voltage for currents, or a gap in a ramp.
        UnitError: columns of different units.
    """
    if columns.layout.polarity is None:
        raise TraceError(
            "a file of ramps does not contain the polarity of its pulses; pass "
            "pulses=PulseLayout(layout='ramps', polarity='SET') or 'RESET'."
        )
    sign = 1.0 if columns.layout.polarity == "SET" else -1.0
    interval = read_interval(time)
    names = ramp_names(columns)
    return read_ramp_columns(columns, names, [sign] * len(names), interval)


register_layout("ramps", read, priority=30)
