"""Excel workbooks (.xlsx), by openpyxl (extra `excel`): each sheet with rows of numbers is a recording, read as delimited text
is.
"""

from __future__ import annotations

import datetime
import io
from pathlib import Path
from typing import Any

from ...errors import TraceError
from . import delimited
from .optional import library, refusing
from .table import Part, Progress, Table, chosen
from .text import Text

NAME = "excel"

_EPOCH = datetime.datetime(1970, 1, 1)


def sniff(head: bytes) -> bool:
    """Whether the file is a ZIP archive as Office writes it."""
    return head.startswith(b"PK\x03\x04") and any(
        mark in head for mark in (b"[Content_Types].xml", b"xl/", b"docProps/", b"_rels/")
    )


def read(path: Path, part: Part = None, progress: Progress = None) -> Table:
    """The columns of a sheet.

    Raises:
        SeveralParts: several sheets with numbers, and no `part`.
        TraceError: openpyxl is not installed, the file is damaged, or no sheet has a table.
    """
    return delimited.parse(Text(lines_of(path, part), "xlsx", True))


def lines_of(path: Path, part: Part = None) -> list[str]:
    """The rows of a sheet as text between tabs; raises as `read`."""
    openpyxl = library("openpyxl", "excel", "an Excel workbook")
    with refusing("Excel workbook"):
        book = openpyxl.load_workbook(io.BytesIO(path.read_bytes()), read_only=True, data_only=True)
        try:
            sheets = {sheet.title: _lines(sheet) for sheet in book.worksheets}
        finally:
            book.close()
    filled = {name: lines for name, lines in sheets.items() if sum(any(c.isdigit() for c in line) for line in lines) > 1}
    if not filled:
        raise TraceError("no sheet of this workbook has rows of numbers; formulas count only if Excel has saved their values.")
    return chosen(filled, part, lambda sheet: f"{len(sheet)} rows")


def _lines(sheet: Any) -> list[str]:
    lines = ["\t".join(_cell(value) for value in row) for row in sheet.iter_rows(values_only=True)]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        return repr((value - _EPOCH).total_seconds())
    if isinstance(value, datetime.time):
        return repr(value.hour * 3600.0 + value.minute * 60 + value.second + value.microsecond * 1e-6)
    return repr(float(value)) if isinstance(value, int | float) else " ".join(str(value).split())
