"""`write_csv`: a trace to delimited text that `read_trace` reads back exactly."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import TraceError
from ..trace import Trace


def write_csv(path: str | Path, trace: Trace) -> None:
    """Write time, drives and outputs as columns with their SI units, and parameters as comments.

    The header is `time (s),V (V),m ()`; numbers have all the digits of float64. The file appears whole or not at all.

    Raises:
        TraceError: the place cannot be written, or a channel is called "time" as well.
    """
    if "time" in trace.channels:
        raise TraceError("a channel is called 'time', like the column of the instants; give it another name.")
    path = Path(path)
    try:
        _write_whole(path, trace)
    except OSError as error:
        raise TraceError(f"{path} cannot be written: {error.strerror or error}.") from None


def _write_whole(path: Path, trace: Trace) -> None:
    # In the same folder, since only there a rename is one step that cannot be half done.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("x", encoding="utf-8", newline="") as file:
            for name, value in trace.parameters.items():
                file.write(f"# parameter {_header(trace, name)} = {value!r}\n")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["time (s)", *(_header(trace, name) for name in trace.channels)])
            writer.writerows(_rows(trace))
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _header(trace: Trace, name: str) -> str:
    # One line per row: a line break inside a name would make two of it.
    return f"{' '.join(name.split())} ({trace.units.get(name, '')})"


def _rows(trace: Trace) -> Iterator[tuple[str, ...]]:
    columns = (trace.time, *trace.channels.values())
    return zip(*(map(repr, column.tolist()) for column in columns), strict=True)
