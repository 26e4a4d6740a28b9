"""Rigol exports whose rows are numbered: `X,CH1,CH2,Start,Increment`, with start and increment [s] below the two words.

DS1000Z, MSO1000Z and DS2000: the second line is `Sequence,Volt,Volt,-3.0e-07,5.0e-10`, and may have a cell more or less than
the first. MSO5000, DHO800 and others write `Time(s),CH1V,t0 = -5e-3s, tInc = 1e-8` or leave the time out. Time = start + i
increment.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ...errors import TraceError
from ...typing import Progress
from ..parsing.grid import Line, parse_number, read_grid, split_cells
from ..parsing.header import bare_unit, is_unit, split_name
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.table import Table, sample_times
from ..parsing.text import read_text

_HEAD = re.compile(rb"(?:\xef\xbb\xbf)?[^\r\n]*,\s*Start,\s*Increment\s*,?\s*[\r\n]", re.IGNORECASE)
_INLINE_HEAD = re.compile(rb"(?:\xef\xbb\xbf)?[^\r\n]*\bt0 ?= ?[-+.\deE]+ ?s?, *tInc ?= ?[-+.\deE]+", re.IGNORECASE)
_INLINE = re.compile(r"t0 ?= ?(?P<start>[-+.\deE]+?) ?s?, *tInc ?= ?(?P<step>[-+.\d]+(?:[eE][-+]?\d+)?)", re.IGNORECASE)


def sniff(head: bytes) -> bool:
    """Return True if the first line names start and increment."""
    return bool(_HEAD.match(head) or _INLINE_HEAD.match(head))


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the channels over start + i increment.

    Raises:
        TraceError: no increment, or a bad row.
    """
    text = read_text(path)
    lines = [Line(number, line) for number, line in enumerate(text.lines, start=1) if line.strip(" ,")]
    inline = _INLINE.search(lines[0].text)
    if inline:
        clock, names = [inline["start"], inline["step"]], split_cells(lines[0].text[: inline.start()], ",")
        units: list[str | None] = [None] * len(names)
        rows = lines[1:]
    else:
        names = [cell for cell in split_cells(lines[0].text, ",") if cell][:-2]
        second = [cell for cell in split_cells(lines[1].text, ",") if cell] if len(lines) > 1 else []
        clock, units, rows = second[-2:], [*second[:-2], *[None] * len(names)][: len(names)], lines[2:]
    start, step = (parse_number(cell) for cell in clock) if len(clock) == 2 else (None, None)
    if start is None or step is None or not step > 0:
        raise TraceError(f"line 2 gives no start and increment of the time ({', '.join(clock) or 'it has no cells'}).")
    names = [name for name in names if name]
    columns = read_grid(rows, ",", names, complete=text.complete) if rows else np.empty((len(names), 0))
    channels = [k for k, name in enumerate(names) if name.casefold() != "x" and not name.casefold().startswith("time")]
    labels = [_inline_label(name) for name in names] if inline else list(zip(names, map(_unit, units), strict=True))
    return Table(
        ("time", *(labels[k][0] for k in channels)),
        (sample_times(start, step, columns.shape[1]), *(columns[k] for k in channels)),
        ("s", *(labels[k][1] for k in channels)),
        metadata={"header": {"Start": start, "Increment": step}, "encoding": text.encoding},
        time="time",
    )


def _inline_label(name: str) -> tuple[str, str | None]:
    """Return name and unit of `CH1(V)` or `CH1V`."""
    return split_name(name if "(" in name else re.sub(r"(?<=\d)(m?V|m?A)$", r" (\1)", name))


def _unit(cell: str | None) -> str | None:
    unit = bare_unit(cell) if cell else None
    return unit if unit and is_unit(unit) else None


register_reader("rigol", sniff, read, priority=170)
