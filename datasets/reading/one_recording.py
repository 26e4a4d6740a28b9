"""One recording of one source, from its table to a `Trace` in SI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from ...errors import TraceError
from ...traces.read_order import READS, set_before_read
from ...traces.trace import Trace
from ...typing import Progress
from ..parsing import memory
from ..parsing.gzip_files import unpacked
from ..parsing.parts import Part, SeveralParts
from ..parsing.table import Table
from ..parsing.warn import warn_user
from ..pulses.hints import file_hint
from ..readers import choose_reader, series_reader
from .channels import SourceColumns
from .file_names import files_of, is_set_of_files
from .pairs import split_pairs
from .provenance import provenance_of
from .time_column import Times, find_times

#: The value of `missing=` that cuts a recording into stretches; `read_traces` does so.
SPLIT = "split"
#: A file, a folder or pattern whose files are one recording, or data in memory.
Source: TypeAlias = str | Path | Any


def read_one(
    source: Source,
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
    progress: Progress | None = None,
    missing: str = "refuse",
    reads: str = "before",
) -> Trace:
    """Read one recording; see `read_trace` for the arguments and what is raised.

    Raises:
        SeveralParts: the file contains several recordings, and no `part`.
        TraceError: the file cannot be read, has no such column, or two that can be the time.
        UnitError: a unit is not known, or the time is not in a unit of time.
    """
    name, reader, table = _read_table(source, format, part, progress)
    is_file = isinstance(source, str | Path)
    if time is None:
        try:
            table = split_pairs(table, part, (*_names(drive), *_names(output)), units or {})
        except SeveralParts as error:
            raise error.in_file(name) from None
    columns = SourceColumns(name, table, {}, is_file)
    columns = replace(columns, units={columns.resolve(each): unit for each, unit in (units or {}).items()})
    columns.check_units()
    drives, outputs = (tuple(map(columns.resolve, _names(names))) for names in (drive, output))
    times = find_times(columns, time, {*drives, *outputs})
    if not (drives or outputs):
        drives, outputs = _default_roles(columns, times)
    for column in (*drives, *outputs):
        columns.require(column)
    columns.check_known_units((*drives, *outputs, *table.parameters))
    constants = {each: columns.parameter(each) for each in table.parameters} | dict(parameters or {})
    channels = {each: columns.channel(each) for each in (*drives, *outputs)}
    for doubt in table.doubts:
        warn_user(f"{name}: {doubt}{'' if doubt.endswith('?') else '.'}")
    time_unit = "" if times.are_sample_numbers else "s"
    trace = Trace(
        times.values,
        {each: channels[each] for each in drives},
        {each: channels[each] for each in outputs},
        constants,
        {each: columns.symbol(each) for each in (*channels, *constants)} | {"time": time_unit},
        {each: kind for each, kind in table.interpolation.items() if each in drives},
        provenance=provenance_of(Path(source) if is_file else None, reader, columns, times),
        missing="refuse" if missing == SPLIT else missing,
    )
    if missing == "mask":
        trace = trace.masked()  # infinite values are missing as well
    if reads not in READS:
        raise TraceError(
            f"reads is {reads!r}; expected 'before' or 'after': outputs read before or after the drive of their row."
        )
    if reads == "after":
        trace = set_before_read(trace)
    return trace if start is None and stop is None else trace.between(start, stop)


def _default_roles(columns: SourceColumns, times: Times) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return drives and outputs as the file names them; without roles in the file, every column but the time is an output."""
    table = columns.table
    drives = tuple(name for name in table.names if table.roles.get(name) == "drive" and name != times.column)
    outputs = tuple(
        name
        for name in table.names
        if name not in (times.column, times.replaced, *drives) and not columns.repeats(times.column, name)
    )
    if not (drives or outputs):
        reasons = "".join(f" {name!r} was left out: {reason}." for name, reason in table.left_out.items())
        raise TraceError(
            f"{columns.source} has no column besides the time {times.column!r}; nothing is recorded in it.{reasons}"
        )
    return drives, outputs


def _read_table(source: Source, format_name: str | None, part: Part, progress: Progress | None) -> tuple[str, str, Table]:
    """Return the name of the source, the name of its reader, and its table."""
    if not isinstance(source, str | Path):
        if not memory.is_data_in_memory(source):
            raise TraceError(
                f"path is of type {type(source).__name__}; expected the name of a file, a frame of pandas, a dataset of xarray "
                "or a dictionary of arrays."
            )
        return type(source).__name__, memory.NAME, memory.table_from_memory(source, part)
    if is_set_of_files(source):
        files = files_of(source)
        series = series_reader(files)
        if series is not None and series.read_series is not None:
            return str(source), series.name, series.read_series(files, progress)
    path = Path(source)
    with unpacked(path) as file:
        reader = choose_reader(file, format_name)
        try:
            return path.name, reader.name, reader.read(file, part, progress)
        except OSError as error:
            raise TraceError(f"{path} cannot be read: {error.strerror or error}.") from None
        except SeveralParts as error:
            raise error.in_file(path.name) from None
        except TraceError as error:
            raise TraceError(f"{path.name}: {error}{file_hint(path)}") from None


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
