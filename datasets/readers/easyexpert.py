"""Keysight EasyEXPERT (B1500A, B1505A): a tag at the start of each line, `DataName, V1, I1` and `DataValue, ...` for each row.

`SetupTitle`, `TestParameter`, `MetaData` and `AnalysisSetup` lines contain the settings. The lists `Channel.VName` and
`Channel.IName` name the columns in volts and amperes. A file may contain several measurements, each with its own `SetupTitle`.
A sweep has no time; its samples are numbered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...errors import TraceError
from ...typing import Progress
from ..parsing.grid import Line, parse_whole_number, read_grid, split_cells
from ..parsing.header import is_unit
from ..parsing.parts import Part, choose_part
from ..parsing.reader import register_reader
from ..parsing.table import Table
from ..parsing.text import read_text

_BEGIN = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:SetupTitle|PrimitiveTest|TestParameter|MetaData|DataName) *,")
_MAX_SETTINGS = 400


@dataclass
class _Measurement:
    title: str
    settings: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    rows: list[Line] = field(default_factory=list)

    def describe(self) -> str:
        return f"{self.title}, {len(self.rows)} rows of {', '.join(self.names)}"


def sniff(head: bytes) -> bool:
    """Return True if the first line that is not empty has one of the tags."""
    return bool(_BEGIN.match(head))


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the columns of a measurement.

    Raises:
        SeveralParts: several measurements, and no `part`.
        TraceError: no rows, or a bad one.
    """
    text = read_text(path)
    measurements = [each for each in _measurements(text.lines) if each.rows]
    if not measurements:
        raise TraceError("there are settings in this file, but no rows of data (DataValue); export the list of data as well.")
    measurements = [sweep for each in measurements for sweep in _sweeps(each)]
    several = len(measurements) > 1
    parts = {f"{each.title} #{k}" if several else each.title: each for k, each in enumerate(measurements, start=1)}
    measurement = choose_part(parts, part, _Measurement.describe)
    columns = read_grid(measurement.rows, ",", measurement.names, complete=text.complete)
    settings = measurement.settings
    doubts: tuple[str, ...] = ()
    size = parse_whole_number(settings.get("Dimension1", "").split(",")[0])
    if size is not None:
        sweeps = parse_whole_number(settings.get("Dimension2", "1").split(",")[0]) or 1
        expected = size if several else size * sweeps
        if expected > len(measurement.rows):
            doubts = (f"its header gives {expected} rows, but the file has {len(measurement.rows)}; was it cut off?",)
    time = next((name for name in measurement.names if name == settings.get("Channel.Time") or name.casefold() == "time"), None)
    units = [("s" if name == time else _unit(name, settings)) for name in measurement.names]
    header = dict([item for item in settings.items() if not item[0].startswith("Analysis.")][:_MAX_SETTINGS])
    return Table(
        tuple(measurement.names),
        tuple(columns),
        tuple(units),
        metadata={"title": measurement.title, "header": header},
        time=time,
        doubts=doubts,
    )


def _measurements(lines: list[str]) -> list[_Measurement]:
    measurements = [_Measurement("measurement")]
    for number, line in enumerate(lines, start=1):
        tag, _, content = line.partition(",")
        tag, content = tag.strip(), content.strip()
        if tag == "SetupTitle":
            if measurements[-1].rows or measurements[-1].names:
                measurements.append(_Measurement(content))
            measurements[-1].title = content or "measurement"
        elif tag == "DataName":
            if measurements[-1].rows:
                measurements.append(_Measurement(measurements[-1].title, dict(measurements[-1].settings)))
            measurements[-1].names = [cell for cell in split_cells(content, ",") if cell]
        elif tag == "DataValue":
            measurements[-1].rows.append(Line(number, content))
        elif tag in ("TestParameter", "MetaData", "AnalysisSetup"):
            key, _, value = content.partition(",")
            measurements[-1].settings[key.strip()] = value.strip()
        elif tag.startswith("Dimension") or tag == "PrimitiveTest":
            measurements[-1].settings[tag] = content
    if any(each.rows and not each.names for each in measurements):
        raise TraceError("there are rows of data (DataValue) without their names (DataName); is the file damaged?")
    return measurements


def _sweeps(measurement: _Measurement) -> list[_Measurement]:
    """Return the sweeps of a measurement with two variables: `Dimension2` sweeps of `Dimension1` rows each."""
    size, count = (parse_whole_number(measurement.settings.get(key, "").split(",")[0]) for key in ("Dimension1", "Dimension2"))
    rows = measurement.rows
    if size is None or count is None or count < 2 or size < 2 or len(rows) != size * count:
        return [measurement]
    return [replace(measurement, rows=rows[begin : begin + size]) for begin in range(0, len(rows), size)]


def _unit(name: str, settings: dict[str, str]) -> str | None:
    for key, unit in (("Channel.VName", "V"), ("Channel.IName", "A"), ("Channel.FName", "Hz")):
        if name in split_cells(settings.get(key, ""), ","):
            return unit
    named = zip(
        split_cells(settings.get("Function.User.Name", ""), ","), split_cells(settings.get("Function.User.Unit", ""), ","),
        strict=False,
    )  # fmt: skip
    stated = dict(named).get(name)
    if stated and is_unit(stated):
        return stated
    # The default names of the program: V1, I1, Vg, Id, Idrain.
    return {"V": "V", "I": "A"}[name[0]] if re.fullmatch(r"[VI](?:\d+|[dgsb]|drain|gate|source|bulk|sub)", name) else None


register_reader("easyexpert", sniff, read, priority=130)
