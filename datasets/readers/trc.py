"""LeCroy waveforms (.trc): the descriptor WAVEDESC of 346 bytes, perhaps after `#9000001350`, then the samples.

value = VERTICAL_GAIN sample - VERTICAL_OFFSET, time = HORIZ_OFFSET + i HORIZ_INTERVAL. A sequence contains several segments,
each with its own trigger time; each is a recording.

Source: LeCroy waveform template LECROY_2_3 (remote control manual).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import TraceError
from ...typing import Array, Progress
from ..parsing.parts import Part, choose_part
from ..parsing.reader import register_reader
from ..parsing.table import Table, sample_times

_MAX_BEFORE_DESCRIPTOR = 64  # bytes
_DESCRIPTOR = 346  # bytes


@dataclass
class _Segment:
    values: Array
    offset: float
    trigger: float

    def describe(self) -> str:
        return f"{len(self.values)} samples, triggered {self.trigger:.6g} s after the first"


def sniff(head: bytes) -> bool:
    """Return True if the descriptor is at the beginning."""
    return 0 <= head.find(b"WAVEDESC") <= _MAX_BEFORE_DESCRIPTOR


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read time and channel.

    Raises:
        SeveralParts: a sequence of segments, and no `part`.
        TraceError: a descriptor that contradicts itself, or fewer samples than it gives.
    """
    data = path.read_bytes()
    begin = data.find(b"WAVEDESC")
    if begin < 0 or len(data) < begin + _DESCRIPTOR:
        raise TraceError("the descriptor of the waveform is cut off.")
    order = "<" if struct.unpack_from("<H", data, begin + 34)[0] == 1 else ">"

    def value_at(offset: int, kind: str) -> Any:
        return struct.unpack_from(order + kind, data, begin + offset)[0]

    # Descriptor, user text, a reserved block, trigger times, random interleaved times, a reserved array, samples.
    lengths = [value_at(offset, "i") for offset in (36, 40, 44, 48, 52, 56, 60)]
    if any(length < 0 or length > len(data) for length in lengths):
        raise TraceError("the lengths in the descriptor of the waveform do not fit the file; it is damaged, or was cut off.")
    size = 2 if value_at(32, "H") else 1
    expected = value_at(116, "i")
    count, start = lengths[6] // size, begin + sum(lengths[:6])
    if start + lengths[6] > len(data):
        raise TraceError(
            f"the waveform has {(len(data) - start) // size} samples, but its header gives {expected}; was it cut off?"
        )
    raw = np.frombuffer(data, f"{order}i{size}", count, start)
    gain, offset, interval = value_at(156, "f"), value_at(160, "f"), float(np.float32(value_at(176, "f")))
    first = value_at(180, "d")
    if not (np.isfinite([gain, offset, interval, first]).all() and interval > 0):
        raise TraceError("the scales in the descriptor of the waveform are not numbers; the file is damaged.")
    segments = max(value_at(144, "i"), 1)
    if segments > max(count, 1) or (segments > 1 and lengths[3] < 16 * segments):
        raise TraceError(f"the waveform claims {segments} segments, for which it has no trigger times; the file is damaged.")
    triggers = [(0.0, first)]
    if segments > 1:
        table = begin + sum(lengths[:3])
        triggers = [struct.unpack_from(order + "dd", data, table + 16 * k) for k in range(segments)]
    values = gain * raw.astype(np.float64) - offset
    parts = {
        f"segment {k}": _Segment(each, triggers[k - 1][1], triggers[k - 1][0])
        for k, each in enumerate(np.split(values[: count // segments * segments], segments), start=1)
    }
    segment = choose_part(parts, part, _Segment.describe)
    channel = value_at(344, "H")
    name = _text(data, begin + 96, 16) or (f"C{channel + 1}" if channel < 4 else "waveform")
    header = {
        "instrument": _text(data, begin + 76, 16),
        "number": value_at(92, "i"),
        "trigger_time": _time_stamp(data, begin + 296, order),
        "trigger_of_segment": segment.trigger,
        "segments": segments,
        "probe_attenuation": value_at(328, "f"),
        "user_text": _text(data, begin + lengths[0], lengths[1]),
    }
    units = (_text(data, begin + 244, 48).lower() or "s", _text(data, begin + 196, 48))
    times = sample_times(segment.offset, interval, len(segment.values))
    doubts = () if expected == count else (f"its header gives {expected} samples, but the file has {count}",)
    return Table(("time", name), (times, segment.values), units, metadata={"header": header}, time="time", doubts=doubts)


def _text(data: bytes, offset: int, length: int) -> str:
    return data[offset : offset + length].split(b"\0")[0].decode("latin-1").strip()


def _time_stamp(data: bytes, offset: int, order: str) -> str:
    seconds, minute, hour, day, month, year = struct.unpack_from(order + "dBBBBh", data, offset)
    return f"{year:04d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{seconds:09.6f}" if np.isfinite(seconds) else ""


register_reader("trc", sniff, read, priority=60)
