"""Pulse files without a row's own description: a column for each ramp, or one for SET and one for RESET."""

from __future__ import annotations

import numpy as np

from ...errors import TraceError, UnitError
from ...typing import Array
from ...units import same_dimension
from .columns import READS, UNITS, Quantities, role_of
from .reads import Reads, is_small, no_read_voltage, to_conductance
from .table import counted


def read_ramps(found: Quantities, interval: float | None) -> Reads:
    """A column for each ramp of one polarity, a row for each pulse; the cycle is the position of the column, from 0.

    Empty cells at the end of a column say that its ramp ended earlier; so do zeros, unless the reads are normalised.

    Raises:
        TraceError: no polarity, no read voltage for currents, or a gap in a ramp.
        UnitError: columns of different units.
    """
    if found.layout.polarity is None:
        raise TraceError(
            "a file of ramps does not say which pulses they are; pass "
            "pulses=PulseLayout(layout='ramps', polarity='SET') or 'RESET'."
        )
    sign = 1.0 if found.layout.polarity == "SET" else -1.0
    names = _ramps(found)
    return _reads(found, names, [sign] * len(names), interval)


def read_up_down(found: Quantities, interval: float | None) -> Reads:
    """Two columns: the reads after consecutive SET pulses (cycle 0), and those after consecutive RESET pulses (cycle 1).

    Raises:
        TraceError: another number of columns, no read voltage for currents, or a gap in a column.
        UnitError: columns of different units.
    """
    names = _ramps(found)
    if len(names) != 2:
        raise TraceError(
            f"the layout 'up-down' has two columns, reads after SET and after RESET pulses; here are {len(names)}: "
            f"{', '.join(names[:10])}. Choose 'long' or 'ramps', or leave columns out of the file."
        )
    return _reads(found, names, [1.0, -1.0], interval)


def _ramps(found: Quantities) -> list[str]:
    """The columns of reads: all but one that numbers the pulses."""
    if found.layout.columns:
        raise TraceError("PulseLayout(columns=...) belongs to the layout 'long'; ramps are all columns of the file.")
    names = list(found.table.names)
    for name in [name for name in names if role_of(name)[0] == "pulse" and len(names) > 1]:
        index = found.table.columns([name], [])[0][name]
        if not np.all(np.diff(index) == 1):
            raise TraceError(f"the column {name!r} numbers the pulses, but does not count up by one; correct or remove it.")
        names.remove(name)
    return names


def _reads(found: Quantities, names: list[str], signs: list[float], interval: float | None) -> Reads:
    columns, _ = found.table.columns(names, [])
    ramps: list[Array] = []
    symbols: dict[str, str] = {}
    kept: list[int] = []
    before = len(found.assumed)
    for which, name in enumerate(names):
        role = _role(found, name, columns[name])
        ramp = _until_end(found, name, columns[name], zero_ends=role != "conductance" or _has_unit(found, name))
        if not len(ramp):
            found.doubts.append(f"column {name!r} holds no reads and is left out")
            continue
        values, symbols[name] = to_conductance(found, name, role, ramp, found.table.where, found.layout.read_voltage)
        ramps.append(values)
        kept.append(which)
    if len(said := found.assumed[before:]) > 1:
        found.assumed[before:] = [f"{said[0]}, and {counted(len(said) - 1, 'more column')} likewise"]
    if len(set(symbols.values())) > 1:
        mixed = {unit: name for name, unit in symbols.items()}
        raise UnitError(
            f"column {mixed['S']!r} gives siemens and column {mixed['']!r} has no unit; ramps of one file need one kind of "
            "unit. Pass pulses=PulseLayout(..., conductance_unit='uS')."
        )
    if not ramps:
        raise TraceError("no column holds a read; is the file empty, or its reads all zero?")
    lengths = np.array([len(ramp) for ramp in ramps])
    return Reads(
        np.append(0, np.cumsum(lengths)),
        np.repeat(np.array(signs)[kept], lengths),
        np.concatenate(ramps),
        next(iter(symbols.values())),
        np.zeros(len(ramps)),
        np.array(kept, dtype=np.float64),
        None if interval is None else np.concatenate([interval * np.arange(length) for length in lengths.tolist()]),
    )


def _role(found: Quantities, name: str, values: Array) -> str:
    """What the numbers of a column are, by their unit."""
    text = found.unit(name, "conductance")
    voltage = found.layout.read_voltage
    if text is None:
        if voltage is not None:
            return "current"
        if is_small(values[np.isfinite(values)]):
            raise TraceError(
                f"nothing says what the small numbers in column {name!r} are: for currents [A] pass their voltage, "
                "pulses=PulseLayout(..., read_voltage=0.1); for conductances conductance_unit='S', or '' for normalised ones."
            )
        return "conductance"
    for role in READS:
        if same_dimension(text, UNITS[role]):
            if role == "current" and voltage is None:
                raise no_read_voltage(name)
            return role
    return "conductance"  # normalised, or a unit that is refused there


def _has_unit(found: Quantities, name: str) -> bool:
    text = found.unit(name, "conductance")
    return text is not None and not same_dimension(text, "")


def _until_end(found: Quantities, name: str, values: Array, *, zero_ends: bool) -> Array:
    """The reads of a ramp without the cells below its end."""
    missing = np.isnan(values) | (zero_ends & (values == 0))
    there = np.flatnonzero(~missing)
    end = int(there[-1]) + 1 if len(there) else 0
    gaps = np.flatnonzero(missing[:end])
    if len(gaps):
        raise TraceError(
            f"{found.table.where(int(gaps[0]))}: column {name!r} has no read here, but reads below it; empty or zero cells "
            "may stand below the end of a ramp only."
        )
    return values[:end]
