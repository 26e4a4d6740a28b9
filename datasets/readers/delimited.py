"""Delimited text (.csv, .txt, .dat): columns between commas, semicolons, tabs or blanks; see `parsing/delimited_text.py`.

Any text is accepted, so this reader is asked last. Large files are read in blocks.
"""

from __future__ import annotations

from pathlib import Path

from ...typing import Progress
from ..parsing.blocks import LARGE
from ..parsing.delimited_large import parse_large
from ..parsing.delimited_text import parse_delimited
from ..parsing.parts import Part
from ..parsing.reader import ANY_TEXT, register_reader
from ..parsing.table import Table
from ..parsing.text import Text, is_text, read_text


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the columns of a delimited text file.

    Raises:
        SeveralParts: several tables, and no `part`.
        TraceError: no rows of numbers, a row of another length, a cell that is not a number, or a number that can be
            read in two ways; with line, column and cell.
    """
    if path.stat().st_size <= LARGE:
        return parse_delimited(read_text(path), part)
    return parse_large(path, progress)


def text_of(path: Path, part: Part = None) -> Text:
    """Return the lines of the file."""
    return read_text(path)


register_reader("delimited", is_text, read, priority=ANY_TEXT, read_text=text_of)
