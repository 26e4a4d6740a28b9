"""Text with several tables one below the other: runs of a stepped simulation, blocks between blank lines, repeated headers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from .delimited_lines import COMMENTS, is_row, split_anywhere
from .grid import Line
from .header import is_unit_of, split_name
from .text import Text

_STEP = re.compile(r"\s*Step Information:\s*(?P<name>.*?)\s*(?:\((?:Step|Run):.*)?", re.IGNORECASE)
_MIN_ROWS = 2
_TIME = re.compile(r"t|times?|.*\btime\b.*", re.IGNORECASE)


def split_parts(text: Text) -> dict[str, list[Line]]:
    """Return the lines of each table of a text by its name; one table without a name for a plain text.

    Lines above the first rows belong to every part that has no header of its own.
    """
    lines = [Line(number, line) for number, line in enumerate(text.lines, start=1)]
    return _steps(lines) or _blocks(lines) or _repeated_headers(lines) or {"": lines}


def _steps(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Return the parts below lines `Step Information: R=1K  (Run: 1/2)` of LTspice."""
    starts = [index for index, line in enumerate(lines) if _is_step(line)]
    if not starts:
        return {}
    head = list(lines[: starts[0]])
    parts: dict[str, list[Line]] = {}
    for begin, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        match = _STEP.fullmatch(lines[begin].text)
        _add(parts, match["name"] if match else "", [*head, *lines[begin + 1 : end]])
    return parts


def _is_step(line: Line) -> bool:
    return "tep" in line.text[:12] and _STEP.fullmatch(line.text) is not None


def _blocks(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Return the parts between two blank lines, or between single ones where the time begins again."""
    for blank_lines in (2, 1):
        blocks = _between_blank_lines(lines, blank_lines)
        first = next((index for index, block in enumerate(blocks) if _count_rows(block) >= _MIN_ROWS), None)
        if first is None:
            return {}
        head = [line for block in blocks[:first] for line in block]
        tables = blocks[first:]
        if len(tables) < 2 or any(_count_rows(block) < _MIN_ROWS for block in tables):
            continue
        shared = [*head, *_above_rows(tables[0])]
        parts = [[*head, *tables[0]]]
        parts += [[*([] if _has_own_header(block) else shared), *block] for block in tables[1:]]
        if blank_lines == 2 or _time_begins_again(shared, tables):
            named: dict[str, list[Line]] = {}
            for part in parts:
                _add(named, "", part)
            return named
    return {}


def _between_blank_lines(lines: Sequence[Line], count: int) -> list[list[Line]]:
    blocks: list[list[Line]] = [[]]
    blank = 0
    for line in lines:
        if not line.text.strip(" \t,;"):
            blank += 1
            continue
        if blank >= count and blocks[-1]:
            blocks.append([])
        blank = 0
        blocks[-1].append(line)
    return [block for block in blocks if block]


def _count_rows(block: Sequence[Line]) -> int:
    """Return the number of rows, counted up to the few that matter."""
    count = 0
    for line in block:
        count += is_row(line.text)
        if count >= _MIN_ROWS:
            break
    return count


def _above_rows(block: Sequence[Line]) -> list[Line]:
    return list(block[: next((index for index, line in enumerate(block) if is_row(line.text)), len(block))])


def _has_own_header(block: Sequence[Line]) -> bool:
    return not is_row(block[0].text) and not block[0].text.lstrip().startswith(COMMENTS)


def _time_begins_again(head: Sequence[Line], tables: Sequence[Sequence[Line]]) -> bool:
    """Return True if the first column is a time, grows within each block, and begins again in the next one."""
    titles = [line.text.lstrip("#% ") for line in head]
    name, unit = split_name(split_anywhere(titles[-1])[0]) if titles else ("", None)
    if titles and not (_TIME.fullmatch(name) or is_unit_of(unit, "s")):
        return False
    last = None
    for block in tables:
        values = [float(split_anywhere(line.text)[0]) for line in block if is_row(line.text)]
        if any(b <= a for a, b in itertools.pairwise(values)) or (last is not None and values[0] > last):
            return False
        last = values[-1]
    return True


def _repeated_headers(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Return the parts below copies of the header, as programs write them that append to a file."""
    first = next((index for index, line in enumerate(lines) if is_row(line.text)), 0)
    if not first:
        return {}
    titles = [index for index in range(first) if lines[index].text.strip() and not is_row(lines[index].text)]
    header = next((lines[index].text.strip() for index in reversed(titles)), "")
    starts = [index for index, line in enumerate(lines) if line.text.strip() == header] if header else []
    if len(starts) < 2 or header.lstrip().startswith(COMMENTS):
        return {}
    head = list(lines[: starts[0]])
    parts: dict[str, list[Line]] = {}
    for begin, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        if _count_rows(lines[begin:end]):
            _add(parts, "", [*head, *lines[begin:end]])
    return parts if len(parts) > 1 else {}


def _add(parts: dict[str, list[Line]], name: str, lines: list[Line]) -> None:
    """Add a part, numbered from one where it has no name or the name of another one."""
    name = name or f"part {len(parts) + 1}"
    parts[name if name not in parts else f"{name} #{len(parts) + 1}"] = lines
