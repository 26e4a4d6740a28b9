"""LabVIEW TDMS, by npTDMS (extra `tdms`): each group is a recording, time = wf_start_offset + i wf_increment.

Channels that started at other times (wf_start_time, wf_start_offset) are cut to the time that all of them cover; those that
started a fraction of a sample apart are recordings of their own.

Scales of the channels (DAQmx, linear, polynomial, ...) are applied as NI defines them. LabVIEW's "g" is the standard gravity.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TraceError
from ...typing import Array, Progress
from ..parsing.arrays import to_plain
from ..parsing.labview_units import LABVIEW_UNITS
from ..parsing.libraries import captured_warnings, import_library, translated_errors
from ..parsing.parts import Part, choose_part
from ..parsing.reader import register_reader
from ..parsing.table import Table, sample_times

# Starts that differ by less than this share of a sample from a whole number of samples are aligned.
_SAME_SAMPLE = 0.05


def sniff(head: bytes) -> bool:
    """Return True for a TDMS file, or the index of one."""
    return head.startswith(b"TDS")


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the channels of a group.

    Raises:
        SeveralParts: several groups, and no `part`.
        TraceError: npTDMS is not installed, the file is damaged, or it has no channels of numbers.
    """
    nptdms = import_library("nptdms", "tdms", "a LabVIEW TDMS file")
    with path.open("rb") as file:
        if file.read(4) == b"TDSh":
            raise TraceError("this is the index of a TDMS file; name the file ending in .tdms itself.")
    # Opened here, since the library would leave a damaged file open.
    with path.open("rb") as stream, translated_errors("TDMS file"), captured_warnings("nptdms") as messages:
        file = nptdms.TdmsFile.read(stream)
        groups = {group.name: _numeric_channels(group) for group in file.groups()}
        groups = {name: channels for name, channels in groups.items() if channels and not all(map(_is_decimated, channels))}
        recordings = {name: each for group, channels in groups.items() for name, each in _recordings(group, channels)}
        if not recordings:
            raise TraceError("there is no group with channels of numbers in this file.")
        channels = choose_part(recordings, part, lambda each: f"{len(each[0])} rows of {len(each)} channels")
        table = _table(channels, {name: to_plain(value) for name, value in file.properties.items()}, progress)
    if not messages:
        return table
    listed = "; ".join(dict.fromkeys(" ".join(each.split())[:120] for each in messages))
    return replace(table, doubts=(f"the file may be cut off or damaged: {listed}",))


def _numeric_channels(group: Any) -> list[Any]:
    return [each for each in group.channels() if len(each) and np.dtype(each.dtype).kind in "buifM"]


def _recordings(group: str, channels: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the channels of a group by length, interval and start; the name contains these where there are several."""
    alike: dict[tuple[int, Any, float], list[Any]] = {}
    first = channels[0]
    for channel in channels:
        step = channel.properties.get("wf_increment")
        shift = _start(channel) - _start(first) if step else 0.0
        phase = _phase(shift, float(step)) if step else 0.0
        alike.setdefault((len(channel), step, phase), []).append(channel)
    several_phases = len({phase for _, _, phase in alike}) > 1
    for (rows, step, phase), each in alike.items():
        details = [f"{rows} rows"]
        details += [f"every {float(step):g} s"] if step else []
        details += [f"{phase:g} s after the others"] if several_phases and phase else []
        yield group if len(alike) == 1 else f"{group} ({', '.join(details)})", each


def _start(channel: Any) -> np.longdouble:
    """Return the time of the first sample [s]: that of the clock, and the offset to it."""
    start, offset = channel.properties.get("wf_start_time"), channel.properties.get("wf_start_offset", 0.0) or 0.0
    clock = np.longdouble(0)
    if start is not None:
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            clock = np.longdouble(np.datetime64(start, "ns").astype(np.int64)) / np.longdouble(1e9)
    begun: np.longdouble = clock + np.longdouble(offset)
    return begun


def _phase(shift: Any, step: float) -> float:
    """Return the part of a shift that is not a whole number of samples [s]; zero where it is negligible."""
    samples = float(shift) / step
    if not np.isfinite(samples):
        return 0.0
    part = samples - round(samples)
    return 0.0 if abs(part) < _SAME_SAMPLE else float(f"{float(shift):.6g}")


def _common_span(channels: list[Any], step: float) -> list[slice]:
    """Return the samples of each channel in the time that all of them cover.

    Raises:
        TraceError: they do not overlap.
    """
    starts = [round(float(_start(channel) - _start(channels[0])) / step) for channel in channels]
    begin = max(starts)
    rows = min(start + len(channel) for start, channel in zip(starts, channels, strict=True)) - begin
    if rows < 1:
        raise TraceError("its channels were recorded one after the other, and have no time in common; export them separately.")
    return [slice(begin - start, begin - start + rows) for start in starts]


def _is_decimated(channel: Any) -> bool:
    """Return True if SignalExpress wrote the channel as a coarse copy, for drawing."""
    return str(channel.properties.get("DecimationLevel", "0")) not in ("0", "0.0")


def _table(channels: list[Any], properties: dict[str, Any], progress: Progress | None) -> Table:
    names, columns, units = [], [], []
    step = channels[0].properties.get("wf_increment")
    spans = _common_span(channels, float(step)) if step and float(step) > 0 else [slice(None)] * len(channels)
    for count, (channel, span) in enumerate(zip(channels, spans, strict=True), start=1):
        names.append(channel.name)
        columns.append(_values(channel)[span])
        unit = str(channel.properties.get("unit_string", channel.properties.get("NI_UnitDescription", "")) or "")
        units.append("s" if np.dtype(channel.dtype).kind == "M" else LABVIEW_UNITS.get(unit, unit) or None)
        if progress:
            progress(f"reading channel {count} of {len(channels)}")
    metadata = {
        "header": properties,
        "channels": {each.name: {key: to_plain(value) for key, value in each.properties.items()} for each in channels},
    }
    cut = len(channels[0]) - len(columns[0])
    notes = (
        (f"its channels started at different times; {cut} samples outside of their common time are left out",) if cut else ()
    )
    if step and "time" not in names:
        start = float(channels[0].properties.get("wf_start_offset", 0.0) or 0.0) + float(step) * (spans[0].start or 0)
        times = sample_times(start, float(step), len(columns[0]))
        return Table(("time", *names), (times, *columns), ("s", *units), metadata=metadata, time="time", notes=notes)
    return Table(tuple(names), tuple(columns), tuple(units), metadata=metadata, notes=notes)


def _values(channel: Any) -> Array:
    if np.dtype(channel.dtype).kind == "M":
        stamps = channel[:]
        return np.asarray((stamps - stamps[0]) / np.timedelta64(1, "ns"), dtype=np.float64) / 1e9
    return np.asarray(channel[:], dtype=np.float64)


register_reader("tdms", sniff, read, priority=50)
