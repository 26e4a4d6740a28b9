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
from ...typing import Array, Progress
from ..parsing.grid import parse_number, parse_whole_number
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.table import Table, count_doubt, sample_times

_HEAD = re.compile(rb":?WFM(?:O(?:UTPRE)?|P(?:RE?)?)?:", re.IGNORECASE)
_CURVE = re.compile(rb":?CURV(?:E)? +(?=[#\d+-])", re.IGNORECASE)
_SETTING = re.compile(r'(?P<key>[A-Za-z_.]+) +(?P<value>"[^"]*"|[^;]*)')
#: Full key by short key, as the oldest models write them.
_FULL_KEYS = {
    "BYT_N": "BYT_NR", "BIT_N": "BIT_NR", "ENC": "ENCDG", "BN_F": "BN_FMT", "BYT_O": "BYT_OR", "NR_P": "NR_PT", "WFI": "WFID",
    "PT_F": "PT_FMT", "XIN": "XINCR", "XZE": "XZERO", "XUN": "XUNIT", "YMU": "YMULT", "YOF": "YOFF", "YZE": "YZERO",
    "YUN": "YUNIT", "PT_O": "PT_OFF",
}  # fmt: skip


def sniff(head: bytes) -> bool:
    """Return True if the file begins with the settings of a waveform."""
    return bool(_HEAD.match(head))


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read time and channel.

    Raises:
        TraceError: a setting is missing, or the file has fewer samples than its header gives.
    """
    data = path.read_bytes()
    curve = _CURVE.search(data)
    if curve is None:
        raise TraceError("the waveform has settings, but no :CURVE with samples; was the file cut off?")
    settings = _settings(data[: curve.start()].decode("latin-1"))
    samples = _samples(data, curve.end(), settings)
    doubts = count_doubt(parse_whole_number(settings.get("NR_PT", "")), len(samples))
    scale, offset, zero = _number(settings, "YMULT"), _number(settings, "YOFF", 0.0), _number(settings, "YZERO", 0.0)
    step, start, trigger = _number(settings, "XINCR"), _number(settings, "XZERO", 0.0), _number(settings, "PT_OFF", 0.0)
    if not step > 0:
        raise TraceError(f"the sample interval XINCR is {step:g}; expected a positive number.")
    values = (samples - offset) * scale + zero
    name = settings.get("WFID", "").split(",")[0].strip() or "CH1"
    time_unit = settings.get("XUNIT", "s")
    time_unit, unit = {"S": "s"}.get(time_unit, time_unit), settings.get("YUNIT", "") or None
    first = start - trigger * step
    names: tuple[str, ...] = (name,)
    columns: tuple[Array, ...]
    if settings.get("PT_FMT", "Y").upper().startswith("ENV"):
        low, high = values[: len(values) // 2 * 2].reshape(-1, 2).T
        names, columns = (f"{name} min", f"{name} max"), (sample_times(first, 2 * step, len(low)), low, high)
    else:
        columns = (sample_times(first, step, len(values)), values)
    units = (time_unit, *[unit] * len(names))
    return Table(("time", *names), columns, units, metadata={"header": settings}, time="time", doubts=doubts)


def _settings(text: str) -> dict[str, str]:
    settings = {}
    for match in _SETTING.finditer(re.sub(r":?WFM(?:O(?:UTPRE)?|P(?:RE?)?)?:", "", text, flags=re.IGNORECASE)):
        key = match["key"].upper()
        settings[_FULL_KEYS.get(key, key)] = match["value"].strip().strip('"')
    return settings


def _number(settings: dict[str, str], key: str, default: float | None = None) -> float:
    value = parse_number(settings[key]) if key in settings else default
    if value is None or value != value:
        raise TraceError(f"the setting {key} of the waveform is {settings.get(key, 'missing')!r}; expected a number.")
    return value


def _samples(data: bytes, start: int, settings: dict[str, str]) -> Array:
    if data[start : start + 1] != b"#":
        words = data[start:].split(b";")[0].replace(b"\n", b"").split(b",")
        try:
            return np.array([float(word) for word in words])
        except ValueError as error:
            raise TraceError(f"a sample of the waveform is not a number: {error}.") from None
    digits = data[start + 1 : start + 2]
    length = data[start + 2 : start + 2 + int(digits)] if digits.isdigit() else b""
    if not length.isdigit():
        raise TraceError("the length of the samples after :CURVE # is not a number; is the file damaged?")
    size = int(_number(settings, "BYT_NR", 1.0))
    form = settings.get("BN_FMT", "RI").upper()
    if size not in (1, 2, 4) or form not in ("RI", "RP", "FP"):
        raise TraceError(f"the samples have {size} bytes of form {form!r}; expected 1, 2 or 4 of RI, RP or FP.")
    order = "<" if settings.get("BYT_OR", "MSB").upper().startswith("LSB") else ">"
    kind = np.dtype(f"{order}{ {'RI': 'i', 'RP': 'u', 'FP': 'f'}[form] }{size}".replace(" ", ""))
    begin = start + 2 + int(digits)
    available = min(int(length), len(data) - begin)
    if available < int(length):
        raise TraceError(
            f"the waveform has {available} bytes of samples, but its header gives {int(length)}; was the file cut off?"
        )
    return np.frombuffer(data[begin : begin + available // size * size], kind).astype(np.float64)


register_reader("isf", sniff, read, priority=70)
