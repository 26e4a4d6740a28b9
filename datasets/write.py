"""`write_csv`: a trace to delimited text that `read_trace` reads back exactly."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from ..errors import TraceError
from ..files import write_atomically
from ..trace import Trace


def write_csv(path: str | Path, trace: Trace) -> None:
    """Write time, drives and outputs as columns with their SI units, and parameters as comments.

    The header is `time (s),V (V),m ()`; numbers have all the digits of float64. The file appears whole or not at all.

    Raises:
        TraceError: the place cannot be written, or a channel is called "time" as well.
    """
    if "time" in trace.channels:
        raise TraceError("a channel is called 'time', like the column of the instants; give it another name.")
    text = io.StringIO(newline="")
    for name, value in trace.parameters.items():
        text.write(f"# parameter {_header(trace, name)} = {value!r}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["time (s)", *(_header(trace, name) for name in trace.channels)])
    writer.writerows(_rows(trace))
    write_atomically(path, text.getvalue().encode())


def _header(trace: Trace, name: str) -> str:
    # One line per row: a line break inside a name would make two of it.
    return f"{' '.join(name.split())} ({trace.units.get(name, '')})"


def _rows(trace: Trace) -> Iterator[tuple[str, ...]]:
    columns = (trace.time, *trace.channels.values())
    return zip(*(map(repr, column.tolist()) for column in columns), strict=True)
