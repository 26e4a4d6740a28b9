"""Keysight EasyEXPERT (B1500A, B1505A): a tag in front of each line, then `DataName, V1, I1` and `DataValue, ...` for each row.

`SetupTitle`, `TestParameter`, `MetaData` and `AnalysisSetup` lines hold the settings. Columns are volts or amperes as the lists
`Channel.VName` and `Channel.IName` say. A file may hold several measurements, each with a `SetupTitle` of its own. A sweep has
no time, and its columns then run over the sample number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import TraceError
from .grid import Line, read_grid, split, whole
from .table import Part, Progress, Table, chosen
from .text import read_text

NAME = "easyexpert"

_BEGIN = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:SetupTitle|PrimitiveTest|TestParameter|MetaData|DataName) *,")
_KEPT = 400


@dataclass
class _Measurement:
    title: str
    settings: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    rows: list[Line] = field(default_factory=list)

    def described(self) -> str:
        return f"{self.title}, {len(self.rows)} rows of {', '.join(self.names)}"


def sniff(head: bytes) -> bool:
    """Whether the first line that is not empty has one of its tags."""
    return bool(_BEGIN.match(head))


def read(path: Path, part: Part = None, progress: Progress = None) -> Table:
    """The columns of a measurement.

    Raises:
        SeveralParts: several measurements, and no `part`.
        TraceError: no rows, or a bad one.
    """
    text = read_text(path)
    found = [each for each in _measurements(text.lines) if each.rows]
    if not found:
        raise TraceError("there are settings in this file, but no rows of data (DataValue); export the list of data as well.")
    each = chosen({f"{each.title} #{k}" if len(found) > 1 else each.title: each for k, each in enumerate(found, start=1)},
                  part, _Measurement.described)  # fmt: skip
    columns = read_grid(each.rows, ",", each.names, complete=text.complete)
    doubts: tuple[str, ...] = ()
    expected = whole(each.settings.get("Dimension1", "").split(",")[0])
    if expected is not None:
        promised = expected * (whole(each.settings.get("Dimension2", "1").split(",")[0]) or 1)
        if promised > len(each.rows):
            doubts = (f"its head says {promised} rows, and it has {len(each.rows)}; was it cut off?",)
    clock = next((name for name in each.names if name == each.settings.get("Channel.Time") or name.casefold() == "time"), None)
    units = [("s" if name == clock else _unit(name, each.settings)) for name in each.names]
    settings = dict([item for item in each.settings.items() if not item[0].startswith("Analysis.")][:_KEPT])
    return Table(
        tuple(each.names),
        tuple(columns),
        tuple(units),
        metadata={"title": each.title, "header": settings},
        time=clock,
        doubts=doubts,
    )


def _measurements(lines: list[str]) -> list[_Measurement]:
    found = [_Measurement("measurement")]
    for place, line in enumerate(lines, start=1):
        tag, _, rest = line.partition(",")
        tag, rest = tag.strip(), rest.strip()
        if tag == "SetupTitle":
            if found[-1].rows or found[-1].names:
                found.append(_Measurement(rest))
            found[-1].title = rest or "measurement"
        elif tag == "DataName":
            if found[-1].rows:
                found.append(_Measurement(found[-1].title, dict(found[-1].settings)))
            found[-1].names = [cell for cell in split(rest, ",") if cell]
        elif tag == "DataValue":
            found[-1].rows.append(Line(place, rest))
        elif tag in ("TestParameter", "MetaData", "AnalysisSetup"):
            key, _, value = rest.partition(",")
            found[-1].settings[key.strip()] = value.strip()
        elif tag.startswith("Dimension") or tag == "PrimitiveTest":
            found[-1].settings[tag] = rest
    if any(each.rows and not each.names for each in found):
        raise TraceError("there are rows of data (DataValue) without their names (DataName); is the file damaged?")
    return found


def _unit(name: str, settings: dict[str, str]) -> str | None:
    for key, unit in (("Channel.VName", "V"), ("Channel.IName", "A"), ("Channel.FName", "Hz")):
        if name in split(settings.get(key, ""), ","):
            return unit
    # The names that the program gives by itself, V1, I1, Vg, Id, Idrain.
    return {"V": "V", "I": "A"}[name[0]] if re.fullmatch(r"[VI](?:\d+|[dgsb]|drain|gate|source|bulk|sub)", name) else None
