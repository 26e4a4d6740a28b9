"""`read_trace`: a measurement file in, a `Trace` in SI out."""

from __future__ import annotations

import difflib
import hashlib
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np

from ..errors import TraceError, TraceWarning, UnitError
from ..traces.trace import Trace, TraceSet
from ..typing import Array
from ..units import parse_unit, same_dimension
from .pulses.columns import PulseLayout
from .pulses.read import file_hint, pulse_hint, read_pulses, refuse_roles
from .readers import READERS, Reader, Table, frames, ovf, rohde_schwarz
from .readers.foreign import describe
from .readers.header import is_unit
from .readers.large import LARGE
from .readers.table import Part, Progress, SeveralParts, ticks

_HEAD = 4096
_END = 1 << 20
_EXACT_TIME = re.compile(r"t|times?|time ?stamps?", re.IGNORECASE)
_TEMPERATURE = re.compile(r"^T\d*$|temp", re.IGNORECASE)
#: What source-measure units and parameter analysers write where they have no value.
_SENTINELS = (9.9e37, 9.91e37, 1.99999e101, 1.99999e102)
_NUMBERED = re.compile(r"(?P<stem>.*?)[ _]?(?:\d+|[A-D])", re.IGNORECASE)
_EPOCH = 1e8  # seconds; three years are no recording
_WORD_TIME = re.compile(r"(?:^|[^a-z])time(?:$|[^a-z])", re.IGNORECASE)
#: What `time` says of a recording without times: its samples are numbered.
SAMPLE = "sample"
Source = str | Path | Any


@overload
def read_trace(
    path: Source,
    *,
    drive: str | Sequence[str] = (),
    output: str | Sequence[str] = (),
    parameters: Mapping[str, float] | None = None,
    time: str | float | None = None,
    start: float | None = None,
    stop: float | None = None,
    units: Mapping[str, str] | None = None,
    format: str | None = None,
    part: Part = None,
    pattern: str | None = None,
    progress: Progress = None,
    pulses: None = None,
) -> Trace: ...


@overload
def read_trace(
    path: Source,
    *,
    drive: str | Sequence[str] = (),
    output: str | Sequence[str] = (),
    parameters: Mapping[str, float] | None = None,
    time: str | float | None = None,
    start: float | None = None,
    stop: float | None = None,
    units: Mapping[str, str] | None = None,
    format: str | None = None,
    part: Part = None,
    pattern: str | None = None,
    progress: Progress = None,
    pulses: str | PulseLayout,
) -> TraceSet: ...


def read_trace(
    path: Source,
    *,
    drive: str | Sequence[str] = (),
    output: str | Sequence[str] = (),
    parameters: Mapping[str, float] | None = None,
    time: str | float | None = None,
    start: float | None = None,
    stop: float | None = None,
    units: Mapping[str, str] | None = None,
    format: str | None = None,  # noqa: A002 - the word that users look for
    part: Part = None,
    pattern: str | None = None,
    progress: Progress = None,
    pulses: str | PulseLayout | None = None,
) -> Trace | TraceSet:
    """One recording from a file whose format is recognised by its content.

    Args:
        path: A measurement file; `docs/formats.md` lists the formats. Also a frame of pandas, a dataset of xarray or a
            dictionary of arrays. A folder or a pattern (`"run*.csv"`) gives the `TraceSet` of `read_traces`, and one recording
            if it is a series of vector fields (OVF).
        drive: Names of the columns that drive the device.
        output: Names of the columns that the device answers with. If neither `drive` nor `output` is given, every
            column but the time becomes an output, or has the role that `write_trace` gave it.
        parameters: Constants of the recording in SI, added to those in the file; these go first.
        time: Name of the time column, or the sample interval [s] of a file without one, or "sample" to number the samples;
            found by itself if omitted.
        start: First instant to keep [s].
        stop: Last instant to keep [s].
        units: Units by column name, where the file names none or one that is not known: `units={"V": "mV"}`.
        format: Name of the reader, to pass over the recognition: "mumax", "delimited", "npz", ...
        part: Which recording of a file that holds several (sheet, group, segment, measurement), by name or number.
        pattern: Parameters in the names of files, "device{device}_{amplitude:mV}.csv"; see `read_traces`.
        progress: Takes a line about how far the reading of a large file is.
        pulses: For a memory device that was read pulse by pulse: "auto", a layout by name ("long", "up-down", "ramps") or a
            `PulseLayout`; see there. `drive`, `output`, `start` and `stop` have no place beside it.

    Returns:
        The recording in SI. `provenance` says from which file, which units the file gave, and what the instrument wrote.
        A sweep or a list without times runs over the number of its samples, from 0: `units["time"]` is then "" and
        `provenance["sampled_by"]` is "sample number".

        With `pulses`, a set with one trace for each device and cycle (`parameters`). `output` is the "conductance" ([S], or
        normalised), `drive` the number of "SET" and "RESET" pulses between a read and the next one, and their "voltage" [V]
        and "width" [s] where the file has them; `time` is the number of pulses received, or seconds where the file has a time
        or `time` is given.

    Raises:
        TraceError: the file cannot be read, has no such column, two that can be the time, or several recordings.
        UnitError: a unit is not known, or the time is not in a unit of time.
    """
    if pulses is not None:
        refuse_roles(drive, output, start, stop)
        return read_pulses(
            path, pulses, lambda file: _reader(file, format), parameters=parameters, time=time, units=units, part=part
        )
    if isinstance(path, str | Path) and (pattern is not None or _is_set(path)):
        from .read_many import read_traces

        several = read_traces(
            path,
            pattern=pattern,
            drive=drive,
            output=output,
            parameters=parameters,
            time=time,
            start=start,
            stop=stop,
            units=units,
            format=format,
            part=part,
            progress=progress,
        )
        return several if _is_set(path) else several[0]
    name, reader, table = _read(path, format, part, progress)
    source = _Source(name, table, dict(units or {}), isinstance(path, str | Path))
    source.check_overrides()
    drives, outputs = (tuple(map(source.resolve, _names(names))) for names in (drive, output))
    clock, instants, numbered = _time(source, time, {*drives, *outputs})
    if not (drives or outputs):
        drives = tuple(n for n in table.names if table.roles.get(n) == "drive" and n != clock)
        outputs = tuple(n for n in table.names if n != clock and n not in drives and not source.repeats(clock, n))
        if not (drives or outputs):
            raise TraceError(f"{name} has no column beside the time {clock!r}; nothing is recorded in it.")
    for column in (*drives, *outputs):
        source.require(column)
    constants = {each: source.scalar(each) for each in table.parameters} | dict(parameters or {})
    channels = {each: source.channel(each) for each in (*drives, *outputs)}
    for doubt in table.doubts:
        warnings.warn(f"{name}: {doubt}{'' if doubt.endswith('?') else '.'}", TraceWarning, stacklevel=2)
    trace = Trace(
        instants,
        {each: channels[each] for each in drives},
        {each: channels[each] for each in outputs},
        constants,
        {each: source.symbol(each) for each in (*channels, *constants)} | {"time": "" if numbered else "s"},
        {each: course for each, course in table.interpolation.items() if each in drives},
        provenance=_provenance(path, reader, source, clock, numbered),
    )
    return trace if start is None and stop is None else trace.between(start, stop)


def _read(path: Source, format_name: str | None, part: Part, progress: Progress) -> tuple[str, str, Table]:
    """What the source is called, the name of its reader, and its table."""
    if not isinstance(path, str | Path):
        if not frames.is_frame(path):
            raise TraceError(
                f"path is a {type(path).__name__}; expected the name of a file, a frame of pandas, a dataset of xarray or a "
                "dictionary of arrays."
            )
        return type(path).__name__, frames.NAME, frames.of(path, part)
    if series := _series(path):
        return str(path), ovf.NAME, ovf.read_series(series, progress)
    path = Path(path)
    reader = _reader(path, format_name)
    try:
        return path.name, reader.NAME, reader.read(path, part, progress)
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}.") from None
    except SeveralParts as error:
        raise SeveralParts(f"{path.name}: {error}", error.parts) from None
    except TraceError as error:
        raise TraceError(f"{path.name}: {error}{file_hint(path)}") from None


def _is_set(path: str | Path) -> bool:
    """Whether this is a folder or a pattern of files that are recordings of their own."""
    from .read_many import is_many

    return is_many(path) and not _series(path)


def _series(path: str | Path) -> list[Path]:
    """The vector fields of a folder or a pattern; empty for anything else."""
    from .read_many import files_of, is_many

    files = files_of(path) if is_many(path) else []
    return files if files and all(ovf.sniff(_head(file)) for file in files) else []


@dataclass(frozen=True)
class _Source:
    """A table with the name of its file and the caller's word on its units."""

    file: str
    table: Table
    overrides: dict[str, str] = field(default_factory=dict)
    from_file: bool = True

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

    def resolve(self, name: str) -> str:
        """The column of that name, or the only one that ends so behind a colon: "mx" is "Oxs_TimeDriver::mx"."""
        ends = [known for known in self.table.names if known.endswith(f":{name}")]
        return ends[0] if name not in self.table.names and len(ends) == 1 else name

    def refuse_second_clock(self, clock: str, names: Sequence[str]) -> None:
        """Refuse a file whose channels have times of their own, t1 and t2."""
        stem = _NUMBERED.fullmatch(clock.strip())
        unit = self.unit(clock)
        if stem is None or unit is None or not is_unit(unit) or not same_dimension(unit, "s"):
            return
        for name in names:
            other, text = _NUMBERED.fullmatch(name.strip()), self.unit(name)
            if name == clock or other is None or other["stem"] != stem["stem"] or text is None or not same_dimension(text, "s"):
                continue
            if not np.array_equal(self.table.column(clock), self.table.column(name), equal_nan=True):
                raise TraceError(
                    f"{self.file}: the columns {clock!r} and {name!r} can each be the time, and they differ; say which: "
                    f"time={clock!r}, and name the channels that belong to it with output=."
                )

    def repeats(self, clock: str | None, name: str) -> bool:
        """Whether a column holds the times once more, under the same name."""
        if clock is None or name.partition("#")[0] != clock.partition("#")[0]:
            return False
        return np.array_equal(self.table.column(clock), self.table.column(name), equal_nan=True)

    def unit(self, name: str) -> str | None:
        """Unit text of a column or parameter: the caller's, else the file's, else None."""
        if name in self.overrides:
            return self.overrides[name]
        unit = self.table.unit_of(name) if name in self.table.names else self.table.parameter_units.get(name)
        return "degC" if unit == "C" and _TEMPERATURE.search(name) else unit

    def channel(self, name: str) -> Array:
        """A column in SI; of a file read-only, so that the trace need not copy it."""
        values = self._convert(name, self._marked(name))
        held: Any = values if self.from_file else None
        while isinstance(held, np.ndarray):
            held.setflags(write=False)
            held = held.base
        return values

    def _marked(self, name: str) -> Array:
        """A column as the file has it, NaN where the instrument had no value."""
        values = self.table.column(name)
        if self.table.roles or np.nanmax(np.abs(values), initial=0.0) not in _SENTINELS:
            return values
        bad = np.isin(np.abs(values), _SENTINELS)
        warnings.warn(
            f"{self.file}: {int(bad.sum())} samples of {name!r} are {values[bad][0]:g}, by which instruments mark an "
            "overrange or a missing reading; they are NaN.",
            TraceWarning,
            stacklevel=4,
        )
        return np.where(bad, np.nan, values)

    def scalar(self, name: str) -> float:
        """A parameter in SI."""
        return float(self._convert(name, np.float64(self.table.parameters[name])))

    def symbol(self, name: str) -> str:
        """SI symbol of a column or parameter, "" where no unit is known."""
        return parse_unit(self.unit(name) or "").symbol

    def _convert(self, name: str, values: Any) -> Array:
        text = self.unit(name)
        example = "ms" if _EXACT_TIME.fullmatch(name.strip()) or _WORD_TIME.search(name) else "mV"
        try:
            return parse_unit(text or "").to_si(values)
        except UnitError as error:
            raise UnitError(
                f"{self.file}, column {name!r}: {error} To say what it is, pass units={{{name!r}: {example!r}}}, "
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
    if rohde_schwarz.companion(path) and path.name.casefold().endswith(".wfm.csv"):
        return rohde_schwarz  # its values have no mark of their own; the settings beside them have
    for reader in READERS[:-1]:
        if reader.sniff(head):
            return reader
    foreign = describe(head)
    if foreign:
        raise TraceError(f"{path.name} is {foreign[0]}, which cannot be read. {foreign[1]}")
    if READERS[-1].sniff(head):
        return READERS[-1]
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
        raise TraceError(f"{path} is a folder; name a file, or read all with read_traces.") from None
    except (OSError, ValueError) as error:
        raise TraceError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}.") from None
    if not head.strip():
        raise TraceError(f"{path.name} is empty.")
    return head


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _time(source: _Source, time: str | float | None, taken: set[str]) -> tuple[str | None, Array, bool]:
    """The name of the time column, None if there is none, the instants, and whether they number the samples."""
    interval = _interval(source, time)
    if interval is not None:
        return None, ticks(0.0, interval, source.table.rows), False
    if time == SAMPLE and SAMPLE not in source.table.names:
        return None, np.arange(source.table.rows, dtype=np.float64), True
    name = _find_time(source, taken) if time is None else source.resolve(str(time))
    if name is None:
        return None, np.arange(source.table.rows, dtype=np.float64), True
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
    if unit is None and time is None and abs(float(instants[0])) > _EPOCH:
        warnings.warn(
            f"{source.file}: the times begin at {instants[0]:.6g}, without a unit; taken as seconds that is a date. If "
            "they are "
            f"milliseconds or ticks of a clock, pass units={{'time': 'ms'}} or the sample interval, time=1e-9.",
            TraceWarning,
            stacklevel=3,
        )
    back = np.flatnonzero(np.diff(instants) < 0) if time is None and not source.table.roles else np.empty(0)
    if len(back):
        warnings.warn(
            f"{source.file}: the times run back {len(back)} times, first behind row {int(back[0]) + 1}; if it holds several "
            "recordings one behind the other, cut it into one file for each.",
            TraceWarning,
            stacklevel=3,
        )
    return name, instants, False


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


def _find_time(source: _Source, taken: set[str]) -> str | None:
    """The one column that is the time: by the rules of the format, called so, or the first and in a unit of time."""
    if source.table.time is not None and source.table.time not in taken:
        if source.table.time_doubt:
            warnings.warn(f"{source.file}: {source.table.time_doubt}.", TraceWarning, stacklevel=4)
        return source.table.time
    names = [name for name in source.table.names if name not in taken and _may_be_time(source, name)]
    for pattern in (_EXACT_TIME.fullmatch, _WORD_TIME.search):
        found = [name for name in names if pattern(name.strip())]
        if len(found) == 1:
            source.refuse_second_clock(found[0], names)
            return found[0]
        if found and all(source.repeats(found[0], name) for name in found):
            return found[0]
        if found:
            raise TraceError(
                f"{source.file}: the columns {' and '.join(map(repr, found))} can each be the time; "
                f"say which: time={found[0]!r}."
            )
    first = source.table.names[0]
    unit = source.unit(first)
    source.refuse_second_clock(first, names)
    if first in names and unit is not None and is_unit(unit):
        return first
    if source.table.rows == 1:
        return None
    other = [name for name in source.table.names if name not in names and _EXACT_TIME.fullmatch(name.strip())]
    reason = "".join(f"; {name!r} is in {source.unit(name)!r}, which is no unit of time" for name in other if name not in taken)
    warnings.warn(
        f"{source.file} has no time column that can be recognised (its columns are: "
        f"{', '.join(source.table.names)}{reason}), so "
        "the "
        "recording runs over the number of its samples. Pass time='sample' if that is meant, the name of a column with "
        "time=, or "
        f"the sample interval in seconds: time=1e-9.{pulse_hint(source.table.names)}",
        TraceWarning,
        stacklevel=4,
    )
    return None


def _may_be_time(source: _Source, name: str) -> bool:
    """Whether nothing speaks against it; an unknown unit does not, so that it is reported and not passed over."""
    unit = source.unit(name)
    return unit is None or not is_unit(unit) or same_dimension(unit, "s")


def _provenance(path: Source, reader: str, source: _Source, clock: str | None, numbered: bool) -> dict[str, Any]:
    table = source.table
    file = Path(path) if isinstance(path, str | Path) else None
    before = table.metadata.get("provenance")
    return {
        **(before if isinstance(before, dict) else {}),
        "file": source.file,
        "reader": reader,
        **(_digest(file) if file is not None and file.is_file() else {}),
        "rows": table.rows,
        "time": clock,
        **({"sampled_by": "sample number"} if numbered else {}),
        "raw_units": {name: source.unit(name) for name in (*table.names, *table.parameters)},
        "metadata": {key: value for key, value in table.metadata.items() if key != "provenance"},
    }


def _digest(path: Path) -> dict[str, Any]:
    """What tells the file from another: its size and SHA-256, of a large one that of its first and last megabyte."""
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if size <= LARGE:
            digest.update(file.read())
            return {"bytes": size, "sha256": digest.hexdigest()}
        digest.update(file.read(_END))
        file.seek(-_END, 2)
        digest.update(file.read(_END))
    return {"bytes": size, "sha256_of_ends": digest.hexdigest()}
