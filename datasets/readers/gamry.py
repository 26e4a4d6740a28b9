"""Gamry .DTA: lines `KEY<tab>TYPE<tab>value`, and tables `CURVE<tab>TABLE<tab>rows` with names, units, and rows between tabs.

Each table with rows is a recording. `V vs. Ref.` is in volts; columns of flags have no unit. Decimal commas are read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import TraceError
from ...typing import Progress
from ..parsing.grid import Line, parse_number
from ..parsing.header import is_unit
from ..parsing.messages import counted
from ..parsing.parts import Part, choose_part
from ..parsing.reader import register_reader
from ..parsing.tabbed_rows import table_of_rows
from ..parsing.table import Table
from ..parsing.text import read_text

_MAX_SETTINGS = 400
_REFERENCE = re.compile(r"\s+vs\.?\s.*", re.IGNORECASE)


@dataclass
class _Curve:
    name: str
    names: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    rows: list[Line] = field(default_factory=list)

    def describe(self) -> str:
        return f"{counted(len(self.rows), 'row')} of {', '.join(self.names[:6])}"


def sniff(head: bytes) -> bool:
    """Return True if the file begins as Gamry Framework writes it."""
    return re.match(rb"(?:\xef\xbb\xbf)?EXPLAIN\r?\n", head) is not None


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the columns of a table.

    Raises:
        SeveralParts: several tables, and no `part`.
        TraceError: no table with rows, or a bad one.
    """
    text = read_text(path)
    settings, curves = _curves(text.lines)
    filled = {each.name: each for each in curves if each.rows and each.names}
    if not filled:
        raise TraceError("there is no table (CURVE) with rows in this file.")
    curve = choose_part(filled, part, _Curve.describe)
    units = [_unit(unit) for unit in curve.units]
    time = "T" if ("T", "s") in zip(curve.names, units, strict=False) else ""
    metadata = {"header": settings, "table": curve.name}
    return table_of_rows(curve.rows, curve.names, units, time=time, metadata=metadata, complete=text.complete)


def _curves(lines: Sequence[str]) -> tuple[dict[str, str], list[_Curve]]:
    settings: dict[str, str] = {}
    curves: list[_Curve] = []
    header_lines = 0
    for number, line in enumerate(lines, start=1):
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) > 1 and cells[1] == "TABLE" and cells[0]:
            curves.append(_Curve(cells[0]))
            header_lines = 2
        elif curves and not cells[0] and any(cells):
            if header_lines:
                (curves[-1].names if header_lines == 2 else curves[-1].units).extend(cells[1:])
                header_lines -= 1
            else:
                curves[-1].rows.append(Line(number, "\t".join(cells[1:])))
        elif len(cells) > 2 and len(settings) < _MAX_SETTINGS:
            settings[cells[0]] = cells[2]
    for curve in curves:
        while curve.names and not curve.names[-1]:
            curve.names.pop()
        curve.names = [name or f"column {index + 1}" for index, name in enumerate(curve.names)]
        curve.rows = [row for row in curve.rows if parse_number(row.text.split("\t")[0].replace(",", ".")) is not None]
    return settings, curves


def _unit(text: str) -> str | None:
    unit = _REFERENCE.sub("", text)
    return unit if unit and unit != "#" and is_unit(unit) else None


register_reader("gamry", sniff, read, priority=75)
