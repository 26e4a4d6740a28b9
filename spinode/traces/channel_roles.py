"""Which channels of a recording look like inputs, and which like answers."""

from __future__ import annotations

import re

import numpy as np

from .trace import Trace

# As laboratories and MuMax3 name what they apply; MuMax3 adds ".region12" to a quantity that differs between regions.
_INPUT = re.compile(
    r"(?:Ku\d?|Kc\d?|Dind|Dbulk|B_?ext|H_?ext|J|Pol|Msat|alpha|Temp|u\d?|in|input|drive|field|stimulus|pulse|"
    r"[VIBH]_?(?:in|app|applied|drive|gate|g|d|ds|gs|dc|rf|ext|bias))(?:[_.]?[xyz])?(?:\.region\d+)?",
    re.IGNORECASE,
)
_NEGLIGIBLE = 1e-3


def likely_drives(trace: Trace) -> tuple[str, ...]:
    """Names of the channels that look like inputs: called so, or held between steps while others move smoothly."""
    channels = {name: values for name, values in trace.channels.items() if _moves(values)}
    named = tuple(name for name in channels if _INPUT.fullmatch(name.strip()))
    if named:
        return named
    held = tuple(name for name, values in channels.items() if _is_held(values))
    if 0 < len(held) < len(channels):
        return held
    # A source-measure unit sets volts and reads amperes.
    volts, amperes = ([n for n in channels if trace.unit(n) == unit] for unit in ("V", "A"))
    return tuple(volts) if len(volts) == 1 and amperes else ()


def likely_outputs(trace: Trace) -> tuple[str, ...]:
    """Names of the other channels that move; of those with the same unit, only the ones that move noticeably.

    The in-plane magnetisation of a round disc is rounding noise a billion times below the out-of-plane one.
    """
    drives = likely_drives(trace)
    spread = {
        name: float(np.nanstd(values))
        for name, values in trace.channels.items()
        if name not in drives and _moves(values) and np.isfinite(values).all()
    }
    largest: dict[str, float] = {}
    for name, value in spread.items():
        unit = trace.units.get(name, "")
        largest[unit] = max(value, largest.get(unit, 0.0))
    return tuple(name for name, value in spread.items() if value > _NEGLIGIBLE * largest[trace.units.get(name, "")])


def _moves(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bool:
    finite = values[np.isfinite(values)]
    return len(finite) > 1 and bool(np.ptp(finite) > 0)


def _is_held(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bool:
    """Whether most samples repeat the one before."""
    return bool(np.mean(values[1:] == values[:-1]) > 0.45)
