"""Old Excel workbooks (.xls), by xlrd (extra `excel`): each sheet with rows of numbers is a recording, read like text."""

from __future__ import annotations

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


def sniff(head: bytes) -> bool:
    """Return True for the signature of a compound document of Office."""
    return head.startswith(b"\xd0\xcf\x11\xe0")


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the columns of a sheet.

    Raises:
        SeveralParts: several sheets with numbers, and no `part`.
        TraceError: xlrd is not installed, the file is damaged or of another program of Office, or no sheet has a table.
    """
    return parse_delimited(text_of(path, part))


def text_of(path: Path, part: Part = None) -> Text:
    """Return the rows of a sheet as text between tabs; raises as `read`."""
    xlrd = import_library("xlrd", "excel", "an old Excel workbook (.xls)")
    with translated_errors("Excel workbook"):
        workbook = xlrd.open_workbook(file_contents=path.read_bytes(), logfile=io.StringIO())
        sheets = {sheet.name: _lines(sheet, xlrd, workbook.datemode) for sheet in workbook.sheets()}
    filled = {name: lines for name, lines in sheets.items() if sum(any(c.isdigit() for c in line) for line in lines) > 1}
    if not filled:
        raise TraceError("no sheet of this workbook has rows of numbers.")
    return Text(choose_part(filled, part, lambda lines: f"{len(lines)} rows"), "xls", True)


def _lines(sheet: Any, xlrd: Any, datemode: int) -> list[str]:
    lines = ["\t".join(_cell(cell, xlrd, datemode) for cell in sheet.row(index)) for index in range(sheet.nrows)]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _cell(cell: Any, xlrd: Any, datemode: int) -> str:
    if cell.ctype == xlrd.XL_CELL_DATE:
        return str(xlrd.xldate_as_datetime(cell.value, datemode).isoformat(" "))
    if cell.ctype in (xlrd.XL_CELL_NUMBER, xlrd.XL_CELL_BOOLEAN):
        return repr(float(cell.value))
    return "" if cell.ctype == xlrd.XL_CELL_ERROR else " ".join(str(cell.value).split()).replace("\u2212", "-")


register_reader("xls", sniff, read, priority=81, read_text=text_of)
