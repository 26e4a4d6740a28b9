"""The settings in the header of an oscilloscope's export: sample clock of a record without times, units of channels.

Keys are those of Tektronix (Sample Interval, Horizontal Units, Vertical Units), Siglent (the same, a cell a channel), Keysight
Infiniium (XInc, XOrg), Yokogawa (HResolution, HOffset), GW Instek (Sampling Period) and LeCroy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .grid import parse_number, parse_whole_number, split_cells
from .header import is_unit

_INTERVAL_KEYS: tuple[str, ...] = (
    "sample interval", "xinc", "xincr", "xincrement", "x increment", "increment", "sampling period", "sample period", "delta t",
    "delta x", "delta_x", "dt", "hresolution", "sampling interval", "signalresolution", "resolution",
)  # fmt: skip
_START_KEYS: tuple[str, ...] = ("xorg", "xorigin", "x origin", "xzero", "x0", "hoffset", "first x", "xstart")
_X_UNIT_KEYS = ("horizontal units", "horizontal unit", "xunits", "xunit", "x units", "hunit")
_Y_UNIT_KEYS = ("vertical units", "vertical unit", "yunits", "yunit", "y units", "vunit")
_LENGTH_KEYS = ("record length", "memory length", "points", "block size")
_CHANNEL = re.compile(r"(?:ch|channel|c) ?\d+", re.IGNORECASE)
_QUANTITY = re.compile(r"(?P<number>[+-]?\d+\.?\d*(?:[eE][+-]?\d+)?)\s*(?P<unit>[^\W\d_]*)")


def parse_settings(lines: Sequence[str], delimiter: str | None) -> dict[str, str]:
    """Return keys and values of the lines above a table: `Model,DPO3014`, `XInc:  5E-11`, `Author = me`.

    A key that occurs several times is numbered from its second occurrence on.
    """
    settings: dict[str, str] = {}
    for line in lines:
        key, value = _key_and_value(line, delimiter)
        if key:
            count = sum(name.startswith(key) for name in settings) + 1
            settings[key if key not in settings else f"{key} ({count})"] = value
    return settings


def _key_and_value(line: str, delimiter: str | None) -> tuple[str, str]:
    for mark in (delimiter or "\t", ",", ";", "\t"):
        cells = split_cells(line, mark)
        if len(cells) > 1 and any(cells):
            key, *values = cells if cells[0] else [next(filter(None, cells)), ""]
            return key.strip().rstrip(":").strip(), ", ".join(filter(None, values))
    for mark in (":", "="):
        key, separator, value = line.partition(mark)
        if separator:
            return key.strip(), value.strip()
    return line.strip(), ""


def sample_clock(settings: Mapping[str, str]) -> tuple[float, float, str] | None:
    """Return first time, sample interval and unit of a record; None where the settings do not give them."""
    folded = {key.casefold(): value for key, value in settings.items()}
    interval = next((value for key in _INTERVAL_KEYS if (value := _quantity(folded.get(key, "")))), None)
    if interval is None or not interval[0] > 0:
        return None
    start = next((value for key in _START_KEYS if (value := _quantity(folded.get(key, "")))), (0.0, ""))
    return start[0], interval[0], interval[1] or time_unit(settings) or "s"


def record_length(settings: Mapping[str, str]) -> int | None:
    """Return the number of samples that the settings give."""
    text = next((value for key, value in settings.items() if key.casefold() in _LENGTH_KEYS), "")
    return parse_whole_number(text.split(",")[0].rpartition(":")[2].strip())


def _quantity(text: str) -> tuple[float, str] | None:
    """Return number and unit of `1e-9`, `2.0 ns`, `Analog:1e-9`; those of the first channel of several."""
    match = _QUANTITY.fullmatch(text.split(",")[0].rpartition(":")[2].strip())
    value = parse_number(match["number"]) if match else None
    if match is None or value is None or not (match["unit"] == "" or is_unit(match["unit"])):
        return None
    return value, match["unit"]


def time_unit(settings: Mapping[str, str]) -> str | None:
    """Return the unit of the time, if the settings give it."""
    text = next((value for key, value in settings.items() if key.casefold() in _X_UNIT_KEYS), None)
    return None if text is None or not text else {"S": "s", "Sec": "s"}.get(text, text)


def channel_unit(settings: Mapping[str, str], name: str, index: int) -> str | None:
    """Return the unit of a channel: one value for all channels, `CH1:V` for each, or one value after the other."""
    text = next((value for key, value in settings.items() if key.casefold() in _Y_UNIT_KEYS), None)
    if not text:
        return None
    cells = [cell.strip() for cell in text.split(",")]
    for cell in cells:
        channel, colon, unit = cell.rpartition(":")
        if colon and channel.strip().casefold() == name.casefold():
            return unit.strip()
    if any(":" in cell for cell in cells):
        return None
    return cells[index] if index < len(cells) else cells[0] if len(cells) == 1 else None


def has_screen_columns(names: Sequence[str]) -> bool:
    """Return True for the columns of a screen, an x and numbered channels: in `X,CH1,CH2` the first column is in seconds."""
    return len(names) > 1 and names[0].casefold() in ("x", "x-axis") and all(_CHANNEL.fullmatch(name) for name in names[1:])
