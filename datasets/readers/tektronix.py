"""Tektronix exports that are not plain tables: TDS oscilloscopes, with settings left of the rows, and DMM40xx meters.

TDS 1000 .. 3000: `Record Length,2.5e+03,,  -0.0000280, -9.8,`: key and value in columns 1 and 2, time and volts in 4 and 5.
A line `,,,time,volt,` may name the columns above them.
Later times look like `-00.000024400000`. DMM40xx: `,1.99088E-01,Vdc,,` for each reading, and date and time in the first and
last line only. The exports of newer oscilloscopes are read by `delimited`, and .isf files by `isf`.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import numpy as np

from ...errors import TraceError
from ...traces.exact_clock import exact_times, is_exact
from ...typing import Progress
from ..parsing.grid import Line, is_numeric, parse_number, parse_whole_number, read_grid, split_cells
from ..parsing.header import is_unit, split_name
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.table import Table, count_doubt
from ..parsing.text import read_text

_TDS = re.compile(rb'(?:\xef\xbb\xbf)?(?:,,,[^\r\n\d]*\r?\n)?"?Record Length"?,"?[-+.\deE]+"?,[^,\n]*,\s*[-+.\d]')
_DMM = re.compile(rb",{4,}\d\d-[A-Z]{3}-\d{4},\d\d:\d\d:\d\d")
_STAMP = re.compile(r",{4,}(\d\d-[A-Z]{3}-\d{4},\d\d:\d\d:\d\d)")
_METER_UNITS = {"Vdc": "V", "Vac": "V", "Adc": "A", "Aac": "A", "OHM": "Ohm", "ohms": "Ohm"}


def sniff(head: bytes) -> bool:
    """Return True for a file of a TDS oscilloscope or a DMM40xx meter."""
    return bool(_TDS.match(head) or _DMM.match(head))


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read time and volts of an oscilloscope, or the readings of a meter.

    Raises:
        TraceError: a bad row, or no rows.
    """
    text = read_text(path)
    lines = [Line(number, line) for number, line in enumerate(text.lines, start=1) if line.strip(" ,\t")]
    if not lines:
        raise TraceError("there are no rows of numbers in this file.")
    return _readings(lines) if _STAMP.match(lines[0].text) else _waveform(lines, complete=text.complete)


def _waveform(lines: list[Line], *, complete: bool) -> Table:
    titles: list[str] = []
    if lines[0].text.startswith(",,,") and not is_numeric(split_cells(lines[0].text, ",")[3:5]):
        titles, lines = split_cells(lines[0].text, ",")[3:5], lines[1:]
    settings = {}
    for line in lines:
        key, *value = split_cells(line.text, ",")
        if key:
            settings[key.strip('"')] = value[0] if value else ""
    rows = [Line(line.number, ",".join(split_cells(line.text, ",")[3:5])) for line in lines]
    name, named_unit = split_name(titles[1]) if len(titles) > 1 else ("", None)
    source = settings.get("Source", "") or name or "CH1"
    unit = settings.get("Vertical Units", "") or named_unit or (name if is_unit(name) and name else None)
    # The signs are before zeros that are padding: -00.0000244.
    times, values = read_grid(rows, ",", ("time", source), complete=complete)
    time_unit = settings.get("Horizontal Units", "")
    time_unit = {"S": "s", "Sec": "s", "": "s"}.get(time_unit, time_unit)
    doubts = count_doubt(parse_whole_number(settings.get("Record Length", "")), len(rows))
    step = parse_number(settings.get("Sample Interval", ""))
    notes: tuple[str, ...] = ()
    if step and time_unit == "s" and not is_exact(times, step) and (exact := exact_times(times, 0.0, step)) is not None:
        times, notes = exact, (f"the times are rounded; they are those of the sample interval in the settings, {step:g} s",)
    columns = (times, values)
    return Table(
        ("time", source), columns, (time_unit, unit), metadata={"header": settings}, time="time", doubts=doubts, notes=notes
    )


def _readings(lines: list[Line]) -> Table:
    stamps = [match[1] for line in lines if (match := _STAMP.match(line.text))]
    rows = [line for line in lines if not _STAMP.match(line.text)]
    units = {split_cells(line.text, ",")[2] for line in rows if line.text.count(",") >= 2}
    if len(units) > 1:
        raise TraceError(f"the readings are in several units ({', '.join(sorted(units))}); cut the file into one for each.")
    cells = [Line(row.number, split_cells(row.text, ",")[1] if "," in row.text else row.text) for row in rows]
    values = read_grid(cells, ",", ("reading",))[0]
    metadata: dict[str, object] = {"stamps": stamps}
    doubts: tuple[str, ...] = ()
    if len(stamps) == 2 and len(values) > 1:
        begin, end = (datetime.strptime(stamp.title(), "%d-%b-%Y,%H:%M:%S") for stamp in stamps)
        interval = (end - begin).total_seconds() / (len(values) - 1)
        metadata["mean_interval"] = interval
        doubts = (
            f"it has no times; its first and last time stamp give {interval:.4g} s a reading on average: time={interval:.4g}",
        )
    unit = next(iter(units), "")
    unit = _METER_UNITS.get(unit, unit)
    return Table(("reading",), (np.asarray(values),), (unit or None,), metadata=metadata, doubts=doubts)


register_reader("tektronix", sniff, read, priority=160)
