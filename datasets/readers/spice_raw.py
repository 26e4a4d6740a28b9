"""Results of SPICE (.raw): ngspice and LTspice, in text and binary, with complex values and with steps.

The header has `Plotname`, `Flags`, `No. Variables`, `No. Points` and `Variables`; values follow `Values:` or `Binary:`. ngspice
writes float64, LTspice float64 for the time and float32 for the others unless the flag `double` is set, and the header in
UTF-16. A step, where the time begins again, is a recording; so is each plot of a file.

Source: ngspice manual, "Raw file format"; LTspice writes the sign of some times as a mark, which is removed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import TraceError
from ...typing import Array, Progress
from ..parsing.grid import parse_number, parse_whole_number
from ..parsing.libraries import translated_errors
from ..parsing.parts import Part, choose_part
from ..parsing.reader import register_reader
from ..parsing.table import Table

_HEAD = re.compile(rb"(?:Title|Date|Plotname) *:", re.IGNORECASE)
_MARK = b"\xef\xbb\xbf"
_DATA = re.compile(rb"(?<![^\r\n])(Values|Binary):[ \t]*(?:\r\n?|\n)", re.IGNORECASE)
# The same in UTF-16.
_DATA_16 = re.compile(
    rb"(" + b"|".join(word.encode("utf-16-le") for word in ("Values", "Binary")) + rb"):\x00(?:\r\x00)?\n\x00", re.IGNORECASE
)
_UNITS = {"time": "s", "voltage": "V", "current": "A", "frequency": "Hz", "device_current": "A", "subckt_current": "A"}
_MAX_VARIABLES = 20_000


@dataclass
class _Plot:
    title: str
    names: list[str]
    units: list[str | None]
    columns: list[Array]
    header: dict[str, str]

    def describe(self) -> str:
        return f"{len(self.columns[0])} rows of {', '.join(self.names[:6])}"


def sniff(head: bytes) -> bool:
    """Return True if the file begins with the header of a raw file."""
    head = head.removeprefix(_MARK)
    plain = head[::2] if head[1:2] == b"\0" else head
    return bool(_HEAD.match(plain)) and re.search(rb"(?:Plotname|No\. Variables) *:", plain[:2000], re.IGNORECASE) is not None


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the variables of a plot, or of a step of it.

    Raises:
        SeveralParts: several plots or steps, and no `part`.
        TraceError: a header without its numbers, or fewer values than it gives.
    """
    data = path.read_bytes().removeprefix(_MARK)
    with translated_errors("SPICE raw file"):
        plots = _plots(data)
    parts: dict[str, _Plot] = {}
    for plot in plots:
        steps = _steps(plot)
        for number, step in enumerate(steps, start=1):
            name = plot.title if len(steps) == 1 else f"step {number}" if len(plots) == 1 else f"{plot.title}, step {number}"
            parts[name if name not in parts else f"{name} #{len(parts) + 1}"] = step
    chosen = choose_part(parts, part, _Plot.describe)
    is_time = chosen.names[0].casefold() == "time"
    return Table(
        tuple(chosen.names),
        tuple(chosen.columns),
        tuple(chosen.units),
        metadata={"header": chosen.header},
        time=chosen.names[0] if is_time else None,
    )


def _plots(data: bytes) -> list[_Plot]:
    wide = data[1:2] == b"\0"
    marks, position, plots = (_DATA_16 if wide else _DATA), 0, []
    while mark := marks.search(data, position):
        text = data[position : mark.start()].decode("utf-16-le" if wide else "latin-1", errors="replace")
        binary = b"B" in mark[1][:2].upper()
        plot, position = _plot(data, mark.end(), text, binary=binary, wide=wide)
        plots.append(plot)
        while data[position : position + 1] in (b"\n", b"\r") and position < len(data):
            position += 1
    if not plots:
        raise TraceError("the raw file has no line 'Values:' or 'Binary:'; was it cut off?")
    return plots


def _plot(data: bytes, start: int, text: str, *, binary: bool, wide: bool) -> tuple[_Plot, int]:
    """Return a plot and the position of its end."""
    header, names, kinds = _header(text)
    count, rows = len(names), parse_whole_number(header.get("no. points", ""))
    if rows is None or not 0 < rows < 10**9 or count != parse_whole_number(header.get("no. variables", "")):
        raise TraceError(f"its header gives {header.get('no. variables')} variables and {header.get('no. points')} points.")
    flags = header.get("flags", "").casefold().split()
    is_complex = "complex" in flags
    if binary:
        values, end = _binary(data, start, rows, count, flags, is_complex=is_complex, ltspice=wide)
    else:
        values, end = _text(data, start, rows, count, is_complex=is_complex, wide=wide)
    units = [_UNITS.get(kind.casefold()) for kind in kinds]
    columns: list[Array] = []
    titles, symbols = [], []
    for index, name in enumerate(names):
        column = values[:, index]
        if index == 0 or not is_complex:
            real = np.asarray(column.real, dtype=np.float64)
            columns.append(np.abs(real) if index == 0 and name.casefold() == "time" else real)
            titles.append(name)
            symbols.append(units[index])
        else:
            columns += [np.asarray(column.real, dtype=np.float64), np.asarray(column.imag, dtype=np.float64)]
            titles += [f"{name}.re", f"{name}.im"]
            symbols += [units[index]] * 2
    return _Plot(header.get("plotname", "plot") or "plot", titles, symbols, columns, header), end


def _header(text: str) -> tuple[dict[str, str], list[str], list[str]]:
    header: dict[str, str] = {}
    names: list[str] = []
    kinds: list[str] = []
    in_variables = False
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        cells = line.split()
        if in_variables and len(cells) >= 3 and cells[0].isdigit():
            names.append(cells[1])
            kinds.append(cells[2])
        elif colon and key.strip().casefold() == "variables":
            in_variables = True
            cells = value.split()
            if len(cells) >= 3 and cells[0].isdigit():  # the first variable on the same line, as older versions write it
                names.append(cells[1])
                kinds.append(cells[2])
        elif colon:
            header[key.strip().casefold()] = value.strip()
        if len(names) > _MAX_VARIABLES:
            raise TraceError("the header names more variables than a circuit has; is the file damaged?")
    if not names:
        raise TraceError("the header names no variables; is the file damaged?")
    return header, names, kinds


def _binary(
    data: bytes, start: int, rows: int, count: int, flags: list[str], *, is_complex: bool, ltspice: bool
) -> tuple[np.ndarray, int]:
    single = ltspice and not is_complex and "double" not in flags
    size = rows * (16 * count if is_complex else 8 + 4 * (count - 1) if single else 8 * count)
    if len(data) - start < size:
        raise TraceError(
            f"the plot has {len(data) - start} bytes of values, but its header gives {size}; was the file cut off?"
        )
    if is_complex:
        values = np.frombuffer(data, "<c16", rows * count, start)
        return (values.reshape(count, rows).T if "fastaccess" in flags else values.reshape(rows, count)), start + size
    if not single:
        values = np.frombuffer(data, "<f8", rows * count, start)
        return (values.reshape(count, rows).T if "fastaccess" in flags else values.reshape(rows, count)), start + size
    if "fastaccess" in flags:
        first = np.frombuffer(data, "<f8", rows, start)
        others = np.frombuffer(data, "<f4", rows * (count - 1), start + 8 * rows).reshape(count - 1, rows)
        return np.column_stack([first, *others.astype(np.float64)]), start + size
    records = np.frombuffer(data, np.dtype([("x", "<f8"), ("y", "<f4", (count - 1,))]), rows, start)
    return np.column_stack([records["x"], records["y"].astype(np.float64)]), start + size


def _text(data: bytes, start: int, rows: int, count: int, *, is_complex: bool, wide: bool) -> tuple[np.ndarray, int]:
    """Return the values of a plot in text: for each point its number, and a value for each variable."""
    following = _next_plot(data, start, wide=wide)
    words = data[start:following].decode("utf-16-le" if wide else "latin-1", errors="replace").split()
    if len(words) < rows * (count + 1):
        raise TraceError(f"the plot has {len(words)} numbers, but its header gives {rows * (count + 1)}; was the file cut off?")
    table = np.array(words[: rows * (count + 1)], dtype=object).reshape(rows, count + 1)[:, 1:]
    values: np.ndarray = np.empty((rows, count), dtype=np.complex128)
    for index, word in np.ndenumerate(table):
        parts = [parse_number(each) for each in str(word).split(",")]
        if any(value is None for value in parts) or len(parts) > 2:
            raise TraceError(f"the value {word!r} of variable {index[1]} is not a number.")
        values[index] = complex(parts[0] or 0.0, (parts[1] or 0.0) if len(parts) == 2 else 0.0)
    return (values if is_complex else values.real), following


def _next_plot(data: bytes, start: int, *, wide: bool) -> int:
    found = re.compile(re.escape("\nTitle:".encode("utf-16-le")) if wide else rb"[\r\n]Title:").search(data, start)
    return len(data) if found is None else found.start()


def _steps(plot: _Plot) -> list[_Plot]:
    """Return the runs of a stepped simulation: its first variable begins again."""
    first = plot.columns[0]
    if plot.names[0].casefold() not in ("time", "frequency"):
        return [plot]
    starts = [0, *(np.flatnonzero(np.diff(first) < 0) + 1).tolist()]
    if len(starts) < 2 or len(starts) > len(first) // 2:
        return [plot]
    edges = zip(starts, [*starts[1:], len(first)], strict=True)
    return [_Plot(plot.title, plot.names, plot.units, [column[a:b] for column in plot.columns], plot.header) for a, b in edges]


register_reader("spice-raw", sniff, read, priority=72)
