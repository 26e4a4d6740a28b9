"""OOMMF data tables (.odt): `# Columns:` and `# Units:` are Tcl lists, in which braces hold names with blanks, then rows of
blanks.

The time is the column that ends in "Simulation time"; a field sweep has none. A file may hold several tables, and a line of the
head that ends in a backslash goes on in the next.

Source: OOMMF user's guide, "Data table format (ODT)".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import TraceError
from .grid import Line, read_grid
from .table import Part, Progress, Table, chosen
from .text import read_text

NAME = "odt"

_WORD = re.compile(r"\{(?P<braced>[^{}]*)\}|(?P<plain>[^\s{}]+)")


@dataclass
class _Section:
    names: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    rows: list[Line] = field(default_factory=list)
    title: str = ""

    def described(self) -> str:
        return f"{len(self.rows)} rows of {len(self.names)} columns"


def sniff(head: bytes) -> bool:
    """Whether the first line is that of a table."""
    return bool(re.match(rb"(?:\xef\xbb\xbf)?\s*#+ *ODT ", head, re.IGNORECASE))


def read(path: Path, part: Part = None, progress: Progress = None) -> Table:
    """The columns of a table.

    Raises:
        SeveralParts: several tables, and no `part`.
        TraceError: no columns, no rows, or a bad row.
    """
    text = read_text(path)
    sections = [each for each in _sections(text.lines) if each.rows]
    if not sections:
        raise TraceError("there is no table with rows in this file.")
    section = chosen({f"table {k}": each for k, each in enumerate(sections, start=1)}, part, _Section.described)
    if not section.names:
        raise TraceError("the table has no line of names (# Columns:); is the file damaged?")
    if section.units and len(section.units) != len(section.names):
        raise TraceError(f"the table names {len(section.names)} columns and {len(section.units)} units; is the file damaged?")
    columns = read_grid(section.rows, None, section.names, complete=text.complete)
    return Table(
        tuple(section.names),
        tuple(columns),
        tuple(section.units) or (None,) * len(section.names),
        metadata={"title": section.title, "encoding": text.encoding},
        time=next((name for name in section.names if name.endswith("Simulation time")), None),
    )


def _sections(lines: Sequence[str]) -> list[_Section]:
    found = [_Section()]
    for place, line in _joined(lines):
        if not line.startswith("#"):
            if line.strip():
                found[-1].rows.append(Line(place, line.strip()))
            continue
        key, _, value = line.lstrip("#").strip().partition(":")
        if key.casefold().startswith("table start"):
            found.append(_Section())
        elif key.casefold() == "columns":
            if found[-1].rows:
                found.append(_Section(title=found[-1].title))
            found[-1].names = _words(value)
        elif key.casefold() == "units":
            found[-1].units = _words(value)
        elif key.casefold() == "title":
            found[-1].title = value.strip()
    return found


def _joined(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, those of the head with what follows a backslash."""
    held, begin = "", 0
    for place, line in enumerate(lines, start=1):
        begin = begin if held else place
        text = held + (line.lstrip("#").strip() if held else line)
        if text.startswith("#") and text.endswith("\\"):
            held = text[:-1] + " "
            continue
        held = ""
        yield begin, text
    if held:
        yield begin, held


def _words(text: str) -> list[str]:
    return [found["braced"] if found["braced"] is not None else found["plain"] for found in _WORD.finditer(text)]
