"""LabVIEW measurement files (.lvm): a header of keys, then for each segment a header of channels and rows between tabs or
commas.

`Separator` and `Decimal_Separator` say how numbers are written. `X_Columns` is `One` (a time for all), `Multi` (one before each
channel) or `No` (time = X0 + i Delta_X). With `Multi_Headings Yes` each segment has a header of its own. The last column is a
comment. Rows beyond `Samples` are those of another acquisition, appended without a header.

Source: NI, "Specification for the LabVIEW Measurement File (.lvm)".
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...errors import TraceError
from ...typing import Array, Progress
from ..parsing.grid import Line, parse_number, read_grid
from ..parsing.header import is_unit, split_name
from ..parsing.labview_units import LABVIEW_UNITS
from ..parsing.parts import Part, choose_part
from ..parsing.reader import register_reader
from ..parsing.table import Table, count_doubt, sample_times
from ..parsing.text import read_text

_MAX_ACQUISITIONS = 1000
_END_OF_HEADER = "***End_of_Header***"


@dataclass
class _Segment:
    header: dict[str, list[str]] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)
    rows: list[Line] = field(default_factory=list)

    def describe(self) -> str:
        return f"{len(self.rows)} rows of {', '.join(filter(None, self.titles))}"


def sniff(head: bytes) -> bool:
    """Return True if the file begins with the name of the format."""
    return head.removeprefix(b"\xef\xbb\xbf").startswith(b"LabVIEW Measurement")


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the channels of a segment.

    Raises:
        SeveralParts: several segments, and no `part`.
        TraceError: no header, no rows, a bad row, or channels with times of their own.
    """
    text = read_text(path)
    file_header, lines = _split_header(text.lines)
    decimal_comma = file_header.get("Decimal_Separator", ".") == ","
    separator = file_header.get("Separator", "Tab")
    delimiter = {"tab": "\t", "comma": ",", "": "\t"}.get(separator.casefold(), separator)
    found = [each for each in _segments(lines, delimiter) if each.rows]
    segments = [piece for each in found for piece in _acquisitions(each, file_header, delimiter, decimal_comma)]
    if not segments:
        raise TraceError("there are no rows of numbers in this file, only its header.")
    parts = {f"segment {k}": each for k, each in enumerate(segments, start=1)}
    segment = choose_part(parts, part, _Segment.describe)
    return _table(segment, file_header, delimiter, decimal_comma=decimal_comma, complete=text.complete)


def _split_header(lines: Sequence[str]) -> tuple[dict[str, str], list[Line]]:
    keys: dict[str, str] = {}
    for index, line in enumerate(lines):
        if line.startswith(_END_OF_HEADER):
            return keys, [Line(number, text) for number, text in enumerate(lines[index + 1 :], start=index + 2)]
        key, _, value = line.partition("\t" if "\t" in line else ",")
        keys[key.strip()] = value.strip() if value.strip("\t ") else ""
    raise TraceError(f"there is no {_END_OF_HEADER} in this file; it was cut off, or is not an .lvm file.")


def _segments(lines: Sequence[Line], delimiter: str) -> list[_Segment]:
    segments: list[_Segment] = []
    state, in_special_block = "between segments", False
    for line in lines:
        cells = line.text.split(delimiter)
        key = cells[0].strip()
        if key.startswith("***Start_Special"):
            in_special_block = True
        elif key.startswith("***End_Special"):
            in_special_block = False
        elif in_special_block:
            continue
        elif key == "Channels":
            segments.append(_Segment())
            state = "header"
            segments[-1].header[key] = [cell.strip() for cell in cells[1:]]
        elif state == "header" and key.startswith(_END_OF_HEADER):
            state = "titles"
        elif state == "header":
            segments[-1].header[key] = [cell.strip() for cell in cells[1:]]
        elif state == "titles" and line.text.strip():
            segments[-1].titles = [cell.strip() for cell in cells]
            state = "rows"
        elif state == "rows" and line.text.strip():
            segments[-1].rows.append(line)
    return segments


def _acquisitions(segment: _Segment, file_header: Mapping[str, str], delimiter: str, decimal_comma: bool) -> list[_Segment]:
    """Return the acquisitions of a segment whose rows were appended: where the time begins again, or after `Samples` rows."""
    samples = _numbers(segment.header.get("Samples", []), decimal_comma)
    size = int(min(max(samples, default=0.0), 1e15))
    rows = len(segment.rows)
    if size < 2 or rows <= size:
        return [segment]
    if file_header.get("X_Columns", "One").casefold() == "no":
        starts = list(range(0, rows, size)) if rows % size == 0 else [0]
    else:
        cells = [line.text.split(delimiter)[0].strip() for line in segment.rows]
        times = [parse_number(cell.replace(",", ".") if decimal_comma else cell) for cell in cells]
        pairs = enumerate(itertools.pairwise(times), start=1)
        starts = [0, *(index for index, (a, b) in pairs if a is not None and b is not None and b < a)]
    if len(starts) > rows // 2 or len(starts) > _MAX_ACQUISITIONS:
        return [segment]
    return [replace(segment, rows=segment.rows[a:b]) for a, b in zip(starts, [*starts[1:], rows], strict=True)]


def _table(segment: _Segment, file_header: dict[str, str], delimiter: str, *, decimal_comma: bool, complete: bool) -> Table:
    titles = segment.titles
    while titles and titles[-1] in ("", "Comment"):
        titles = titles[:-1]
    columns = read_grid(_rows(segment, len(titles), delimiter, decimal_comma), delimiter, titles, complete=complete)
    x_columns = file_header.get("X_Columns", "One").casefold()
    channels = [k for k, title in enumerate(titles) if title != "X_Value" and (k or x_columns == "multi")]
    header = segment.header
    steps, starts, samples = (_numbers(header.get(key, []), decimal_comma) for key in ("Delta_X", "X0", "Samples"))
    labels = [_name_and_unit(titles[k], header, index, x_columns) for index, k in enumerate(channels)]
    names, units = [name for name, _ in labels], [unit for _, unit in labels]
    values = [columns[k] for k in channels]
    times = _times(columns, titles, x_columns, steps, starts)
    expected = int(min(samples[0], 1e15)) if samples else 0
    doubts = count_doubt(expected, len(segment.rows)) if expected > max(len(segment.rows), 1) else ()
    if 1 < expected < len(segment.rows) and x_columns == "no":
        doubts = (
            f"its header gives {expected} samples, but the file has {len(segment.rows)}; were several acquisitions written one "
            "after the other? They are read as one, without gaps",
        )
    metadata = {"header": {**file_header, **{key: ", ".join(filter(None, cells)) for key, cells in header.items()}}}
    if times is None:
        return Table(tuple(names), tuple(values), tuple(units), metadata=metadata, doubts=doubts)
    return Table(("X_Value", *names), (times, *values), ("s", *units), metadata=metadata, time="X_Value", doubts=doubts)


def _rows(segment: _Segment, width: int, delimiter: str, decimal_comma: bool) -> list[Line]:
    """Return the rows with as many cells as there are titles, and with decimal points."""
    rows = []
    for line in segment.rows:
        cells = line.text.split(delimiter)[:width]
        text = delimiter.join([*cells, *[""] * (width - len(cells))])
        rows.append(Line(line.number, text.replace(",", ".") if decimal_comma else text))
    return rows


def _name_and_unit(title: str, header: dict[str, list[str]], index: int, x_columns: str) -> tuple[str, str | None]:
    cells = header.get("Y_Unit_Label", [])
    # With a time before each channel, the cells of neighbouring channels are two apart.
    position = 2 * index if x_columns == "multi" else index
    unit = cells[position] if position < len(cells) else ""
    name, own = split_name(title)
    if own is not None and (is_unit(own) or own in LABVIEW_UNITS or own == unit):
        return name, LABVIEW_UNITS.get(own, own)
    return title, LABVIEW_UNITS.get(unit, unit) or None


def _numbers(cells: Sequence[str], decimal_comma: bool) -> list[float]:
    values = (parse_number(cell.replace(",", ".") if decimal_comma else cell) for cell in cells if cell)
    return [value for value in values if value is not None]


def _times(columns: Array, titles: Sequence[str], x_columns: str, steps: list[float], starts: list[float]) -> Array | None:
    """Return the times of all channels: from a column, or from the sample interval; None if the file has neither."""
    times = [columns[k] for k, title in enumerate(titles) if title == "X_Value" and not (k == 0 and x_columns == "no")]
    if times and x_columns != "no":
        if any(not np.array_equal(times[0], each, equal_nan=True) for each in times[1:]):
            raise TraceError(
                "its channels have times of their own that differ; resample them in LabVIEW, or read the file as plain "
                "text with format='delimited'."
            )
        return np.asarray(times[0])
    if steps and len(set(steps)) > 1:
        raise TraceError(f"its channels have sample intervals that differ ({', '.join(f'{s:g}' for s in steps)} s).")
    if not steps or not steps[0] > 0:
        return None
    return sample_times(starts[0] if starts else 0.0, steps[0], columns.shape[1])


register_reader("lvm", sniff, read, priority=120)
