"""Tektronix waveforms (.isf): settings between semicolons, `:CURVE #<digits><bytes>`, and the samples in binary or text.

value = (sample - YOFF) YMULT + YZERO and time = XZERO + (i - PT_OFF) XINCR. Keys are written in short or in full (`YMU`,
`YMULT`), `PT_FMT ENV` is pairs of minimum and maximum.

Source: Tektronix programmer manuals, commands WFMPRe and CURVe.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ...errors import TraceError
from .grid import number, whole
from .table import Part, Progress, Table, ticks

NAME = "isf"

_HEAD = re.compile(rb":?WFM(?:O(?:UTPRE)?|P(?:RE?)?)?:", re.IGNORECASE)
_CURVE = re.compile(rb":?CURV(?:E)? +(?=[#\d+-])", re.IGNORECASE)
_PAIR = re.compile(r'(?P<key>[A-Za-z_.]+) +(?P<value>"[^"]*"|[^;]*)')
#: Keys in short, as the oldest models write them.
_SHORT = {
    "BYT_N": "BYT_NR", "BIT_N": "BIT_NR", "ENC": "ENCDG", "BN_F": "BN_FMT", "BYT_O": "BYT_OR", "NR_P": "NR_PT", "WFI": "WFID",
    "PT_F": "PT_FMT", "XIN": "XINCR", "XZE": "XZERO", "XUN": "XUNIT", "YMU": "YMULT", "YOF": "YOFF", "YZE": "YZERO",
    "YUN": "YUNIT", "PT_O": "PT_OFF",
}  # fmt: skip


def sniff(head: bytes) -> bool:
    """Whether the file begins with the settings of a waveform."""
    return bool(_HEAD.match(head))


def read(path: Path, part: Part = None, progress: Progress = None) -> Table:
    """Time and the channel.

    Raises:
        TraceError: a setting that is missing, or fewer samples than were promised.
    """
    data = path.read_bytes()
    curve = _CURVE.search(data)
    if curve is None:
        raise TraceError("the waveform has settings, but no :CURVE with samples; was the file cut off?")
    head = _settings(data[: curve.start()].decode("latin-1"))
    samples = _samples(data, curve.end(), head)
    promised = whole(head.get("NR_PT", ""))
    doubts: tuple[str, ...] = ()
    if promised is not None and promised != len(samples):
        doubts = (f"its head says {promised} samples, and it has {len(samples)}; was it cut off?",)
    scale, offset, zero = (_number(head, key, default) for key, default in (("YMULT", None), ("YOFF", 0.0), ("YZERO", 0.0)))
    step, start, trigger = (_number(head, key, default) for key, default in (("XINCR", None), ("XZERO", 0.0), ("PT_OFF", 0.0)))
    if not step > 0:
        raise TraceError(f"the sample interval XINCR is {step:g}; expected a positive number.")
    values = (samples - offset) * scale + zero
    name = head.get("WFID", "").split(",")[0].strip() or "CH1"
    units = ({"S": "s"}.get(head.get("XUNIT", "s"), head.get("XUNIT", "s")), head.get("YUNIT", "") or None)
    if head.get("PT_FMT", "Y").upper().startswith("ENV"):
        low, high = values[: len(values) // 2 * 2].reshape(-1, 2).T
        times = ticks(start - trigger * step, 2 * step, len(low))
        return Table(("time", f"{name} min", f"{name} max"), (times, low, high), (units[0], units[1], units[1]),
                     metadata={"header": head}, time="time", doubts=doubts)  # fmt: skip
    times = ticks(start - trigger * step, step, len(values))
    return Table(("time", name), (times, values), units, metadata={"header": head}, time="time", doubts=doubts)


def _settings(text: str) -> dict[str, str]:
    head = {}
    for found in _PAIR.finditer(re.sub(r":?WFM(?:O(?:UTPRE)?|P(?:RE?)?)?:", "", text, flags=re.IGNORECASE)):
        key = found["key"].upper()
        head[_SHORT.get(key, key)] = found["value"].strip().strip('"')
    return head


def _number(head: dict[str, str], key: str, default: float | None) -> float:
    value = number(head[key]) if key in head else default
    if value is None or value != value:
        raise TraceError(f"the setting {key} of the waveform is {head.get(key, 'missing')!r}; expected a number.")
    return value


def _samples(data: bytes, start: int, head: dict[str, str]) -> np.ndarray:
    if data[start : start + 1] != b"#":
        words = data[start:].split(b";")[0].replace(b"\n", b"").split(b",")
        try:
            return np.array([float(word) for word in words])
        except ValueError as error:
            raise TraceError(f"a sample of the waveform is no number: {error}.") from None
    digits = data[start + 1 : start + 2]
    length = data[start + 2 : start + 2 + int(digits)] if digits.isdigit() else b""
    if not length.isdigit():
        raise TraceError("the length of the samples behind :CURVE # is no number; is the file damaged?")
    size = int(_number(head, "BYT_NR", 1.0))
    form = head.get("BN_FMT", "RI").upper()
    if size not in (1, 2, 4) or form not in ("RI", "RP", "FP"):
        raise TraceError(f"the samples have {size} bytes of form {form!r}; expected 1, 2 or 4 of RI, RP or FP.")
    order = "<" if head.get("BYT_OR", "MSB").upper().startswith("LSB") else ">"
    kind = np.dtype(f"{order}{ {'RI': 'i', 'RP': 'u', 'FP': 'f'}[form] }{size}".replace(" ", ""))
    begin = start + 2 + int(digits)
    have = min(int(length), len(data) - begin)
    if have < int(length):
        raise TraceError(
            f"the waveform has {have} bytes of samples, and its head promises {int(length)}; was the file cut off?"
        )
    return np.frombuffer(data[begin : begin + have // size * size], kind).astype(np.float64)
