"""OOMMF data tables (.odt): `# Columns:` and `# Units:` are Tcl lists, in which braces enclose names with blanks, then rows
between blanks.

The time is the column that ends in "Simulation time"; a field sweep has none. A file may contain several tables, and a header
line that ends in a backslash continues in the next.

Source: OOMMF user's guide, "Data table format (ODT)".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import TraceError
from ...typing import Progress
from ..parsing.grid import Line, read_grid
from ..parsing.parts import Part, choose_part
from ..parsing.reader import register_reader
from ..parsing.table import Table
from ..parsing.text import read_text

_WORD = re.compile(r"\{(?P<braced>[^{}]*)\}|(?P<plain>[^\s{}]+)")


@dataclass
class _Section:
    names: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    rows: list[Line] = field(default_factory=list)
    title: str = ""

    def describe(self) -> str:
        return f"{len(self.rows)} rows of {len(self.names)} columns"


def sniff(head: bytes) -> bool:
    """Return True if the first line is that of an OOMMF table."""
    return bool(re.match(rb"(?:\xef\xbb\xbf)?\s*#+ *ODT ", head, re.IGNORECASE))


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the columns of a table.

    Raises:
        SeveralParts: several tables, and no `part`.
        TraceError: no columns, no rows, or a bad row.
    """
    text = read_text(path)
    sections = [each for each in _sections(text.lines) if each.rows]
    if not sections:
        raise TraceError("there is no table with rows in this file.")
    section = choose_part({f"table {k}": each for k, each in enumerate(sections, start=1)}, part, _Section.describe)
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
    sections = [_Section()]
    for number, line in _joined_lines(lines):
        if not line.startswith("#"):
            if line.strip():
                sections[-1].rows.append(Line(number, line.strip()))
            continue
        key, _, value = line.lstrip("#").strip().partition(":")
        if key.casefold().startswith("table start"):
            sections.append(_Section())
        elif key.casefold() == "columns":
            if sections[-1].rows:
                sections.append(_Section(title=sections[-1].title))
            sections[-1].names = _words(value)
        elif key.casefold() == "units":
            sections[-1].units = _words(value)
        elif key.casefold() == "title":
            sections[-1].title = value.strip()
    return sections


def _joined_lines(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield lines with their numbers, header lines joined with the next one after a backslash."""
    unfinished, first = "", 0
    for number, line in enumerate(lines, start=1):
        first = first if unfinished else number
        text = unfinished + (line.lstrip("#").strip() if unfinished else line)
        if text.startswith("#") and text.endswith("\\"):
            unfinished = text[:-1] + " "
            continue
        unfinished = ""
        yield first, text
    if unfinished:
        yield first, unfinished


def _words(text: str) -> list[str]:
    return [match["braced"] if match["braced"] is not None else match["plain"] for match in _WORD.finditer(text)]


register_reader("odt", sniff, read, priority=100)
