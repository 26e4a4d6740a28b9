"""The layout of delimited text, found from its first lines: delimiter, decimal mark, settings, header, units, rows.

The layout that explains most rows is chosen. What cannot be understood without a guess is refused with its line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...errors import TraceError
from .decimal_commas import has_decimal_comma, with_point
from .delimited_lines import split_footer, strip_comment
from .grid import Line, is_numeric, parse_number, split_cells
from .header import bare_unit, is_unit, is_unit_of, split_name, split_time_unit, split_words
from .messages import quoted

# In the order of preference where two of them explain the rows equally well.
DELIMITERS: tuple[str | None, ...] = ("\t", ";", ",", None)
#: Number of lines from which the layout is found.
SAMPLE_LINES = 100
_MAX_SETTINGS_LINES = 2000
# A list of names in a comment: "Channels (2/8): D0, D1".
_CHANNELS = re.compile(r"Channels\b[^:,]*:\s*", re.IGNORECASE)
_MIN_NUMBERS = 0.3
# A line of settings in a file of one column: UNITS:V
_SETTING = re.compile(r"[^:=]+[:=].+")


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
        footer: Lines of words below the table.
        ids: Cells of a second line of names above the first, such as QCoDeS's ids above its labels; empty if there is none.
    """

    delimiter: str | None
    header: list[str] | None
    units: list[str] | None
    rows: list[Line]
    decimal_comma: bool
    settings: list[Line] = field(default_factory=list)
    footer: list[Line] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

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
        if names and pairs and not pairs[0][0] and is_unit_of(units[0], "s"):
            names[0] = "time"  # Rigol: an empty cell above the unit of the time
        return names, units


def find_layout(comments: Sequence[Line], content: Sequence[Line]) -> Layout:
    """Find the layout of a text from its comments and its other lines.

    Raises:
        TraceError: no rows of numbers, a header that is half numbers, or commas that can be decimal marks or thousands
            separators.
    """
    if not content:
        raise TraceError("there are no rows of numbers in this file, only comments or empty lines.")
    delimiter = _find_delimiter(content)
    decimal_comma = has_decimal_comma(content, delimiter)
    begin = _count_settings_lines(content, delimiter, decimal_comma)
    settings, content = list(content[:begin]), content[begin:]
    cells = [_cells(line, delimiter, decimal_comma) for line in content[:3]]
    if is_numeric(cells[0]) or (parse_number(cells[0][0]) is not None and cells[0][0]):
        # A first line that begins with a number is a row; if it is a bad one, reading it reports so.
        headers = _headers_in_comments(comments, content[0], delimiter)
        header, ids = (*headers, None, None)[:2]
        rows, footer = split_footer(content, delimiter)
        return Layout(delimiter, header, None, rows, decimal_comma, settings, footer, ids or [])
    header = split_words(content[0].text) if delimiter is None else split_cells(content[0].text, delimiter)
    if delimiter is None and len(content) > 1 and len(header) != len(cells[1]):
        header = content[0].text.split()
    _check_header(content[0], header)
    if len(content) == 1:
        raise TraceError(f"the file has a header ({', '.join(filter(None, header))}) but no rows of numbers.")
    units = _units_row(cells[1], len(header)) if len(content) > 2 and is_numeric(cells[2]) else None
    rows, footer = split_footer(content[2 if units else 1 :], delimiter)
    _check_is_table(content[0], rows, delimiter, decimal_comma)
    if units and _are_units(header) and not _are_units(units):
        header, units = units, header  # names in the second line
    return Layout(delimiter, header, units, rows, decimal_comma, settings, footer)


def _check_is_table(header: Line, rows: Sequence[Line], delimiter: str | None, decimal_comma: bool) -> None:
    """Refuse prose and files of settings: lines of several lengths, most of whose cells are words.

    Raises:
        TraceError: it is no table.
    """
    cells = [_cells(line, delimiter, decimal_comma) for line in (header, *rows[:SAMPLE_LINES])]
    numbers = sum(value is not None and value == value for row in cells[1:] for value in map(parse_number, row))
    share = numbers / max(sum(map(len, cells[1:])), 1)
    if share >= _MIN_NUMBERS or (numbers and len({len(row) for row in cells}) < 2):
        return
    if any(is_numeric(row) and len(row) == len(cells[0]) > 1 for row in cells[1:]):
        return
    line = rows[0] if rows else header
    raise TraceError(
        f"this is not a table: there are no rows of numbers, and line {line.number} has words ({quoted(line.text.strip())}). "
        "Name the file with the recording."
    )


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
    can_be_header = [_can_be_header(cells, widths[first]) for cells in rows[:first]]
    if can_be_header[-1]:
        # Two lines of words: names, and units, which may be unknown ones.
        no_units_in_names = first == 2 and not any(split_name(cell)[1] for cell in rows[1])
        has_units_row = can_be_header[-2] and (
            _are_units(rows[first - 1]) or (no_units_in_names and bool(rows[first - 2][0])) or _are_units(rows[first - 2])
        )
        begin = first - 2 if has_units_row else first - 1
    else:
        begin = first
        if can_be_header[0] or (_filled_width(rows[first - 1]) == widths[first] and not _is_setting(rows[first - 1])):
            return 0
    return 0 if any(cells[0] and parse_number(cells[0]) is not None for cells in rows[:begin]) else begin


def _can_be_header(cells: Sequence[str], width: int) -> bool:
    """Return True if a line can be that of the names: as many cells as a row, all words; the first may be empty."""
    if _filled_width(cells) != width or not all(map(_can_be_name, cells)):
        return False
    if _is_setting(cells):
        return False
    return parse_number(cells[0]) is None or not cells[0]


def _is_setting(cells: Sequence[str]) -> bool:
    """Return True for `UNITS:V` in a line of one cell, and `Time interval :` in front of values."""
    if len(cells) == 1:
        return _SETTING.fullmatch(cells[0]) is not None
    return cells[0].endswith(":") and not all(cell.endswith(":") for cell in cells if cell)


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
        rows = [[with_point(cell, delimiter) for cell in split_cells(line.text, delimiter)] for line in lines]
        return sum(len(cells) > 1 and is_numeric(cells) for cells in rows)

    def count_split(delimiter: str | None) -> int:
        return sum(len(split_cells(line.text, delimiter)) > 1 for line in content[:SAMPLE_LINES])

    delimiter = max(DELIMITERS, key=count_numeric)
    if count_numeric(delimiter):
        return delimiter
    # Nothing splits into numbers: one column, or bad cells in every line; take what separates words in most lines.
    one_column = any(is_numeric([with_point(line.text, None)]) for line in lines)
    return None if one_column else max(DELIMITERS, key=count_split)


def _cells(line: Line, delimiter: str | None, decimal_comma: bool) -> list[str]:
    cells = split_cells(line.text, delimiter)
    return [cell.replace(",", ".") for cell in cells] if decimal_comma else cells


def _headers_in_comments(comments: Sequence[Line], first: Line, delimiter: str | None) -> list[list[str]]:
    """Return names from the comments above the rows, those with one word for each column, the last one first."""
    width = len(split_cells(first.text, delimiter))
    above = [_CHANNELS.sub("", strip_comment(line.text)) for line in comments if line.number < first.number]
    # Blanks also separate the words of a sentence, so there only the line directly above the rows can be a header.
    headers = []
    for text in reversed(above if delimiter is not None else above[-1:]):
        if width == 1 and _SETTING.fullmatch(text):
            continue
        cells = split_words(text) if delimiter is None else split_cells(text, delimiter)
        if len(cells) == width and not is_numeric(cells) and all(parse_number(cell) is None for cell in cells):
            headers.append(cells)
    return headers


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
