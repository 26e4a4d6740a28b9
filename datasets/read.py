"""`read_trace`: a measurement file in, a `Trace` in SI out."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np

from ..errors import TraceError, UnitError
from ..trace import Trace, TraceSet
from ..units import parse_unit, same_dimension
from .pulse_columns import PulseLayout
from .pulses import file_hint, pulse_hint, read_pulses, refuse_roles
from .readers import READERS, Reader, Table
from .readers.foreign import describe
from .readers.header import is_unit
from .readers.table import Array

_HEAD = 4096
_EXACT_TIME = re.compile(r"t|times?|time ?stamps?", re.IGNORECASE)
_WORD_TIME = re.compile(r"(?:^|[^a-z])time(?:$|[^a-z])", re.IGNORECASE)


@overload
def read_trace(
    path: str | Path,
    *,
    drive: str | Sequence[str] = (),
    output: str | Sequence[str] = (),
    parameters: Mapping[str, float] | None = None,
    time: str | float | None = None,
    start: float | None = None,
    stop: float | None = None,
    units: Mapping[str, str] | None = None,
    format: str | None = None,
    pulses: None = None,
) -> Trace: ...


@overload
def read_trace(
    path: str | Path,
    *,
    drive: str | Sequence[str] = (),
    output: str | Sequence[str] = (),
    parameters: Mapping[str, float] | None = None,
    time: str | float | None = None,
    start: float | None = None,
    stop: float | None = None,
    units: Mapping[str, str] | None = None,
    format: str | None = None,
    pulses: str | PulseLayout,
) -> TraceSet: ...


def read_trace(
    path: str | Path,
    *,
    drive: str | Sequence[str] = (),
    output: str | Sequence[str] = (),
    parameters: Mapping[str, float] | None = None,
    time: str | float | None = None,
    start: float | None = None,
    stop: float | None = None,
    units: Mapping[str, str] | None = None,
    format: str | None = None,  # noqa: A002 - the word that users look for
    pulses: str | PulseLayout | None = None,
) -> Trace | TraceSet:
    """One recording from a file whose format is recognised by its content.

    Args:
        path: A MuMax3 table, delimited text, or a NumPy .npz file.
        drive: Names of the columns that drive the device.
        output: Names of the columns that the device answers with. If neither `drive` nor `output` is given, every
            column but the time becomes an output.
        parameters: Constants of the recording in SI, added to those in the file; these go first.
        time: Name of the time column, or the sample interval [s] of a file without one; found by itself if omitted.
        start: First instant to keep [s].
        stop: Last instant to keep [s].
        units: Units by column name, where the file names none or one that is not known: `units={"V": "mV"}`.
        format: Name of the reader, to pass over the recognition: "mumax", "delimited" or "npz".
        pulses: For a memory device that was read pulse by pulse: "auto", a layout by name ("long", "up-down", "ramps") or a
            `PulseLayout`; see there. `drive`, `output`, `start` and `stop` have no place beside it.

    Returns:
        The recording in SI. `provenance` says from which file, and which units the file gave.

        With `pulses`, a set with one trace for each device and cycle (`parameters`). `output` is the "conductance" ([S], or
        normalised), `drive` the number of "SET" and "RESET" pulses between a read and the next one, and their "voltage" [V]
        and "width" [s] where the file has them; `time` is the number of pulses received, or seconds where the file has a time
        or `time` is given.

    Raises:
        TraceError: the file cannot be read, has no such column, or no time.
        UnitError: a unit is not known, or the time is not in a unit of time.
    """
    if pulses is not None:
        refuse_roles(drive, output, start, stop)
        return read_pulses(path, pulses, lambda file: _reader(file, format), parameters=parameters, time=time, units=units)
    path = Path(path)
    reader = _reader(path, format)
    try:
        table = reader.read(path)
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}.") from None
    except TraceError as error:
        raise TraceError(f"{path.name}: {error}{file_hint(path)}") from None
    source = _Source(path.name, table, dict(units or {}))
    source.check_overrides()
    drives, outputs = _names(drive), _names(output)
    clock, instants = _time(source, time, {*drives, *outputs})
    if not (drives or outputs):
        outputs = tuple(name for name in table.names if name != clock)
        if not outputs:
            raise TraceError(f"{path.name} has no column beside the time {clock!r}; nothing is recorded in it.")
    for name in (*drives, *outputs):
        source.require(name)
    constants = {name: source.scalar(name) for name in table.parameters} | dict(parameters or {})
    channels = {name: source.channel(name) for name in (*drives, *outputs)}
    trace = Trace(
        instants,
        {name: channels[name] for name in drives},
        {name: channels[name] for name in outputs},
        constants,
        {"time": "s"} | {name: source.symbol(name) for name in (*channels, *constants)},
        provenance=_provenance(path, reader, source, clock),
    )
    return trace if start is None and stop is None else trace.between(start, stop)


@dataclass(frozen=True)
class _Source:
    """A table with the name of its file and the caller's word on its units."""

    file: str
    table: Table
    overrides: dict[str, str] = field(default_factory=dict)

    def check_overrides(self) -> None:
        """Every override must name a column or a parameter; "time" may stand for the time column."""
        for name in self.overrides:
            if name != "time" and name not in self.table.parameters:
                self.require(name)

    def require(self, name: str) -> None:
        """Refuse an unknown name with the names there are."""
        names = self.table.names
        if name in names:
            return
        folded = {known.casefold(): known for known in names}
        near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
        hint = f" Did you mean {folded[near[0]]!r}?" if near else ""
        raise TraceError(f"{self.file} has no column {name!r}; its columns are: {', '.join(names)}.{hint}")

    def unit(self, name: str) -> str | None:
        """Unit text of a column or parameter: the caller's, else the file's, else None."""
        if name in self.overrides:
            return self.overrides[name]
        return self.table.unit_of(name) if name in self.table.names else self.table.parameter_units.get(name)

    def channel(self, name: str) -> Array:
        """A column in SI."""
        return self._convert(name, self.table.column(name))

    def scalar(self, name: str) -> float:
        """A parameter in SI."""
        return float(self._convert(name, np.float64(self.table.parameters[name])))

    def symbol(self, name: str) -> str:
        """SI symbol of a column or parameter, "" where no unit is known."""
        return parse_unit(self.unit(name) or "").symbol

    def _convert(self, name: str, values: Any) -> Array:
        text = self.unit(name)
        try:
            return parse_unit(text or "").to_si(values)
        except UnitError as error:
            raise UnitError(
                f"{self.file}, column {name!r}: {error} To say what it is, pass units={{{name!r}: 'mV'}}, "
                f"or units={{{name!r}: ''}} for a number without a unit."
            ) from None


def _reader(path: Path, name: str | None) -> Reader:
    """The reader of that name, or the first that knows the content."""
    head = _head(path)
    if name is not None:
        named = {reader.NAME: reader for reader in READERS}
        if name not in named:
            raise TraceError(f"there is no reader {name!r}; the readers are: {', '.join(named)}.")
        return named[name]
    if READERS[0].sniff(head):
        return READERS[0]
    foreign = describe(head)
    if foreign:
        raise TraceError(f"{path.name} is {foreign[0]}, which cannot be read yet. {foreign[1]}")
    for reader in READERS:
        if reader.sniff(head):
            return reader
    raise TraceError(
        f"{path.name} is in no format that is known here (it is binary); "
        f"the readers are: {', '.join(reader.NAME for reader in READERS)}. Export it as CSV or as .npz."
    )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        raise TraceError(f"there is no file {path}.") from None
    except IsADirectoryError:
        raise TraceError(f"{path} is a folder; name a file.") from None
    except (OSError, ValueError) as error:
        raise TraceError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}.") from None
    if not head.strip():
        raise TraceError(f"{path.name} is empty.")
    return head


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _time(source: _Source, time: str | float | None, taken: Iterable[str]) -> tuple[str | None, Array]:
    """The name of the time column, None if there is none, and the instants in seconds."""
    interval = _interval(source, time)
    if interval is not None:
        return None, interval * np.arange(source.table.rows, dtype=np.float64)
    name = _find_time(source, set(taken)) if time is None else str(time)
    source.require(name)
    if "time" in source.overrides:
        source.overrides[name] = source.overrides["time"]
    instants = source.channel(name)
    unit = source.unit(name)
    if unit is not None and not same_dimension(unit, "s"):
        raise UnitError(
            f"{source.file}: the time column {name!r} is in {unit!r}, which is no unit of time; "
            f"choose another column with time=, or correct it with units={{{name!r}: 's'}}."
        )
    return name, instants


def _interval(source: _Source, time: str | float | None) -> float | None:
    """The sample interval, if `time` is a number and not a name; the command line passes both as text."""
    if time is None or time in source.table.names:
        return None
    try:
        interval = float(time)
    except ValueError:
        return None
    if not (np.isfinite(interval) and interval > 0):
        raise TraceError(f"the sample interval is {time}; expected a positive number of seconds.")
    return interval


def _find_time(source: _Source, taken: set[str]) -> str:
    """The one column that is the time: called so, or the first column and in a unit of time."""
    names = [name for name in source.table.names if name not in taken and _may_be_time(source, name)]
    for pattern in (_EXACT_TIME.fullmatch, _WORD_TIME.search):
        found = [name for name in names if pattern(name.strip())]
        if len(found) == 1:
            return found[0]
        if found:
            raise TraceError(
                f"{source.file}: the columns {' and '.join(map(repr, found))} can each be the time; "
                f"say which: time={found[0]!r}."
            )
    first = source.table.names[0]
    unit = source.unit(first)
    if first in names and unit is not None and is_unit(unit):
        return first
    raise TraceError(
        f"{source.file} has no time column that can be recognised; its columns are: {', '.join(source.table.names)}. "
        f"Name it with time=, or pass the sample interval in seconds: time=1e-9.{pulse_hint(source.table.names)}"
    )


def _may_be_time(source: _Source, name: str) -> bool:
    """Whether nothing speaks against it; an unknown unit does not, so that it is reported and not passed over."""
    unit = source.unit(name)
    return unit is None or not is_unit(unit) or same_dimension(unit, "s")


def _provenance(path: Path, reader: Reader, source: _Source, clock: str | None) -> dict[str, Any]:
    table = source.table
    return {
        "file": path.name,
        "reader": reader.NAME,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "rows": table.rows,
        "time": clock,
        "raw_units": {name: source.unit(name) for name in (*table.names, *table.parameters)},
        "metadata": dict(table.metadata),
    }
