"""MuMax3 `table.txt`: `# t (s)<tab>mx ()<tab>Ku1.region100 (J/m3)`, then rows between tabs.

The time is the first column. Its steps are those of the solver: seldom equal. A script that runs into an existing table
may write the header again.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import TraceError
from .grid import Line, read_grid
from .header import split_name
from .table import Part, Progress, Table
from .text import read_text

NAME = "mumax"


def sniff(head: bytes) -> bool:
    """Whether the file starts as MuMax3 writes a table."""
    return head.lstrip(b"\xef\xbb\xbf").startswith((b"# t (s)\t", b"# t (s)\n", b"# t (s)\r"))


def read(path: Path, part: Part = None, progress: Progress = None) -> Table:
    """The columns of a MuMax3 table.

    Raises:
        TraceError: a second header with other columns, a row of another length, or a cell that is not a number.
    """
    text = read_text(path)
    header = text.lines[0].strip()
    rows: list[Line] = []
    for line, content in enumerate(text.lines, start=1):
        if content.startswith("# t (s)") and content.strip() != header:
            raise TraceError(
                f"line {line} starts a second table with other columns ({content.strip()[2:]}); "
                "cut the file into one table per run."
            )
        if content.strip() and not content.startswith("#"):
            rows.append(Line(line, content.rstrip()))
    names, units = zip(*(split_name(cell) for cell in header[1:].split("\t")), strict=True)
    columns = tuple(read_grid(rows, "\t", names, complete=text.complete)) if rows else ()
    return Table(names, columns, units, metadata={"encoding": text.encoding})
