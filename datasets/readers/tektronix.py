"""Tektronix exports that are no plain tables: TDS oscilloscopes, which write settings left of the rows, and DMM40xx meters.

TDS 1000 .. 3000: `Record Length,2.5e+03,,  -0.0000280, -9.8,`: key and value in columns 1 and 2, time and volts in 4 and 5.
Later times look like `-00.000024400000`. DMM40xx: `,1.99088E-01,Vdc,,` for each reading, and date and time in the first and
last line only. The exports of newer oscilloscopes are read by `delimited`, and .isf files by `isf`.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import numpy as np

from ...errors import TraceError
from .grid import Line, read_grid, split, whole
from .table import Part, Progress, Table
from .text import read_text

NAME = "tektronix"

_TDS = re.compile(rb'(?:\xef\xbb\xbf)?"?Record Length"?,"?[-+.\deE]+"?,[^,\n]*,\s*[-+.\d]')
_DMM = re.compile(rb",{4,}\d\d-[A-Z]{3}-\d{4},\d\d:\d\d:\d\d")
_STAMP = re.compile(r",{4,}(\d\d-[A-Z]{3}-\d{4},\d\d:\d\d:\d\d)")


def sniff(head: bytes) -> bool:
    """Whether the file begins as one of the two."""
    return bool(_TDS.match(head) or _DMM.match(head))


def read(path: Path, part: Part = None, progress: Progress = None) -> Table:
    """Time and volts, or readings over their number.

    Raises:
        TraceError: a bad row, or no rows.
    """
    text = read_text(path)
    lines = [Line(place, line) for place, line in enumerate(text.lines, start=1) if line.strip(" ,\t")]
    if not lines:
        raise TraceError("there are no rows of numbers in this file.")
    return _readings(lines) if _STAMP.match(lines[0].text) else _waveform(lines, complete=text.complete)


def _waveform(lines: list[Line], *, complete: bool) -> Table:
    head = {}
    for line in lines:
        key, *value = split(line.text, ",")
        if key:
            head[key.strip('"')] = value[0] if value else ""
    rows = [Line(line.number, ",".join(split(line.text, ",")[3:5])) for line in lines]
    source, volts = head.get("Source", "CH1"), head.get("Vertical Units", "") or None
    # The signs stand before zeros that are padding: -00.0000244.
    times, values = read_grid(rows, ",", ("time", source), complete=complete)
    seconds = {"S": "s", "Sec": "s", "": "s"}.get(head.get("Horizontal Units", ""), head.get("Horizontal Units", "s"))
    doubts: tuple[str, ...] = ()
    length = whole(head.get("Record Length", ""))
    if length is not None and length != len(rows):
        doubts = (f"its head says {length} samples, and it has {len(rows)}; was it cut off?",)
    return Table(("time", source), (times, values), (seconds, volts), metadata={"header": head}, time="time", doubts=doubts)


def _readings(lines: list[Line]) -> Table:
    stamps = [found[1] for line in lines if (found := _STAMP.match(line.text))]
    rows = [line for line in lines if not _STAMP.match(line.text)]
    units = {split(line.text, ",")[2] for line in rows if line.text.count(",") >= 2}
    if len(units) > 1:
        raise TraceError(f"the readings are in several units ({', '.join(sorted(units))}); cut the file into one for each.")
    values = read_grid([Line(r.number, split(r.text, ",")[1] if "," in r.text else r.text) for r in rows], ",", ("reading",))[0]
    metadata: dict[str, object] = {"stamps": stamps}
    doubts: tuple[str, ...] = ()
    if len(stamps) == 2 and len(values) > 1:
        begin, end = (datetime.strptime(stamp.title(), "%d-%b-%Y,%H:%M:%S") for stamp in stamps)
        interval = (end - begin).total_seconds() / (len(values) - 1)
        metadata["mean_interval"] = interval
        doubts = (f"it has no times; its first and last stamp give {interval:.4g} s a reading on average: time={interval:.4g}",)
    kind = {"Vdc": "V", "Vac": "V", "Adc": "A", "Aac": "A", "OHM": "Ohm", "ohms": "Ohm"}
    unit = next(iter(units), "")
    return Table(("reading",), (np.asarray(values),), (kind.get(unit, unit) or None,), metadata=metadata, doubts=doubts)
