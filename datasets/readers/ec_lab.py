"""BioLogic EC-Lab text exports (.mpt): `EC-Lab ASCII FILE`, `Nb header lines : 5`, the names in the last of them, and rows.

Names are between tabs, with their units behind a slash: `time/s`, `Ewe/V`, `<I>/mA`. `control/V/mA` has no single unit.
"""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import TraceError
from ...typing import Progress
from ..parsing.grid import Line, parse_whole_number
from ..parsing.header import is_unit
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.tabbed_rows import table_of_rows
from ..parsing.table import Table
from ..parsing.text import read_text

_HEADER_LINES = re.compile(r"Nb header lines\s*:\s*(\d+)")
_MAX_SETTINGS = 200


def sniff(head: bytes) -> bool:
    """Return True if the file begins with the name of the format."""
    return head.removeprefix(b"\xef\xbb\xbf").startswith((b"EC-Lab ASCII FILE", b"BT-Lab ASCII FILE"))


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the columns.

    Raises:
        TraceError: no number of header lines, no rows, or a bad one.
    """
    text = read_text(path)
    found = _HEADER_LINES.search(text.lines[1]) if len(text.lines) > 1 else None
    count = parse_whole_number(found[1]) if found else None
    if count is None or not 2 < count < len(text.lines):
        raise TraceError("its second line does not give the number of header lines, or no rows follow them; was it cut off?")
    titles = text.lines[count - 1].split("\t")
    while titles and not titles[-1].strip():
        titles.pop()
    pairs = [_name_and_unit(title.strip()) for title in titles]
    names, units = [name for name, _ in pairs], [unit for _, unit in pairs]
    lines = [Line(number, line) for number, line in enumerate(text.lines[count:], start=count + 1) if line.strip()]
    if not lines or not names:
        raise TraceError("there are no rows below the header of this file.")
    metadata = {"header": _settings(text.lines[2 : count - 1])}
    return table_of_rows(lines, names, units, time="time", metadata=metadata, complete=text.complete)


def _name_and_unit(title: str) -> tuple[str, str | None]:
    name, slash, unit = title.partition("/")
    if not slash or not name or name == "control":
        return title or "column", None
    unit = unit.replace(".", " ").strip()
    return (name, unit) if is_unit(unit) else (title, None)


def _settings(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(" : ") for line in lines)
    return dict([(key.strip(), value.strip()) for key, colon, value in pairs if colon and key.strip()][:_MAX_SETTINGS])


register_reader("ec-lab", sniff, read, priority=76)
