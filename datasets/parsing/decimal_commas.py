"""Commas in numbers: decimal marks, thousands separators, or delimiters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...errors import TraceError
from .grid import Line, parse_number, split_cells

_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
_QUOTED = re.compile(r'"[+-]?\d*,\d+(?:[eE][+-]?\d+)?"')
_SAMPLE = 200


def has_decimal_comma(content: Sequence[Line], delimiter: str | None) -> bool:
    """Return True if commas are decimal marks: they are inside cells, and no row has a point.

    Raises:
        TraceError: all of them could be thousands separators.
    """
    if delimiter == "," or not any("," in line.text for line in content):
        return False
    rows = [line for line in content if parse_number(with_point(split_cells(line.text, delimiter)[0], delimiter)) is not None]
    with_comma = [line for line in rows if "," in line.text]
    if not with_comma or any("." in line.text for line in rows):
        return False
    cells = ((line, cell) for line in with_comma for cell in split_cells(line.text, delimiter) if "," in cell)
    first = next(cells)
    if all(_THOUSANDS.fullmatch(cell) for _, cell in (first, *cells)):
        line, cell = first
        raise TraceError(
            f"line {line.number}: the commas of {cell!r} can be decimal marks or thousands separators, "
            "and no other number of the file decides it; write it with a decimal point."
        )
    return True


def with_point(cell: str, delimiter: str | None) -> str:
    """Return a cell with a decimal point, unless the comma is the delimiter."""
    return cell if delimiter == "," else cell.replace(",", ".")


def unquote_decimal_commas(content: Sequence[Line]) -> list[Line]:
    """Return lines between tabs for lines between commas whose numbers are quoted and have decimal commas: `"0,5","1,25"`."""
    quoted = [line for line in content[:_SAMPLE] if _QUOTED.search(line.text)]
    if not quoted or not all(len(split_cells(line.text, ",")) > 1 for line in quoted):
        return list(content)
    if any(mark in _QUOTED.sub("", line.text) for line in quoted for mark in ("\t", ";")):
        return list(content)
    return [Line(line.number, "\t".join(cell.replace("\t", " ") for cell in split_cells(line.text, ","))) for line in content]
