"""Columns of reads without further description: each is one recording under pulses of one polarity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import TraceError, UnitError
from ...typing import Array
from ...units import same_dimension
from ..parsing.messages import counted
from .columns import UNITS, PulseColumns, role_of
from .layout import READS
from .reads import Reads, is_small, no_read_voltage, to_conductance, without_blank_reads


def read_interval(time: str | float | None) -> float | None:
    """Return the interval from read to read [s].

    Raises:
        TraceError: `time` is a name.
    """
    if isinstance(time, str):
        raise TraceError(f"time={time!r}: ramps have no column of times; pass the interval from read to read in seconds.")
    return time


def ramp_names(columns: PulseColumns) -> list[str]:
    """Return the columns of reads: all but one that numbers the pulses.

    Raises:
        TraceError: roles are given, or the column of pulse numbers does not count up by one.
    """
    if columns.layout.columns:
        raise TraceError("PulseLayout(columns=...) belongs to the layout 'long'; ramps are all columns of the file.")
    names = list(columns.table.names)
    for name in list(names) if columns.table.headed else []:
        # A column without a name and without values separates two tables side by side.
        if name.startswith("column ") and len(names) > 1 and not np.isfinite(_numbers_or_nan(columns, name)).any():
            names.remove(name)
    for name in [name for name in names if role_of(name)[0] == "pulse" and len(names) > 1]:
        index = columns.table.columns([name], [])[0][name]
        index = index[: int(np.flatnonzero(np.isfinite(index))[-1]) + 1] if np.isfinite(index).any() else index[:0]
        if not np.all(np.diff(index) == 1):
            raise TraceError(f"the column {name!r} numbers the pulses, but does not count up by one; correct or remove it.")
        names.remove(name)
    return names


def _numbers_or_nan(columns: PulseColumns, name: str) -> Array:
    try:
        return columns.table.columns([name], [])[0][name]
    except TraceError:  # a column of words is reported where it is used
        return np.zeros(1)


def read_ramp_columns(columns: PulseColumns, names: Sequence[str], signs: Sequence[float], interval: float | None) -> Reads:
    """Return one recording for each column.

    Args:
        columns: The columns of the file.
        names: Columns of reads.
        signs: 1 for SET pulses and -1 for RESET pulses, per column.
        interval: Interval [s] from read to read; None to count the pulses.

    Raises:
        TraceError: currents without a read voltage, a gap in a ramp, or no reads at all.
        UnitError: columns of different units.
    """
    values, _ = columns.table.columns(names, [])
    ramps: list[Array] = []
    symbols: dict[str, str] = {}
    kept: list[int] = []
    before = len(columns.assumed)
    for index, name in enumerate(names):
        role = _role(columns, name, values[name])
        zeros_end_ramp = role != "conductance" or _has_dimension(columns, name)
        ramp = _until_end(columns, name, values[name], zeros_end_ramp=zeros_end_ramp)
        if not len(ramp):
            columns.doubts.append(f"column {name!r} contains no reads and is left out")
            continue
        voltage = columns.layout.read_voltage
        conductance, symbols[name] = to_conductance(columns, name, role, ramp, columns.table.where, voltage)
        ramps.append(conductance)
        kept.append(index)
    if len(assumed := columns.assumed[before:]) > 1:
        columns.assumed[before:] = [f"{assumed[0]}, and {counted(len(assumed) - 1, 'more column')} likewise"]
    _check_same_unit(symbols)
    if not ramps:
        raise TraceError("no column contains a read; is the file empty, or are its reads all zero?")
    lengths = np.array([len(ramp) for ramp in ramps])
    reads = Reads(
        np.append(0, np.cumsum(lengths)),
        np.repeat(np.array(signs)[kept], lengths),
        np.concatenate(ramps),
        next(iter(symbols.values())),
        np.zeros(len(ramps)),
        np.array(kept, dtype=np.float64),
        None if interval is None else np.concatenate([interval * np.arange(length) for length in lengths.tolist()]),
    )
    blank = int(np.isnan(reads.conductance).sum())
    if blank:
        columns.assumed.append(f"{counted(blank, 'blank read')} not seen: the pulses count for the next read")
    return without_blank_reads(reads, lambda position: f"read {position + 1}")


def _check_same_unit(symbols: dict[str, str]) -> None:
    if len(set(symbols.values())) > 1:
        column_of = {unit: name for name, unit in symbols.items()}
        raise UnitError(
            f"column {column_of['S']!r} gives siemens and column {column_of['']!r} has no unit; ramps of one file need one "
            "kind of unit. Pass pulses=PulseLayout(..., conductance_unit='uS')."
        )


def _role(columns: PulseColumns, name: str, values: Array) -> str:
    """Return what the numbers of a column are, by their unit."""
    text = columns.unit(name, "conductance")
    voltage = columns.layout.read_voltage
    if text is None:
        if voltage is not None:
            return "current"
        if is_small(values[np.isfinite(values)]):
            raise TraceError(
                f"the small numbers in column {name!r} have no unit: for currents [A] pass their voltage, "
                "pulses=PulseLayout(..., read_voltage=0.1); for conductances conductance_unit='S', or '' for normalised ones."
            )
        return "conductance"
    for role in READS:
        if same_dimension(text, UNITS[role]):
            if role == "current" and voltage is None:
                raise no_read_voltage(name)
            return role
    return "conductance"  # normalised, or a unit that `to_conductance` refuses


def _has_dimension(columns: PulseColumns, name: str) -> bool:
    text = columns.unit(name, "conductance")
    return text is not None and not same_dimension(text, "")


def _until_end(columns: PulseColumns, name: str, values: Array, *, zeros_end_ramp: bool) -> Array:
    """Return the reads of a ramp without the cells below its end."""
    missing = np.isnan(values) | (zeros_end_ramp & (values == 0))
    present = np.flatnonzero(~missing)
    end = int(present[-1]) + 1 if len(present) else 0
    gaps = np.flatnonzero(missing[:end] & ~np.isnan(values[:end]))
    if len(gaps):
        raise TraceError(
            f"{columns.table.where(int(gaps[0]))}: column {name!r} has a zero here, but reads below it; zero cells are allowed "
            "below the end of a ramp only. Leave the cell empty if the read was not seen."
        )
    return values[:end]
