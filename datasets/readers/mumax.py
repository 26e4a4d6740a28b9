"""MuMax3 `table.txt`: `# t (s)<tab>mx ()<tab>Ku1.region100 (J/m3)`, then rows between tabs.

The time is the first column. Its steps are those of the solver and rarely equal. A script that writes to an existing table may
write the header again.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import TraceError
from ...typing import Progress
from ..parsing.grid import Line, read_grid
from ..parsing.header import split_name
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.table import Table
from ..parsing.text import read_text


def sniff(head: bytes) -> bool:
    """Return True if the file starts as MuMax3 writes a table."""
    return head.lstrip(b"\xef\xbb\xbf").startswith((b"# t (s)\t", b"# t (s)\n", b"# t (s)\r"))


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the columns of a MuMax3 table.

    Raises:
        TraceError: a second header with other columns, a row of another length, or a cell that is not a number.
    """
    text = read_text(path)
    header = text.lines[0].strip()
    rows: list[Line] = []
    for number, content in enumerate(text.lines, start=1):
        if content.startswith("# t (s)") and content.strip() != header:
            raise TraceError(
                f"line {number} starts a second table with other columns ({content.strip()[2:]}); "
                "cut the file into one table per run."
            )
        if content.strip() and not content.startswith("#"):
            rows.append(Line(number, content.rstrip()))
    names, units = zip(*(split_name(cell) for cell in header[1:].split("\t")), strict=True)
    columns = tuple(read_grid(rows, "\t", names, complete=text.complete)) if rows else ()
    return Table(names, columns, units, metadata={"encoding": text.encoding})


register_reader("mumax", sniff, read, priority=90)
