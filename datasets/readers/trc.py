"""LeCroy waveforms (.trc): the descriptor WAVEDESC of 346 bytes, perhaps behind `#9000001350`, then the samples.

value = VERTICAL_GAIN sample - VERTICAL_OFFSET, time = HORIZ_OFFSET + i HORIZ_INTERVAL. A sequence holds several segments, each
with a trigger time of its own; each is a recording.

Source: LeCroy waveform template LECROY_2_3 (remote control manual).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TraceError
from ...typing import Array
from .table import Part, Progress, Table, chosen, ticks

NAME = "trc"

_WITHIN = 64  # bytes before the descriptor, at most


@dataclass
class _Segment:
    values: Array
    offset: float
    trigger: float

    def described(self) -> str:
        return f"{len(self.values)} samples, triggered {self.trigger:.6g} s after the first"


def sniff(head: bytes) -> bool:
    """Whether the descriptor stands at the beginning."""
    return 0 <= head.find(b"WAVEDESC") <= _WITHIN


def read(path: Path, part: Part = None, progress: Progress = None) -> Table:
    """Time and the channel.

    Raises:
        SeveralParts: a sequence of segments, and no `part`.
        TraceError: a descriptor that contradicts itself, or fewer samples than it promises.
    """
    data = path.read_bytes()
    begin = data.find(b"WAVEDESC")
    if begin < 0 or len(data) < begin + 346:
        raise TraceError("the descriptor of the waveform is cut off.")
    order = "<" if struct.unpack_from("<H", data, begin + 34)[0] == 1 else ">"

    def at(place: int, kind: str) -> Any:
        return struct.unpack_from(order + kind, data, begin + place)[0]

    lengths = [at(place, "i") for place in (36, 40, 44, 48, 52, 56, 60)]
    if any(length < 0 or length > len(data) for length in lengths):
        raise TraceError("the lengths in the descriptor of the waveform do not fit the file; it is damaged, or was cut off.")
    size = 2 if at(32, "H") else 1
    promised = at(116, "i")
    count, start = lengths[6] // size, begin + sum(lengths[:6])
    if start + lengths[6] > len(data):
        raise TraceError(
            f"the waveform has {(len(data) - start) // size} samples, and its head promises {count}; was it cut off?"
        )
    doubts = () if promised == count else (f"its head says {promised} samples, and {count} of them are there",)
    raw = np.frombuffer(data, f"{order}i{size}", count, start)
    gain, shift, interval = at(156, "f"), at(160, "f"), float(np.float32(at(176, "f")))
    offset = at(180, "d")
    if not (np.isfinite([gain, shift, interval, offset]).all() and interval > 0):
        raise TraceError("the scales in the descriptor of the waveform are no numbers; the file is damaged.")
    segments = max(at(144, "i"), 1)
    if segments > max(count, 1) or (segments > 1 and lengths[3] < 16 * segments):
        raise TraceError(f"the waveform claims {segments} segments, for which it has no trigger times; the file is damaged.")
    triggers = [(0.0, offset)]
    if segments > 1:
        place = begin + sum(lengths[:3])
        triggers = [struct.unpack_from(order + "dd", data, place + 16 * k) for k in range(segments)]
    values = gain * raw.astype(np.float64) - shift
    parts = {
        f"segment {k}": _Segment(each, triggers[k - 1][1], triggers[k - 1][0])
        for k, each in enumerate(np.split(values[: count // segments * segments], segments), start=1)
    }
    found = chosen(parts, part, _Segment.described)
    name = (
        _word(data, begin + 96, 16) or f"C{at(344, 'H') + 1}" if at(344, "H") < 4 else _word(data, begin + 96, 16) or "waveform"
    )
    head = {
        "instrument": _word(data, begin + 76, 16),
        "number": at(92, "i"),
        "trigger_time": _stamp(data, begin + 296, order),
        "trigger_of_segment": found.trigger,
        "segments": segments,
        "probe_attenuation": at(328, "f"),
        "user_text": _word(data, begin + lengths[0], lengths[1]),
    }
    units = (_word(data, begin + 244, 48).lower() or "s", _word(data, begin + 196, 48))
    times = ticks(found.offset, interval, len(found.values))
    return Table(("time", name), (times, found.values), units, metadata={"header": head}, time="time", doubts=doubts)


def _word(data: bytes, place: int, length: int) -> str:
    return data[place : place + length].split(b"\0")[0].decode("latin-1").strip()


def _stamp(data: bytes, place: int, order: str) -> str:
    seconds, minute, hour, day, month, year = struct.unpack_from(order + "dBBBBh", data, place)
    return f"{year:04d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{seconds:09.6f}" if np.isfinite(seconds) else ""
