"""What the head of an oscilloscope's export says: settings by key, the clock of a record without times, units of channels.

Keys are those of Tektronix (Sample Interval, Horizontal Units, Vertical Units), Siglent (the same, a cell a channel), Keysight
Infiniium (XInc, XOrg), Yokogawa (HResolution, HOffset), GW Instek (Sampling Period) and LeCroy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .grid import number, split, whole
from .header import is_unit

_STEP: tuple[str, ...] = (
    "sample interval",
    "xinc",
    "xincr",
    "xincrement",
    "x increment",
    "increment",
    "sampling period",
    "sample period",
)
_STEP += ("delta t", "delta x", "delta_x", "dt", "hresolution", "sampling interval", "signalresolution", "resolution")
_START: tuple[str, ...] = ("xorg", "xorigin", "x origin", "xzero", "x0", "hoffset", "first x", "xstart")
_X_UNIT = ("horizontal units", "horizontal unit", "xunits", "xunit", "x units", "hunit")
_Y_UNIT = ("vertical units", "vertical unit", "yunits", "yunit", "y units", "vunit")
_LENGTH = ("record length", "memory length", "points", "block size")
_CHANNEL = re.compile(r"(?:ch|channel|c) ?\d+", re.IGNORECASE)
_QUANTITY = re.compile(r"(?P<number>[+-]?\d+\.?\d*(?:[eE][+-]?\d+)?)\s*(?P<unit>[^\W\d_]*)")


def settings(lines: Sequence[str], delimiter: str | None) -> dict[str, str]:
    """Keys and values of the lines above a table: `Model,DPO3014`, `XInc:  5E-11`, `Author = me`."""
    found: dict[str, str] = {}
    for line in lines:
        key, value = _pair(line, delimiter)
        if key:
            found[key if key not in found else f"{key} ({sum(name.startswith(key) for name in found) + 1})"] = value
    return found


def _pair(line: str, delimiter: str | None) -> tuple[str, str]:
    for mark in (delimiter or "\t", ",", ";", "\t"):
        cells = split(line, mark)
        if len(cells) > 1 and any(cells):
            key, *rest = cells if cells[0] else [next(filter(None, cells)), ""]
            return key.strip().rstrip(":").strip(), ", ".join(filter(None, rest))
    for mark in (":", "="):
        key, found, value = line.partition(mark)
        if found:
            return key.strip(), value.strip()
    return line.strip(), ""


def clock(head: Mapping[str, str]) -> tuple[float, float, str] | None:
    """First instant, interval and unit of a record, None where the head does not tell."""
    folded = {key.casefold(): value for key, value in head.items()}
    step = next((value for key in _STEP if (value := _quantity(folded.get(key, "")))), None)
    if step is None or not step[0] > 0:
        return None
    start = next((value for key in _START if (value := _quantity(folded.get(key, "")))), (0.0, ""))
    return start[0], step[0], step[1] or time_unit(head) or "s"


def length(head: Mapping[str, str]) -> int | None:
    """Number of samples that the head promises."""
    text = next((value for key, value in head.items() if key.casefold() in _LENGTH), "")
    return whole(text.split(",")[0].rpartition(":")[2].strip())


def _quantity(text: str) -> tuple[float, str] | None:
    """A number that may have a unit, `1e-9`, `2.0 ns`, `Analog:1e-9`; the first of several channels."""
    found = _QUANTITY.fullmatch(text.split(",")[0].rpartition(":")[2].strip())
    value = number(found["number"]) if found else None
    if found is None or value is None or not (found["unit"] == "" or is_unit(found["unit"])):
        return None
    return value, found["unit"]


def time_unit(head: Mapping[str, str]) -> str | None:
    """Unit of the time, if the head says it."""
    text = next((value for key, value in head.items() if key.casefold() in _X_UNIT), None)
    return None if text is None or not text else {"S": "s", "Sec": "s"}.get(text, text)


def unit_of(head: Mapping[str, str], column: str, place: int) -> str | None:
    """Unit of a channel, from a key with one value for all, with `CH1:V` for each, or with one value after the other."""
    text = next((value for key, value in head.items() if key.casefold() in _Y_UNIT), None)
    if not text:
        return None
    cells = [cell.strip() for cell in text.split(",")]
    for cell in cells:
        name, mark, unit = cell.rpartition(":")
        if mark and name.strip().casefold() == column.casefold():
            return unit.strip()
    if any(":" in cell for cell in cells):
        return None
    return cells[place] if place < len(cells) else cells[0] if len(cells) == 1 else None


def is_screen(names: Sequence[str]) -> bool:
    """Whether the columns are those of a screen, an x and channels by number: `X,CH1,CH2` has seconds in its first column."""
    return len(names) > 1 and names[0].casefold() in ("x", "x-axis") and all(_CHANNEL.fullmatch(name) for name in names[1:])
