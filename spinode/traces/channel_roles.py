"""Guess which channels of a recording are drives and which are outputs."""

from __future__ import annotations

import re

import numpy as np

from ..typing import Array
from .trace import Trace

# Names of applied quantities in laboratories and MuMax3, which adds ".region12" to a quantity that differs between regions.
_DRIVE_NAME = re.compile(
    r"(?:Ku\d?|Kc\d?|Dind|Dbulk|B_?ext|H_?ext|J|Pol|Msat|alpha|Temp|u\d?|in|input|drive|field|stimulus|pulse|"
    r"[VIBH]_?(?:in|app|applied|drive|gate|g|d|ds|gs|dc|rf|ext|bias))(?:[_.]?[xyz])?(?:\.region\d+)?",
    re.IGNORECASE,
)
_NEGLIGIBLE = 1e-3  # spread relative to the largest one of the same unit


def likely_drives(trace: Trace) -> tuple[str, ...]:
    """Return the names of channels that look like drives.

    First choice are channels with the name of a drive, then channels that are held between steps while others change
    smoothly, then a single voltage beside currents.

    Example:
        >>> time = np.arange(100) * 1e-9
        >>> likely_drives(Trace(time, output={"B_ext": np.sin(time * 1e8), "mz": np.cos(time * 1e8)}))
        ('B_ext',)
    """
    channels = {name: values for name, values in trace.channels.items() if _varies(values)}
    named = tuple(name for name in channels if _DRIVE_NAME.fullmatch(name.strip()))
    if named:
        return named
    held = tuple(name for name, values in channels.items() if _is_held(values))
    if 0 < len(held) < len(channels):
        return held
    # A source-measure unit sets volts and measures amperes.
    volts, amperes = ([n for n in channels if trace.unit(n) == unit] for unit in ("V", "A"))
    return tuple(volts) if len(volts) == 1 and amperes else ()


def likely_outputs(trace: Trace) -> tuple[str, ...]:
    """Return the names of the other channels that vary, without those that vary far less than others of the same unit.

    For example, the in-plane magnetisation of a round disc is rounding noise, a billion times below the out-of-plane one.
    """
    drives = likely_drives(trace)
    spread = {
        name: float(np.nanstd(values))
        for name, values in trace.channels.items()
        if name not in drives and _varies(values) and np.isfinite(values).all()
    }
    largest: dict[str, float] = {}
    for name, value in spread.items():
        unit = trace.units.get(name, "")
        largest[unit] = max(value, largest.get(unit, 0.0))
    return tuple(name for name, value in spread.items() if value > _NEGLIGIBLE * largest[trace.units.get(name, "")])


def _varies(values: Array) -> bool:
    finite = values[np.isfinite(values)]
    return len(finite) > 1 and bool(np.ptp(finite) > 0)


def _is_held(values: Array) -> bool:
    """Return True if many samples repeat the previous one."""
    return bool(np.mean(values[1:] == values[:-1]) > 0.45)
