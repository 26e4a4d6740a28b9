"""The settings in the header of an oscilloscope's export: sample clock of a record without times, units of channels.

Keys are those of Tektronix (Sample Interval, Horizontal Units, Vertical Units), Siglent (the same, a cell a channel), Keysight
Infiniium (XInc, XOrg), Yokogawa (HResolution, HOffset), GW Instek (Sampling Period), LeCroy, OWON (Time interval), Hantek
(CLOCK), PicoScope (Tinterval, Tstart) and libsigrok (Samplerate).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ...units import parse_unit
from .grid import parse_number, parse_whole_number, split_cells
from .header import bare_unit, is_unit, is_unit_of, split_name

_INTERVAL_KEYS: tuple[str, ...] = (
    "sample interval", "xinc", "xincr", "xincrement", "x increment", "increment", "sampling period", "sample period", "delta t",
    "delta x", "delta_x", "dt", "hresolution", "sampling interval", "sample_interval", "sampling_interval", "sampleinterval",
    "time interval", "time increment", "time step", "timestep", "tinterval", "tinc", "signalresolution", "resolution",
)  # fmt: skip
_RATE_KEYS: tuple[str, ...] = (
    "samplerate", "sample rate", "sample_rate", "sampling rate", "sampling_rate", "samplingrate", "sampling frequency",
    "sample frequency", "sampling_frequency", "fs", "f_s", "srate",
)  # fmt: skip
#: A clock is an interval or a frequency, depending on its unit.
_CLOCK_KEYS = ("clock", "sample clock", "timebase clock")
#: Keys that are too general to be looked for outside of the settings of an oscilloscope.
_GENERAL_KEYS = ("resolution", "increment", "dt", "time step", "timestep", "fs", "f_s")
_START_KEYS: tuple[str, ...] = ("xorg", "xorigin", "x origin", "xzero", "x0", "hoffset", "first x", "xstart",
                                "tstart", "t0", "start time", "first instant")  # fmt: skip
_X_UNIT_KEYS = ("horizontal units", "horizontal unit", "xunits", "xunit", "x units", "hunit")
_Y_UNIT_KEYS = ("vertical units", "vertical unit", "yunits", "yunit", "y units", "vunit", "units", "unit")
_LENGTH_KEYS = ("record length", "memory length", "points", "block size", "size")
_CHANNEL = re.compile(r"(?:ch|channel|c) ?\d+", re.IGNORECASE)
_QUANTITY = re.compile(r"(?P<number>[+-]?\d+\.?\d*(?:[eE][+-]?\d+)?)\s*(?P<unit>[^\W\d_]*(?:/s)?)")


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


def sample_clock(settings: Mapping[str, str], *, certain: bool = False) -> tuple[float, float, str] | None:
    """Return first time, sample interval and unit of a record; None where the settings do not give them.

    Args:
        settings: Values by key.
        certain: Look only for keys that can have no other meaning.

    Example:
        >>> sample_clock({"Sample Interval": "2 us", "XOrg": "-1e-3"}), sample_clock({"Samplerate": "1 MHz"})
        ((-0.001, 2.0, 'us'), (0.0, 1e-06, 's'))
    """
    folded: dict[str, str] = {}
    for key, value in settings.items():
        name, unit = split_name(key)
        folded.setdefault(name.casefold(), f"{value} {unit}" if unit and parse_number(value) is not None else value)
    excluded = _GENERAL_KEYS if certain else ()
    found = _interval(folded, excluded)
    if found is None:
        return None
    interval, unit = found
    starts = (_quantity(folded.get(key, "")) for key in _START_KEYS)
    start = next((found_start for found_start in starts if found_start), (0.0, ""))
    unit = unit or time_unit(settings) or "s"
    if not is_unit_of(unit, "s"):
        return None
    first = start[0]
    if start[1] and is_unit_of(start[1], "s") and start[1] != unit:
        first *= parse_unit(start[1]).factor / parse_unit(unit).factor
    return first, interval, unit


def _interval(folded: Mapping[str, str], excluded: Sequence[str]) -> tuple[float, str] | None:
    """Return the sample interval and its unit, "" where it has none, from an interval, a rate or a clock."""
    for keys in (_INTERVAL_KEYS, _CLOCK_KEYS, _RATE_KEYS):
        for key in keys:
            found = None if key in excluded else _quantity(folded.get(key, ""))
            if found is None or not found[0] > 0:
                continue
            value, unit = found
            is_rate = keys is _RATE_KEYS or is_unit_of(unit, "Hz")
            if is_rate and (not unit or is_unit_of(unit, "Hz")):
                return 1.0 / float(parse_unit(unit or "Hz").to_si(value)), "s"
            if keys is _INTERVAL_KEYS and not unit:
                return value, ""
            if not is_rate and is_unit_of(unit, "s"):
                return value, unit
    return None


def record_length(settings: Mapping[str, str]) -> int | None:
    """Return the number of samples that the settings give."""
    text = next((value for key, value in settings.items() if key.casefold() in _LENGTH_KEYS), "")
    return parse_whole_number(text.split(",")[0].rpartition(":")[2].strip())


def _quantity(text: str) -> tuple[float, str] | None:
    """Return number and unit of `1e-9`, `2.0 ns`, `Analog:1e-9`, `0.08uS`; those of the first channel of several."""
    match = _QUANTITY.fullmatch(text.split(",")[0].rpartition(":")[2].strip())
    value = parse_number(match["number"]) if match else None
    if match is None or value is None:
        return None
    unit = match["unit"]
    rates = {"sa/s": "Hz", "s/s": "Hz", "sps": "Hz", "samples/s": "Hz"}
    for ending, hertz in rates.items():
        if unit.casefold().endswith(ending):
            unit = unit[: -len(ending)] + hertz
    if unit in ("S", "mS", "uS", "µS", "μS", "nS", "pS", "Sec", "SEC"):  # seconds, not siemens, in the settings of a clock
        unit = unit.casefold()
    return (value, unit) if unit == "" or is_unit(unit) else None


def time_unit(settings: Mapping[str, str]) -> str | None:
    """Return the unit of the time, if the settings give it."""
    text = next((value for key, value in settings.items() if key.casefold() in _X_UNIT_KEYS), None)
    return None if text is None or not text else {"S": "s", "mS": "ms", "uS": "us", "nS": "ns"}.get(text, text)


def channel_unit(settings: Mapping[str, str], name: str, index: int) -> str | None:
    """Return the unit of a channel: one value for all channels, `CH1:V` for each, or one value after the other."""
    text = next((value for key, value in settings.items() if key.casefold() in _Y_UNIT_KEYS), None)
    if not text:
        return None
    cells = [bare_unit(cell) for cell in text.split(",")]
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
