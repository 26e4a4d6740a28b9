"""Excel workbooks (.xlsx), by openpyxl (extra `excel`): each sheet with rows of numbers is a recording, read like delimited
text.
"""

from __future__ import annotations

import datetime
import io
from pathlib import Path
from typing import Any

from ...errors import TraceError
from ...typing import Progress
from ..parsing.delimited_text import parse_delimited
from ..parsing.libraries import import_library, translated_errors
from ..parsing.parts import Part, choose_part
from ..parsing.reader import register_reader
from ..parsing.table import Table
from ..parsing.text import Text

_EPOCH = datetime.datetime(1970, 1, 1)


def sniff(head: bytes) -> bool:
    """Return True for a ZIP archive as Office writes it."""
    return head.startswith(b"PK\x03\x04") and any(
        mark in head for mark in (b"[Content_Types].xml", b"xl/", b"docProps/", b"_rels/")
    )


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the columns of a sheet.

    Raises:
        SeveralParts: several sheets with numbers, and no `part`.
        TraceError: openpyxl is not installed, the file is damaged, or no sheet has a table.
    """
    return parse_delimited(text_of(path, part))


def text_of(path: Path, part: Part = None) -> Text:
    """Return the rows of a sheet as text between tabs; raises as `read`."""
    openpyxl = import_library("openpyxl", "excel", "an Excel workbook")
    with translated_errors("Excel workbook"):
        workbook = openpyxl.load_workbook(io.BytesIO(path.read_bytes()), read_only=True, data_only=True)
        try:
            sheets = {sheet.title: _lines(sheet) for sheet in workbook.worksheets}
        finally:
            workbook.close()
    filled = {name: lines for name, lines in sheets.items() if sum(any(c.isdigit() for c in line) for line in lines) > 1}
    if not filled:
        raise TraceError("no sheet of this workbook has rows of numbers; formulas count only if Excel has saved their values.")
    return Text(choose_part(filled, part, lambda lines: f"{len(lines)} rows"), "xlsx", True)


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
    return repr(float(value)) if isinstance(value, int | float) else " ".join(str(value).split()).replace("\u2212", "-")


register_reader("excel", sniff, read, priority=80, read_text=text_of)
