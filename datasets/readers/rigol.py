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
from .grid import Line, number, read_grid, split
from .header import bare_unit, is_unit, split_name
from .table import Part, Progress, Table, ticks
from .text import read_text

NAME = "rigol"

_HEAD = re.compile(rb"(?:\xef\xbb\xbf)?[^\r\n]*,\s*Start,\s*Increment\s*,?\s*[\r\n]", re.IGNORECASE)
_INLINE = re.compile(rb"(?:\xef\xbb\xbf)?[^\r\n]*\bt0 ?= ?[-+.\deE]+ ?s?, *tInc ?= ?[-+.\deE]+", re.IGNORECASE)
_PAIR = re.compile(r"t0 ?= ?(?P<start>[-+.\deE]+?) ?s?, *tInc ?= ?(?P<step>[-+.\d]+(?:[eE][-+]?\d+)?)", re.IGNORECASE)


def sniff(head: bytes) -> bool:
    """Whether the first line names start and increment."""
    return bool(_HEAD.match(head) or _INLINE.match(head))


def read(path: Path, part: Part = None, progress: Progress = None) -> Table:
    """The channels over start + i increment.

    Raises:
        TraceError: no increment, or a bad row.
    """
    text = read_text(path)
    lines = [Line(place, line) for place, line in enumerate(text.lines, start=1) if line.strip(" ,")]
    inline = _PAIR.search(lines[0].text)
    if inline:
        numbers, names = [inline["start"], inline["step"]], split(lines[0].text[: inline.start()], ",")
        units: list[str | None] = [None] * len(names)
        rows = lines[1:]
    else:
        cells = [cell for cell in split(lines[0].text, ",") if cell]
        names = cells[:-2]
        below = [cell for cell in split(lines[1].text, ",") if cell] if len(lines) > 1 else []
        numbers, units, rows = below[-2:], [*below[:-2], *[None] * len(names)][: len(names)], lines[2:]
    start, step = (number(cell) for cell in numbers) if len(numbers) == 2 else (None, None)
    if start is None or step is None or not step > 0:
        raise TraceError(f"line 2 gives no start and increment of the time ({', '.join(numbers) or 'it has no cells'}).")
    names = [name for name in names if name]
    columns = read_grid(rows, ",", names, complete=text.complete) if rows else np.empty((len(names), 0))
    channels = [k for k, name in enumerate(names) if name.casefold() != "x" and not name.casefold().startswith("time")]
    if inline:
        named = [split_name(name if "(" in name else re.sub(r"(?<=\d)(m?V|m?A)$", r" (\1)", name)) for name in names]
    else:
        found = [bare_unit(unit) if unit else None for unit in units]
        named = [(name, unit if unit and is_unit(unit) else None) for name, unit in zip(names, found, strict=True)]
    return Table(
        ("time", *(named[k][0] for k in channels)),
        (ticks(start, step, columns.shape[1]), *(columns[k] for k in channels)),
        ("s", *(named[k][1] for k in channels)),
        metadata={"header": {"Start": start, "Increment": step}, "encoding": text.encoding},
        time="time",
    )
