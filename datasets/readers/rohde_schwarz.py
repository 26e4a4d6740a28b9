"""Rohde & Schwarz RTP, RTO and RTE exports: values without a header in `name.Wfm.csv`, and their settings in another file.

The settings (XML or lines, in `name.csv` or any file of the same folder whose name begins alike) have `XStart`,
`SignalResolution` [s], `SignalRecordLength`, `BaseUnit` and the source. A file of one column has no times: time = XStart + i
SignalResolution. `read_trace` accepts either of the two files.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ...errors import TraceError
from ...typing import Progress
from ..parsing.grid import Line, parse_number, parse_whole_number, read_grid, split_cells
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.table import Table, sample_times
from ..parsing.text import read_text

_XML = re.compile(rb"\s*(?:<\?xml[^>]*\?>\s*)?<Database\b", re.IGNORECASE)
#: The settings in lines, `XStart:-5e-06:`, as RTO writes them; these keys are near the beginning.
_LINES = re.compile(rb"(?:^|\n)(?:XStart|Resolution|RecordLength|SignalResolution)[:;]", re.IGNORECASE)
_PROPERTY = re.compile(r'<Prop [^>]*?Name="(?P<name>[^"]*)"[^>]*? Value="(?P<value>[^"]*)"')
_LINE = re.compile(r"^(?P<name>\w+)[:;](?P<value>[^:;\r\n]*)", re.MULTILINE)
_VALUES_ENDING = ".wfm.csv"
_MAX_SETTINGS_BYTES = 2_000_000


def sniff(head: bytes) -> bool:
    """Return True for a file of settings."""
    return bool(_XML.match(head)) or (b"XStart" in head and len(_LINES.findall(head)) >= 2)


def is_values_file(path: Path) -> bool:
    """Return True for a file of values with its file of settings; its content has no mark of its own."""
    return path.name.casefold().endswith(_VALUES_ENDING) and (companion(path) is not None or _has_one_column(path))


def _has_one_column(path: Path) -> bool:
    """Return True for a file of values without times, which cannot be read without its settings."""
    try:
        with path.open("rb") as file:
            line = file.readline(4096)
    except OSError:
        return False
    return parse_number(line.decode("latin-1")) is not None and bool(line.strip())


def companion(path: Path) -> Path | None:
    """Return the file of settings of a file of values, or the file of values of one of settings; None if there is none."""
    name = path.name.casefold()
    try:
        if name.endswith(_VALUES_ENDING):
            stem = path.name[: -len(_VALUES_ENDING)]
            others = sorted(p for p in path.parent.iterdir() if p.name.startswith(stem) and p != path and p.is_file())
            return next((p for p in others if _is_settings(p)), None)
        others = sorted(p for p in path.parent.iterdir() if p.name.casefold().endswith(_VALUES_ENDING) and p.is_file())
        return next((p for p in others if path.name.startswith(p.name[: -len(_VALUES_ENDING)])), None)
    except OSError:
        return None


def _is_settings(path: Path) -> bool:
    with path.open("rb") as file:
        return sniff(file.read(4096))


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the channels of the file of values, with the times given by the file of settings.

    Raises:
        TraceError: one of the two files is missing, or they contradict each other.
    """
    other = companion(path)
    if other is None and path.name.casefold().endswith(_VALUES_ENDING):
        stem = path.name[: -len(_VALUES_ENDING)]
        raise TraceError(
            f"these are the values of a Rohde & Schwarz waveform, and the file of its settings ({stem}.csv, {stem}.xml or "
            f"{stem}_header.bin) is not in the same folder; put both into one folder, or pass format='delimited' and the "
            "sample interval."
        )
    if other is None:
        raise TraceError(
            "these are the settings of a Rohde & Schwarz waveform, and the file of values (name.Wfm.csv) is not in the "
            "same folder; put both into one folder."
        )
    settings_file, values_file = (other, path) if path.name.casefold().endswith(_VALUES_ENDING) else (path, other)
    settings = _settings(settings_file)
    step_key = "SignalResolution" if "SignalResolution" in settings else "Resolution"
    start, step = (parse_number(settings.get(key, "")) for key in ("XStart", step_key))
    if start is None or step is None or not step > 0:
        raise TraceError(f"{settings_file.name} gives no XStart and SignalResolution; is it damaged?")
    text = read_text(values_file)
    rows = [Line(number, line) for number, line in enumerate(text.lines, start=1) if line.strip()]
    delimiter = next((mark for mark in (",", ";", "\t") if rows and mark in rows[0].text), ",")
    width = len(split_cells(rows[0].text, delimiter)) if rows else 0
    columns = read_grid(rows, delimiter, [f"column {k + 1}" for k in range(width)], complete=text.complete)
    has_times = "XY" in settings.get("SignalFormat", "") or (width > 1 and bool((np.diff(columns[0]) > 0).all()))
    times = columns[0] if has_times else sample_times(start, step, columns.shape[1])
    channels = columns[1:] if has_times else columns
    if abs(times[0] - start) > 1.5 * step:
        raise TraceError(
            f"{values_file.name} begins at {times[0]:g} s, and {settings_file.name} gives {start:g} s; are they of one record?"
        )
    source = re.search(r"CH(\d+)", settings.get("Source", ""))
    first = int(source[1]) if source else 1
    unit = settings.get("BaseUnit", settings.get("VerticalUnit", "")).rpartition("_")[2] or None
    length = parse_whole_number(settings.get("SignalRecordLength", settings.get("RecordLength", "")))
    doubts: tuple[str, ...] = ()
    if length is not None and length != columns.shape[1]:
        doubts = (f"{settings_file.name} gives {length} samples, but {values_file.name} has {columns.shape[1]}",)
    names = tuple(f"CH{first + k}" for k in range(len(channels)))
    units = ("s", *[unit] * len(names))
    return Table(("time", *names), (times, *channels), units, metadata={"header": settings}, time="time", doubts=doubts)


def _settings(path: Path) -> dict[str, str]:
    if path.stat().st_size > _MAX_SETTINGS_BYTES:
        raise TraceError(f"{path.name} is too large for a file of settings.")
    text = path.read_text("utf-8", errors="replace")
    return dict(_PROPERTY.findall(text) or _LINE.findall(text))


register_reader("rohde-schwarz", sniff, read, priority=150, recognises_path=is_values_file)
