"""LabVIEW measurement files (.lvm): a head of keys, then for each segment a head of channels and rows between tabs or commas.

`Separator` and `Decimal_Separator` say how numbers are written. `X_Columns` is `One` (a time for all), `Multi` (one before each
channel) or `No` (time = X0 + i Delta_X). With `Multi_Headings Yes` each segment has a head of its own. The last column is a
comment.

Source: NI, "Specification for the LabVIEW Measurement File (.lvm)".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import TraceError
from ...typing import Array
from .grid import Line, number, read_grid
from .header import is_unit, split_name
from .labview import UNITS
from .table import Part, Progress, Table, chosen, ticks
from .text import read_text

NAME = "lvm"

_END = "***End_of_Header***"


@dataclass
class _Segment:
    head: dict[str, list[str]] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)
    rows: list[Line] = field(default_factory=list)

    def described(self) -> str:
        return f"{len(self.rows)} rows of {', '.join(filter(None, self.titles))}"


def sniff(head: bytes) -> bool:
    """Whether the file begins with the name of the format."""
    return head.removeprefix(b"\xef\xbb\xbf").startswith(b"LabVIEW Measurement")


def read(path: Path, part: Part = None, progress: Progress = None) -> Table:
    """The channels of a segment.

    Raises:
        SeveralParts: several segments, or channels with times of their own, and no `part`.
        TraceError: no head, no rows, or a bad row.
    """
    text = read_text(path)
    general, rest = _general(text.lines)
    comma = general.get("Decimal_Separator", ".") == ","
    mark = {"tab": "\t", "comma": ",", "": "\t"}.get(general.get("Separator", "Tab").casefold(), general.get("Separator", "\t"))
    segments = [each for each in _segments(rest, mark) if each.rows]
    if not segments:
        raise TraceError("there are no rows of numbers in this file; its head is all there is.")
    parts = {f"segment {k}": each for k, each in enumerate(segments, start=1)}
    segment = chosen(parts, part, _Segment.described)
    return _table(segment, general, mark, comma=comma, complete=text.complete)


def _general(lines: Sequence[str]) -> tuple[dict[str, str], list[Line]]:
    keys: dict[str, str] = {}
    for place, line in enumerate(lines):
        if line.startswith(_END):
            return keys, [Line(number, text) for number, text in enumerate(lines[place + 1 :], start=place + 2)]
        key, _, value = line.partition("\t" if "\t" in line else ",")
        keys[key.strip()] = value.strip() if value.strip("\t ") else ""
    raise TraceError(f"there is no {_END} in this file; it was cut off, or is no .lvm file.")


def _segments(lines: Sequence[Line], mark: str) -> list[_Segment]:
    found: list[_Segment] = []
    state, special = "between", False
    for line in lines:
        cells = line.text.split(mark)
        key = cells[0].strip()
        if key.startswith("***Start_Special"):
            special = True
        elif key.startswith("***End_Special"):
            special = False
        elif special:
            continue
        elif key == "Channels":
            found.append(_Segment())
            state = "head"
            found[-1].head[key] = [cell.strip() for cell in cells[1:]]
        elif state == "head" and key.startswith(_END):
            state = "titles"
        elif state == "head":
            found[-1].head[key] = [cell.strip() for cell in cells[1:]]
        elif state == "titles" and line.text.strip():
            found[-1].titles = [cell.strip() for cell in cells]
            state = "rows"
        elif state == "rows" and line.text.strip():
            found[-1].rows.append(line)
    return found


def _table(segment: _Segment, general: dict[str, str], mark: str, *, comma: bool, complete: bool) -> Table:
    titles = segment.titles
    while titles and titles[-1] in ("", "Comment"):
        titles = titles[:-1]
    rows = [Line(line.number, mark.join(line.text.split(mark)[: len(titles)])) for line in segment.rows]
    padded = [Line(line.number, line.text + mark * (len(titles) - 1 - line.text.count(mark))) for line in rows]
    columns = read_grid(
        [Line(line.number, line.text.replace(",", ".")) for line in padded] if comma else padded,
        mark,
        titles,
        complete=complete,
    )
    kind = general.get("X_Columns", "One").casefold()
    places = [k for k, title in enumerate(titles) if title != "X_Value" and (k or kind == "multi")]
    steps, starts = (_values(segment.head.get(key, []), comma) for key in ("Delta_X", "X0"))
    labels = [_named(titles[k], segment.head, n, kind) for n, k in enumerate(places)]
    names, units = [name for name, _ in labels], [unit for _, unit in labels]
    values = [columns[k] for k in places]
    time, doubts = _clock(columns, titles, kind, steps, starts)
    samples = _values(segment.head.get("Samples", []), comma)
    if samples and samples[0] > max(len(rows), 1):
        doubts = (*doubts, f"its head says {samples[0]:.0f} samples, and it has {len(rows)}; was it cut off?")
    head = {key: ", ".join(filter(None, cells)) for key, cells in segment.head.items()}
    metadata = {"header": {**general, **head}}
    if time is None:
        return Table(tuple(names), tuple(values), tuple(units), metadata=metadata, doubts=doubts)
    return Table(("X_Value", *names), (time, *values), ("s", *units), metadata=metadata, time="X_Value", doubts=doubts)


def _named(title: str, head: dict[str, list[str]], place: int, kind: str) -> tuple[str, str | None]:
    cells = head.get("Y_Unit_Label", [])
    # With a time before each channel, the cells of a channel stand two apart.
    unit = cells[2 * place if kind == "multi" else place] if (2 * place if kind == "multi" else place) < len(cells) else ""
    name, own = split_name(title)
    if own is not None and (is_unit(own) or own in UNITS or own == unit):
        return name, UNITS.get(own, own)
    return title, UNITS.get(unit, unit) or None


def _values(cells: Sequence[str], comma: bool) -> list[float]:
    found = (number(cell.replace(",", ".") if comma else cell) for cell in cells if cell)
    return [value for value in found if value is not None]


def _clock(
    columns: Array, titles: Sequence[str], kind: str, steps: list[float], starts: list[float]
) -> tuple[Array | None, tuple[str, ...]]:
    times = [columns[k] for k, title in enumerate(titles) if title == "X_Value" and not (k == 0 and kind == "no")]
    if times and kind != "no":
        if any(not np.array_equal(times[0], each, equal_nan=True) for each in times[1:]):
            raise TraceError(
                "its channels have times of their own that differ; resample them in LabVIEW, or read the file as plain "
                "text with "
                "format='delimited'."
            )
        return times[0], ()
    if steps and len(set(steps)) > 1:
        raise TraceError(f"its channels have sample intervals that differ ({', '.join(f'{s:g}' for s in steps)} s).")
    if not steps or not steps[0] > 0:
        return None, ()
    return ticks(starts[0] if starts else 0.0, steps[0], columns.shape[1]), ()
