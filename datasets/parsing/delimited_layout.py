"""The layout of delimited text, found from its first lines: delimiter, decimal mark, settings, header, units, rows.

The layout that explains most rows is chosen. What cannot be understood without a guess is refused with its line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...errors import TraceError
from .grid import Line, is_numeric, parse_number, split_cells
from .header import bare_unit, is_unit, split_name, split_time_unit, split_words
from .text import Text

# In the order of preference where two of them explain the rows equally well.
DELIMITERS: tuple[str | None, ...] = ("\t", ";", ",", None)
COMMENTS = ("#", "%")
#: Number of lines from which the layout is found.
SAMPLE_LINES = 100
_MAX_SETTINGS_LINES = 2000
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")


@dataclass(frozen=True)
class Layout:
    """Layout of a delimited text.

    Attributes:
        delimiter: The text between cells; None for blanks.
        header: Cells of the line of names; None if there is none.
        units: Cells of the line of units; None if there is none.
        rows: The lines of the table.
        decimal_comma: True if commas are decimal marks.
        settings: Lines above the table, as oscilloscopes write them.
    """

    delimiter: str | None
    header: list[str] | None
    units: list[str] | None
    rows: list[Line]
    decimal_comma: bool
    settings: list[Line] = field(default_factory=list)

    def rows_with_decimal_points(self) -> list[Line]:
        """Return the rows with decimal points in place of decimal commas."""
        if not self.decimal_comma:
            return self.rows
        return [Line(line.number, line.text.replace(",", ".")) for line in self.rows]

    def names_and_units(self) -> tuple[list[str], list[str | None]]:
        """Return name and unit text of each column; the name "" for an empty column after a delimiter at the line ends."""
        if self.header is None:
            width = max(_filled_width(split_cells(line.text, self.delimiter)) for line in self.rows[:SAMPLE_LINES])
            return [f"column {index + 1}" for index in range(width)], [None] * width
        pairs = [split_time_unit(*split_name(cell)) for cell in self.header]
        while pairs and not pairs[-1][0]:
            pairs.pop()
        names = [name.rstrip(":") or f"column {index + 1}" for index, (name, _) in enumerate(pairs)]
        units = [unit for _, unit in pairs]
        for index, cell in enumerate((self.units or [])[: len(units)]):
            units[index] = bare_unit(cell) if units[index] is None else units[index]
        return names, units


def split_comments(text: Text) -> tuple[list[Line], list[Line]]:
    """Return the comments, and the other lines that are not empty."""
    comments: list[Line] = []
    content: list[Line] = []
    for number, line in enumerate(text.lines, start=1):
        if line.strip(" \t,;"):
            (comments if line.lstrip().startswith(COMMENTS) else content).append(Line(number, line))
    return comments, content


def strip_comment(text: str) -> str:
    """Return the text of a comment without its mark."""
    return text.strip().lstrip("#%").strip()


def find_layout(comments: Sequence[Line], content: Sequence[Line]) -> Layout:
    """Find the layout of a text from its comments and its other lines.

    Raises:
        TraceError: no rows of numbers, a header that is half numbers, or commas that can be decimal marks or thousands
            separators.
    """
    if not content:
        raise TraceError("there are no rows of numbers in this file, only comments or empty lines.")
    delimiter = _find_delimiter(content)
    decimal_comma = _has_decimal_comma(content, delimiter)
    begin = _count_settings_lines(content, delimiter, decimal_comma)
    settings, content = list(content[:begin]), content[begin:]
    cells = [_cells(line, delimiter, decimal_comma) for line in content[:3]]
    if is_numeric(cells[0]) or (parse_number(cells[0][0]) is not None and cells[0][0]):
        # A first line that begins with a number is a row; if it is a bad one, reading it reports so.
        header = _header_in_comments(comments, content[0], delimiter)
        return Layout(delimiter, header, None, list(content), decimal_comma, settings)
    header = split_words(content[0].text) if delimiter is None else split_cells(content[0].text, delimiter)
    if delimiter is None and len(content) > 1 and len(header) != len(cells[1]):
        header = content[0].text.split()
    _check_header(content[0], header)
    if len(content) == 1:
        raise TraceError(f"the file has a header ({', '.join(filter(None, header))}) but no rows of numbers.")
    units = _units_row(cells[1], len(header)) if len(content) > 2 and is_numeric(cells[2]) else None
    return Layout(delimiter, header, units, list(content[2 if units else 1 :]), decimal_comma, settings)


def _count_settings_lines(content: Sequence[Line], delimiter: str | None, decimal_comma: bool) -> int:
    """Return the number of lines above the table: above its header, or above its rows where it has none.

    The table begins at the first three lines of numbers of one width. If a line above them could be a bad row, no line counts
    as a setting.
    """
    rows = [_cells(line, delimiter, decimal_comma) for line in content[: SAMPLE_LINES + _MAX_SETTINGS_LINES]]
    widths = [_filled_width(cells) if is_numeric(cells) and parse_number(cells[0]) is not None else 0 for cells in rows]
    first = next((k for k, width in enumerate(widths) if width and set(widths[k : k + 3]) == {width}), 0)
    if not any(widths):
        # Rows with words in some columns: three of one width, below a line of words of that width.
        widths = [_filled_width(cells) if _has_number(cells) else 0 for cells in rows]
        first = next((k for k, width in enumerate(widths) if k and width > 2 and widths[k : k + 3] == 3 * [width]
                      and widths[k - 1] == 0 and _filled_width(rows[k - 1]) == width), 0)  # fmt: skip
    if first < 2:
        return 0
    can_be_header = [
        _filled_width(cells) == widths[first] and all(map(_can_be_name, cells)) and parse_number(cells[0]) is None
        for cells in rows[:first]
    ]
    if can_be_header[-1]:
        # Two lines of words: names, and units, which may be unknown ones.
        no_units_in_names = first == 2 and not any(split_name(cell)[1] for cell in rows[1])
        has_units_row = can_be_header[-2] and (_are_units(rows[first - 1]) or no_units_in_names)
        begin = first - 2 if has_units_row else first - 1
    else:
        begin = first
        if can_be_header[0] or _filled_width(rows[first - 1]) == widths[first]:
            return 0
    return 0 if any(cells[0] and parse_number(cells[0]) is not None for cells in rows[:begin]) else begin


def _has_number(cells: Sequence[str]) -> bool:
    """Return True if some cell is a number, and not a word for a missing value."""
    values = (parse_number(cell) for cell in cells if cell)
    return any(value is not None and value == value for value in values)


def _filled_width(cells: Sequence[str]) -> int:
    """Return the number of cells up to the last one that is not empty."""
    return max((count for count, cell in enumerate(cells, start=1) if cell), default=0)


def _can_be_name(cell: str) -> bool:
    """Return True if a cell can be a name: whole numbers may name channels."""
    return parse_number(cell) is None or not cell or cell.isdigit()


def _are_units(cells: Sequence[str]) -> bool:
    return any(cells) and all(is_unit(bare_unit(cell)) for cell in cells if cell)


def _find_delimiter(content: Sequence[Line]) -> str | None:
    """Return the delimiter by which most lines split into two or more numbers."""
    last_lines = content[-SAMPLE_LINES:] if len(content) > 2 * SAMPLE_LINES else []
    lines = [*content[1 : SAMPLE_LINES + 1], *last_lines] or content

    def count_numeric(delimiter: str | None) -> int:
        rows = [[_with_point(cell, delimiter) for cell in split_cells(line.text, delimiter)] for line in lines]
        return sum(len(cells) > 1 and is_numeric(cells) for cells in rows)

    def count_split(delimiter: str | None) -> int:
        return sum(len(split_cells(line.text, delimiter)) > 1 for line in content[:SAMPLE_LINES])

    delimiter = max(DELIMITERS, key=count_numeric)
    if count_numeric(delimiter):
        return delimiter
    # Nothing splits into numbers: one column, or bad cells in every line; take what separates words in most lines.
    one_column = any(is_numeric([_with_point(line.text, None)]) for line in lines)
    return None if one_column else max(DELIMITERS, key=count_split)


def _with_point(cell: str, delimiter: str | None) -> str:
    return cell if delimiter == "," else cell.replace(",", ".")


def _cells(line: Line, delimiter: str | None, decimal_comma: bool) -> list[str]:
    cells = split_cells(line.text, delimiter)
    return [cell.replace(",", ".") for cell in cells] if decimal_comma else cells


def _has_decimal_comma(content: Sequence[Line], delimiter: str | None) -> bool:
    """Return True if commas are decimal marks: they are inside cells, and no row has a point."""
    rows = [line for line in content if parse_number(_with_point(split_cells(line.text, delimiter)[0], delimiter)) is not None]
    with_comma = [line for line in rows if "," in line.text]
    if delimiter == "," or not with_comma or any("." in line.text for line in rows):
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


def _header_in_comments(comments: Sequence[Line], first: Line, delimiter: str | None) -> list[str] | None:
    """Return names from the comments above the rows: the last comment with one word for each column."""
    width = len(split_cells(first.text, delimiter))
    above = [strip_comment(line.text) for line in comments if line.number < first.number]
    # Blanks also separate the words of a sentence, so there only the line directly above the rows can be a header.
    for text in reversed(above if delimiter is not None else above[-1:]):
        cells = split_words(text) if delimiter is None else split_cells(text, delimiter)
        if len(cells) == width and not is_numeric(cells) and all(parse_number(cell) is None for cell in cells):
            return cells
    return None


def _check_header(line: Line, header: Sequence[str]) -> None:
    """Refuse a first line that is half header, half numbers; whole numbers may name channels: `x-axis,1,2`."""
    for column, cell in enumerate(header):
        if cell and parse_number(cell) is not None and not cell.isdigit():
            raise TraceError(
                f"line {line.number} mixes words and numbers ({cell!r} in column {column + 1}): it is neither a header "
                "nor a row. Correct it, or put # before lines that are not part of the table."
            )


def _units_row(cells: Sequence[str], width: int) -> list[str] | None:
    """Return the units in the line below the header if it has as many cells and only words; otherwise it is a row."""
    filled = [cell for cell in cells if cell]
    are_words = bool(filled) and all(parse_number(cell) is None for cell in filled)
    return list(cells) if are_words and len(cells) == width else None
