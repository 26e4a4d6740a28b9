"""Rohde & Schwarz RTP, RTO and RTE exports: numbers without a header in `name.Wfm.csv`, and their settings as XML beside them.

The settings (XML or lines, in `name.csv` or any file beside whose name begins alike) have `XStart`, `SignalResolution` [s],
`SignalRecordLength`, `BaseUnit` and the source. A file of one column has no times: time = XStart + i SignalResolution. Either
of the two may be named.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ...errors import TraceError
from .grid import Line, number, read_grid, split, whole
from .table import Part, Progress, Table, ticks
from .text import read_text

NAME = "rohde-schwarz"

_XML = re.compile(rb"\s*(?:<\?xml[^>]*\?>\s*)?<Database\b", re.IGNORECASE)
#: The same in lines, `XStart:-5e-06:`, as RTO writes them; of the keys, these stand near the beginning.
_LINES = re.compile(rb"(?:^|\n)(?:XStart|Resolution|RecordLength|SignalResolution)[:;]", re.IGNORECASE)
_PROPERTY = re.compile(r'<Prop [^>]*?Name="(?P<name>[^"]*)"[^>]*? Value="(?P<value>[^"]*)"')
_LINE = re.compile(r"^(?P<name>\w+)[:;](?P<value>[^:;\r\n]*)", re.MULTILINE)
_VALUES = (".wfm.csv",)
_LARGEST = 2_000_000


def sniff(head: bytes) -> bool:
    """Whether this is a file of settings."""
    return bool(_XML.match(head)) or (b"XStart" in head and len(_LINES.findall(head)) >= 2)


def companion(path: Path) -> Path | None:
    """The file of settings beside a file of values, or of values beside one of settings; None if there is none."""
    name = path.name.casefold()
    try:
        if name.endswith(_VALUES):
            stem = path.name[: -len(_VALUES[0])]
            beside = sorted(p for p in path.parent.iterdir() if p.name.startswith(stem) and p != path and p.is_file())
            return next((p for p in beside if _is_settings(p)), None)
        beside = sorted(p for p in path.parent.iterdir() if p.name.casefold().endswith(_VALUES) and p.is_file())
        return next((p for p in beside if path.name.startswith(p.name[: -len(_VALUES[0])])), None)
    except OSError:
        return None


def _is_settings(path: Path) -> bool:
    with path.open("rb") as file:
        return sniff(file.read(4096))


def read(path: Path, part: Part = None, progress: Progress = None) -> Table:
    """The channels of the file of values, with the clock of the file of settings.

    Raises:
        TraceError: one of the two files is missing, or they contradict each other.
    """
    other = companion(path)
    if other is None:
        raise TraceError(
            "these are the settings of a Rohde & Schwarz waveform, and the file of values (name.Wfm.csv) is not beside "
            "them; put "
            "both into one folder."
        )
    settings, values = (other, path) if path.name.casefold().endswith(_VALUES) else (path, other)
    if settings.stat().st_size > _LARGEST:
        raise TraceError(f"{settings.name} is too large for a file of settings.")
    text_of = settings.read_text("utf-8", errors="replace")
    head: dict[str, str] = dict(_PROPERTY.findall(text_of) or _LINE.findall(text_of))
    start, step = (
        number(head.get(key, "")) for key in ("XStart", "SignalResolution" if "SignalResolution" in head else "Resolution")
    )
    if start is None or step is None or not step > 0:
        raise TraceError(f"{settings.name} gives no XStart and SignalResolution; is it damaged?")
    text = read_text(values)
    rows = [Line(place, line) for place, line in enumerate(text.lines, start=1) if line.strip()]
    mark = next((mark for mark in (",", ";", "\t") if rows and mark in rows[0].text), ",")
    width = len(split(rows[0].text, mark)) if rows else 0
    columns = read_grid(rows, mark, [f"column {k + 1}" for k in range(width)], complete=text.complete)
    timed = "XY" in head.get("SignalFormat", "") or (width > 1 and bool((np.diff(columns[0]) > 0).all()))
    clock = columns[0] if timed else ticks(start, step, columns.shape[1])
    channels = columns[1:] if timed else columns
    if abs(clock[0] - start) > 1.5 * step:
        raise TraceError(
            f"{values.name} begins at {clock[0]:g} s, and {settings.name} says {start:g} s; are they of one record?"
        )
    source = re.search(r"CH(\d+)", head.get("Source", ""))
    first = int(source[1]) if source else 1
    unit = head.get("BaseUnit", head.get("VerticalUnit", "")).rpartition("_")[2] or None
    length = whole(head.get("SignalRecordLength", head.get("RecordLength", "")))
    doubts: tuple[str, ...] = ()
    if length is not None and length != columns.shape[1]:
        doubts = (f"{settings.name} says {length} samples, and {values.name} has {columns.shape[1]}",)
    names = tuple(f"CH{first + k}" for k in range(len(channels)))
    return Table(
        ("time", *names), (clock, *channels), ("s", *[unit] * len(names)), metadata={"header": head}, time="time", doubts=doubts
    )
