"""Recordings of memory devices pulse by pulse: what `read_trace(..., pulses=...)` does."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConfigError, TraceError, TraceWarning, UnitError
from ...traces.trace import TraceSet
from ..readers import Reader, delimited, excel
from ..readers.table import Part
from .columns import UNITS, PulseLayout, Quantities, find_roles, role_of
from .long import read_long
from .polarity import sign_of
from .ramps import read_ramps, read_up_down
from .reads import Reads
from .table import PulseTable
from .text import first_header, read_words

_GZIP = b"\x1f\x8b"
_HEAD = 4096
# What a caller says about a file besides the names of its columns.
_GIVEN = ("polarity", "read_voltage", "conductance_unit")


def read_pulses(
    path: str | Path,
    pulses: str | PulseLayout,
    reader_of: Callable[[Path], Reader],
    *,
    parameters: Mapping[str, float] | None = None,
    time: str | float | None = None,
    units: Mapping[str, str] | None = None,
    part: Part = None,
) -> TraceSet:
    """One trace for each device and cycle of a pulse file, see `read_trace`.

    Args:
        path: Delimited text or a NumPy .npz file, either of them perhaps packed by gzip.
        pulses: How the file is built.
        reader_of: The reader for a file.
        parameters: Constants of all recordings in SI; "device" and "cycle" number those of a file that holds one.
        time: Name of the time column, or the interval [s] from read to read.
        units: Units by column name.
        part: Which sheet or group, of a file that holds several.

    Raises:
        TraceError: the file cannot be read, or not as pulses.
        UnitError: a unit is not known, or of another kind than expected.
        ConfigError: `pulses` is no layout.
    """
    path = Path(path)
    layout = PulseLayout(pulses) if isinstance(pulses, str) else pulses
    if not isinstance(layout, PulseLayout):
        raise ConfigError(f"pulses is a {type(pulses).__name__}; expected the name of a layout or a PulseLayout.")
    with _unpacked(path, part) as file:
        reader = reader_of(file)
        try:
            table = read_words(file) if reader is delimited else PulseTable.of(reader.read(file, part))
            found = Quantities(table, layout, dict(units or {}))
            found.check_overrides()
            found.layout = _decided(found)
            reads = _reads(found, time)
            if cut := table.cut():
                found.doubts.append(cut)
            constants, symbols = found.constants()
            constants |= dict(parameters or {})
            reads = _numbered(reads, constants)
            traces = reads.traces(constants, symbols, _provenance(path, reader, found, reads, time), found.doubts)
        except OSError as error:
            raise TraceError(f"{path} cannot be read: {error.strerror or error}.") from None
        except (TraceError, UnitError) as error:
            raise type(error)(f"{path.name}: {error}") from None
    for doubt in found.doubts:
        warnings.warn(f"{path.name}: {doubt}.", TraceWarning, stacklevel=3)  # the caller of `read_trace`
    return traces


def refuse_roles(drive: str | Sequence[str], output: str | Sequence[str], start: float | None, stop: float | None) -> None:
    """Refuse the arguments of `read_trace` that have no place beside `pulses`.

    Raises:
        TraceError: one of them is given.
    """
    for name, value in (("drive", drive), ("output", output)):
        if value:
            raise TraceError(
                f"{name}={value!r} has no place beside pulses=: the drives are the pulses and the output is the conductance. "
                "Name columns with pulses=PulseLayout(columns={'conductance': ...})."
            )
    if start is not None or stop is not None:
        raise TraceError("start and stop have no place beside pulses=; cut the traces afterwards, with `Trace.between`.")


def pulse_hint(names: Sequence[str]) -> str:
    """Advice for a file that could not be read as one recording, if its columns are those of pulses; else empty."""
    roles = {role_of(name)[0] for name in names}
    if _two_branches(names):
        return (
            f" The names {names[0]!r} and {names[1]!r} look like reads after SET and reads after RESET pulses: pass "
            "pulses='up-down' if they are, or pulses=PulseLayout(layout='ramps', polarity='SET') for ramps of one polarity."
        )
    if not roles & {"conductance", "resistance", "current"} or not roles & {"pulse", "direction"}:
        return ""
    return (
        ' Its columns are those of a memory device read pulse by pulse: pass pulses="auto" (or the layout by name: "long", '
        '"up-down", "ramps") for a TraceSet with one trace for each device and cycle.'
    )


def _two_branches(names: Sequence[str]) -> bool:
    """Whether a file has two columns that are called like the two polarities."""
    return len(names) == 2 and [sign_of(name) for name in names] in ([1.0, -1.0], [-1.0, 1.0])


def file_hint(path: Path) -> str:
    """`pulse_hint` for a file whose rows could not be read."""
    try:
        with path.open("rb") as file:
            return pulse_hint(first_header(file.read(_HEAD)))
    except OSError:
        return ""


@contextlib.contextmanager
def _unpacked(path: Path, part: Part) -> Iterator[Path]:
    """The file, or what gzip packed in it, or a sheet of a workbook as text."""
    head = b""
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:  # the reader says what is wrong with the path
        head = file.read(_HEAD)
    if excel.sniff(head):
        with tempfile.TemporaryDirectory() as folder:
            sheet = Path(folder) / f"{path.stem}.txt"
            try:
                sheet.write_text("\n".join(excel.lines_of(path, part)) + "\n", encoding="utf-8")
            except TraceError as error:
                raise TraceError(f"{path.name}: {error}") from None
            yield sheet
        return
    if not head.startswith(_GZIP):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / (path.name.removesuffix(".gz") or "unpacked")
        try:
            with gzip.open(path) as packed, plain.open("wb") as out:
                shutil.copyfileobj(packed, out)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise TraceError(f"{path.name}: the gzip archive is damaged or cut off ({error}); copy the file again.") from None
        yield plain


def _decided(found: Quantities) -> PulseLayout:
    """The layout by name, where it was left open.

    Raises:
        TraceError: the columns tell none.
    """
    layout = found.layout
    if layout.layout != "auto":
        return layout
    roles = {role_of(name)[0] for name in found.table.names} if found.table.headed else set()
    reads = roles & {"conductance", "resistance", "current"}
    if layout.columns or (reads and roles - reads - {None, "read_voltage"}) or {"pulse", "direction"} <= roles:
        return replace(layout, layout="long")
    if not found.table.headed and len(found.table.names) == 2 and layout.polarity is None:
        found.doubts.append(
            "two columns without a header are taken as reads after SET pulses and reads after RESET pulses; "
            "pass pulses='up-down' if that is right, or the right layout"
        )
        found.assumed.append("two columns without a header: reads after SET pulses, and reads after RESET pulses")
        return replace(layout, layout="up-down")
    names = ", ".join(found.table.names[:10]) + (", ..." if len(found.table.names) > 10 else "")
    if found.table.headed and _two_branches(found.table.names):
        raise TraceError(f"the columns ({names}) do not tell how the pulses are laid out.{pulse_hint(found.table.names)}")
    raise TraceError(
        f"the columns ({names}) do not tell how the pulses are laid out. Say it: pulses='up-down' for two columns, reads after "
        "SET and after RESET pulses; pulses=PulseLayout(layout='ramps', polarity='SET') for a column for each ramp; "
        "pulses=PulseLayout(layout='long', columns={'device': ..., 'pulse': ..., 'direction': ..., 'conductance': ...}) for a "
        "row for each read."
    )


def _reads(found: Quantities, time: str | float | None) -> Reads:
    """The reads by the layout."""
    interval = None
    if time is not None and time not in found.table.names:
        with contextlib.suppress(ValueError):  # a name; the command line passes numbers as text as well
            interval = float(time)
        if interval is not None and not (np.isfinite(interval) and interval > 0):
            raise TraceError(f"the interval from read to read is {time}; expected a positive number of seconds.")
    if found.layout.layout == "long":
        return read_long(found, time if interval is None else interval)
    if time is not None and interval is None:
        raise TraceError(f"time={time!r}: ramps have no column of instants; pass the interval from read to read in seconds.")
    return read_up_down(found, interval) if found.layout.layout == "up-down" else read_ramps(found, interval)


def _numbered(reads: Reads, constants: Mapping[str, float]) -> Reads:
    """The reads with the device and cycle that the constants name, for a file of one device or cycle."""
    for role in ("device", "cycle"):
        if role not in constants:
            continue
        values = getattr(reads, role)
        if len(np.unique(values)) > 1:
            count = len(np.unique(values))
            raise TraceError(
                f"the parameter {role!r} is {constants[role]:g}, but the file holds {count} of them; leave it out."
            )
        given: dict[str, Any] = {role: np.full(len(values), float(constants[role]))}
        reads = replace(reads, **given)
    return reads


def _provenance(path: Path, reader: Reader, found: Quantities, reads: Reads, time: str | float | None) -> dict[str, Any]:
    table, layout = found.table, found.layout
    roles = find_roles(table, layout) if layout.layout == "long" else {}
    meant = {name: role for role, name in roles.items() if role in UNITS}
    clock = None if reads.time is None else (time if isinstance(time, str) else roles.get("time")) if time is None else time
    return {
        "file": path.name,
        "reader": reader.NAME,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "rows": table.rows,
        "time": clock,
        "raw_units": {name: found.unit(name, meant.get(name, "")) for name in table.names},
        "metadata": dict(table.metadata),
        "layout": layout.layout,
        "columns": roles,
        "given": {name: value for name in _GIVEN if (value := getattr(layout, name)) is not None},
        "assumed": list(dict.fromkeys(found.assumed)),
    }
