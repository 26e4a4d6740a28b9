"""Recordings of memory devices pulse by pulse: the implementation of `read_trace(..., pulses=...)`."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConfigError, TraceError, UnitError
from ...traces.trace import TraceSet
from ..parsing.gzip_files import unpacked
from ..parsing.parts import Part
from ..parsing.reader import Reader
from ..parsing.warn import warn_user
from ..readers import choose_reader
from ..reading.file_names import files_of, is_set_of_files
from .behaviour import contradictions
from .columns import UNITS, PulseColumns, find_roles
from .delimited import parse_pulse_table
from .hints import is_set_and_reset, pulse_hint
from .layout import PulseLayout
from .polarity import voltage_signs
from .reads import Reads
from .registry import LayoutReader, all_layouts
from .table import PulseTable

# Information about a file that a caller can give besides the names of its columns.
_GIVEN = ("polarity", "read_voltage", "conductance_unit")


def read_pulses(
    path: str | Path,
    pulses: str | PulseLayout,
    *,
    format: str | None = None,  # noqa: A002 - the word that users look for
    parameters: Mapping[str, float] | None = None,
    time: str | float | None = None,
    units: Mapping[str, str] | None = None,
    part: Part = None,
    signs: frozenset[float] = frozenset(),
) -> TraceSet:
    """Read one trace for each device and cycle of a pulse file; see `read_trace`.

    Args:
        path: A file of any format with columns, perhaps packed by gzip; or a folder or pattern of such files.
        pulses: How the file is built.
        format: Name of the reader; recognised if omitted.
        parameters: Constants of all recordings in SI; "device" and "cycle" number those of a file that contains one.
        time: Name of the time column, or the interval [s] from read to read.
        units: Units by column name.
        part: Which sheet or group, of a file that contains several.
        signs: Signs of the voltages in all files that are read together, from `signs_of_voltages`.

    Raises:
        TraceError: the file cannot be read, or not as pulses.
        UnitError: a unit is not known, or of another kind than expected.
        ConfigError: `pulses` is not a layout.
    """
    path = Path(path)
    layout = PulseLayout(pulses) if isinstance(pulses, str) else pulses
    if not isinstance(layout, PulseLayout):
        raise ConfigError(f"pulses is of type {type(pulses).__name__}; expected the name of a layout or a PulseLayout.")
    if is_set_of_files(path):
        files = files_of(path)
        options: dict[str, Any] = {"format": format, "parameters": parameters, "time": time, "units": units, "part": part}
        signs |= signs_of_voltages(files, layout, format=format, units=units, part=part)
        return TraceSet([trace for file in files for trace in read_pulses(file, layout, **options, signs=signs)])
    with unpacked(path) as file:
        reader = choose_reader(file, format)
        try:
            columns = PulseColumns(_read_table(reader, file, part), layout, dict(units or {}), signs=signs)
            columns.check_units()
            layout_reader = _choose_layout(columns)
            reads = layout_reader.read(columns, _name_or_interval(columns, time))
            _refuse_unused_read_voltage(columns)
            columns.doubts += [sentence.rstrip("?") + "?" for sentence in contradictions(reads)]
            if doubt := columns.table.doubt_about_last_line():
                columns.doubts.append(doubt)
            constants, symbols = columns.constants()
            constants |= dict(parameters or {})
            reads = _with_given_numbers(reads, constants)
            provenance = _provenance(path, reader, layout_reader, columns, reads, time)
            traces = reads.traces(constants, symbols, provenance, columns.doubts)
        except OSError as error:
            raise TraceError(f"{path} cannot be read: {error.strerror or error}.") from None
        except (TraceError, UnitError) as error:
            raise type(error)(f"{path.name}: {error}") from None
    for doubt in columns.doubts:
        warn_user(f"{path.name}: {doubt}{'' if doubt.endswith('?') else '.'}")
    return traces


def signs_of_voltages(
    paths: Sequence[str | Path],
    layout: PulseLayout,
    *,
    format: str | None = None,  # noqa: A002 - the word that users look for
    units: Mapping[str, str] | None = None,
    part: Part = None,
) -> frozenset[float]:
    """Return the signs that the voltages of the pulses have in any of some files, of -1 and 1.

    Files that cannot be read, or have directions or no voltages, have none; an error is reported when they are read.
    """
    found: frozenset[float] = frozenset()
    for path in map(Path, paths):
        with contextlib.suppress(TraceError, UnitError, OSError), unpacked(path) as file:
            columns = PulseColumns(_read_table(choose_reader(file, format), file, part), layout, dict(units or {}))
            roles = find_roles(columns.table, layout) if columns.table.headed else {}
            if "voltage" in roles and "direction" not in roles:
                found |= voltage_signs(columns.table.columns([roles["voltage"]], [])[0][roles["voltage"]])
    return found


def _refuse_unused_read_voltage(columns: PulseColumns) -> None:
    voltage = columns.layout.read_voltage
    if voltage is not None and not columns.read_voltage_is_used:
        raise TraceError(
            f"read_voltage is {voltage:g}, but the reads are not currents, so that it is not used; leave it out, or give the "
            "unit of the reads (conductance_unit='uA'), or name their column (columns={'current': ...})."
        )


def refuse_roles(drive: str | Sequence[str], output: str | Sequence[str], start: float | None, stop: float | None) -> None:
    """Refuse the arguments of `read_trace` that cannot be given with `pulses`.

    Raises:
        TraceError: one of them is given.
    """
    for name, value in (("drive", drive), ("output", output)):
        if value:
            raise TraceError(
                f"{name}={value!r} cannot be given with pulses=: the drives are the pulses and the output is the conductance. "
                "Name columns with pulses=PulseLayout(columns={'conductance': ...})."
            )
    if start is not None or stop is not None:
        raise TraceError("start and stop cannot be given with pulses=; cut the traces afterwards, with `Trace.between`.")


def _read_table(reader: Reader, file: Path, part: Part) -> PulseTable:
    """Return the columns of a file; those of text may contain words."""
    if reader.read_text is not None:
        return parse_pulse_table(reader.read_text(file, part))
    return PulseTable.from_table(reader.read(file, part, None))


def _choose_layout(columns: PulseColumns) -> LayoutReader:
    """Return the layout that the caller named, or the first that recognises the columns.

    Raises:
        TraceError: no layout recognises them.
    """
    layouts = all_layouts()
    if columns.layout.layout != "auto":
        return layouts[columns.layout.layout]
    for layout in layouts.values():
        if layout.recognise is not None and layout.recognise(columns):
            if layout.assumption and not columns.table.headed:
                columns.assumed.append(layout.assumption)
                advice = f"pass pulses={layout.name!r} if that is right, or the right layout"
                columns.doubts.append(f"{layout.assumption}; {advice}")
            columns.layout = replace(columns.layout, layout=layout.name)
            return layout
    table = columns.table
    names = ", ".join(table.names[:10]) + (", ..." if len(table.names) > 10 else "")
    if table.headed and is_set_and_reset(table.names):
        raise TraceError(f"the columns ({names}) do not show how the pulses are laid out.{pulse_hint(table.names)}")
    raise TraceError(
        f"the columns ({names}) do not show how the pulses are laid out. Pass pulses='up-down' for two columns, reads after "
        "SET and after RESET pulses; pulses=PulseLayout(layout='ramps', polarity='SET') for a column for each ramp; "
        "pulses=PulseLayout(layout='long', columns={'device': ..., 'pulse': ..., 'direction': ..., 'conductance': ...}) for a "
        "row for each read."
    )


def _name_or_interval(columns: PulseColumns, time: str | float | None) -> str | float | None:
    """Return the name of the time column, or the interval from read to read; the command line passes both as text."""
    if time is None or time in columns.table.names:
        return time
    try:
        interval = float(time)
    except ValueError:
        return time
    if not (np.isfinite(interval) and interval > 0):
        raise TraceError(f"the interval from read to read is {time}; expected a positive number of seconds.")
    return interval


def _with_given_numbers(reads: Reads, constants: Mapping[str, float]) -> Reads:
    """Return the reads with the device and cycle that the constants name, for a file of one device or cycle."""
    for role in ("device", "cycle"):
        if role not in constants:
            continue
        numbers = getattr(reads, role)
        count = len(np.unique(numbers))
        if count > 1:
            raise TraceError(
                f"the parameter {role!r} is {constants[role]:g}, but the file contains {count} of them; leave it out."
            )
        changes: dict[str, Any] = {role: np.full(len(numbers), float(constants[role]))}
        reads = replace(reads, **changes)
    return reads


def _provenance(
    path: Path, reader: Reader, layout_reader: LayoutReader, columns: PulseColumns, reads: Reads, time: str | float | None
) -> dict[str, Any]:
    table, layout = columns.table, columns.layout
    roles = find_roles(table, layout) if layout_reader.has_roles else {}
    role_of_column = {name: role for role, name in roles.items() if role in UNITS}
    return {
        "file": path.name,
        "reader": reader.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "rows": table.rows,
        "time": None if reads.time is None else roles.get("time") if time is None else time,
        "raw_units": {name: columns.unit(name, role_of_column.get(name, "")) for name in table.names},
        "metadata": dict(table.metadata),
        "layout": layout.layout,
        "columns": roles,
        "given": {name: value for name in _GIVEN if (value := getattr(layout, name)) is not None},
        "assumed": list(dict.fromkeys(columns.assumed)),
    }
