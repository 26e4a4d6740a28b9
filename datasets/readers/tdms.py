"""LabVIEW TDMS, by npTDMS (extra `tdms`): each group a recording, time = wf_start_offset + i wf_increment.

Scales of the channels (DAQmx, linear, polynomial, ...) are applied as NI defines them. LabVIEW's "g" is the standard gravity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TraceError
from ...typing import Array
from .arrays import plain
from .labview import UNITS
from .optional import library, overheard, refusing
from .table import Part, Progress, Table, chosen, ticks

NAME = "tdms"


def sniff(head: bytes) -> bool:
    """Whether the file begins as one, or as the index of one."""
    return head.startswith(b"TDS")


def read(path: Path, part: Part = None, progress: Progress = None) -> Table:
    """The channels of a group.

    Raises:
        SeveralParts: several groups, and no `part`.
        TraceError: npTDMS is not installed, the file is damaged, or the channels do not belong together.
    """
    nptdms = library("nptdms", "tdms", "a LabVIEW TDMS file")
    with path.open("rb") as file:
        if file.read(4) == b"TDSh":
            raise TraceError("this is the index of a TDMS file; name the file ending in .tdms itself.")
    # The library would leave a damaged file open.
    with path.open("rb") as stream, refusing("TDMS file"), overheard("nptdms") as said:
        file = nptdms.TdmsFile.read(stream)
        groups = {group.name: _numeric(group) for group in file.groups()}
        groups = {name: channels for name, channels in groups.items() if channels and not all(map(_is_decimated, channels))}
        groups = {name: each for group, channels in groups.items() for name, each in _alike(group, channels)}
        if not groups:
            raise TraceError("there is no group with channels of numbers in this file.")
        channels = chosen(groups, part, lambda group: f"{len(group[0])} rows of {len(group)} channels")
        table = _table(channels, {name: plain(value) for name, value in file.properties.items()}, progress)
    if not said:
        return table
    told = "; ".join(dict.fromkeys(" ".join(each.split())[:120] for each in said))
    return replace(table, doubts=(f"the file may be cut off or damaged: {told}",))


def _numeric(group: Any) -> list[Any]:
    return [each for each in group.channels() if len(each) and np.dtype(each.dtype).kind in "buifM"]


def _alike(group: str, channels: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    """The channels of a group by length and interval; named by its length where there are several."""
    kinds: dict[tuple[int, Any], list[Any]] = {}
    for channel in channels:
        kinds.setdefault((len(channel), channel.properties.get("wf_increment")), []).append(channel)
    for (rows, step), each in kinds.items():
        yield group if len(kinds) == 1 else f"{group} ({rows} rows{f', every {float(step):g} s' if step else ''})", each


def _is_decimated(channel: Any) -> bool:
    """Whether SignalExpress wrote the channel as a coarse copy, for drawing."""
    return str(channel.properties.get("DecimationLevel", "0")) not in ("0", "0.0")


def _table(channels: list[Any], properties: dict[str, Any], progress: Progress) -> Table:
    names, columns, units = [], [], []
    for place, channel in enumerate(channels, start=1):
        names.append(channel.name)
        columns.append(_values(channel))
        unit = str(channel.properties.get("unit_string", channel.properties.get("NI_UnitDescription", "")) or "")
        units.append("s" if np.dtype(channel.dtype).kind == "M" else UNITS.get(unit, unit) or None)
        if progress:
            progress(f"reading channel {place} of {len(channels)}")
    metadata = {"header": properties, "channels": {c.name: {k: plain(v) for k, v in c.properties.items()} for c in channels}}
    step = channels[0].properties.get("wf_increment")
    if step and "time" not in names:
        start = float(channels[0].properties.get("wf_start_offset", 0.0) or 0.0)
        clock = ticks(start, float(step), len(columns[0]))
        return Table(("time", *names), (clock, *columns), ("s", *units), metadata=metadata, time="time")
    return Table(tuple(names), tuple(columns), tuple(units), metadata=metadata)


def _values(channel: Any) -> Array:
    if np.dtype(channel.dtype).kind == "M":
        stamps = channel[:]
        return np.asarray((stamps - stamps[0]) / np.timedelta64(1, "ns"), dtype=np.float64) / 1e9
    return np.asarray(channel[:], dtype=np.float64)
