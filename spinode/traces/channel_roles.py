"""Guess which channels of a recording are drives and which are outputs."""

from __future__ import annotations

import re

import numpy as np

from ..typing import Array
from .held_drives import HELD_FRACTION
from .trace import Trace

# Names of applied quantities in laboratories and MuMax3, which adds ".region12" to a quantity that differs between regions.
_DRIVE_NAME = re.compile(
    r"(?:Ku\d?|Kc\d?|Dind|Dbulk|B_?ext|H_?ext|J|Pol|Msat|alpha|Temp|u\d?|in|input|drive|field|stimulus|pulse|"
    r"[VIBH]_?(?:in|app|applied|drive|gate|g|d|ds|gs|dc|rf|ext|bias)|V\((?:in|inp|input|vin|drive|gate|g|d)\w*\))"
    r"(?:[_.]?[xyz])?(?:\.region\d+)?",
    re.IGNORECASE,
)
# Words in the name of a programmed quantity: "Potential applied", "Gate voltage", "SourceV", "Set point".
_DRIVE_WORD = re.compile(
    r"applied|\bset(?:[ _-]?point)?\b|\bgate|source|programmed|command|stimul|excitation|\bdrive|sweep|\bbias", re.IGNORECASE
)
# Words in the name of a measured quantity, which outweigh those above: "Source current measured".
_OUTPUT_WORD = re.compile(r"meas|sense|read|output|response|monitor|\bout\b|detect", re.IGNORECASE)
# Channels that say where or when a sample was taken, and are neither drive nor output.
_COUNTER_NAME = re.compile(
    r"(?:index|item|no\.?|nr\.?|n|#|sample|samples|point|points|iteration|count|counter|row|step|scan|segment|cycle|column 0|"
    r"time.*|.*\btime|t|secs?|seconds?|elapsed|freq(?:uency)?|f|\w*freqarray|sequence|stamp|timestamp|date)(?:#\d+)?",
    re.IGNORECASE,
)
_INDEX_NAME = re.compile(r"iteration|\bindex\b|^item|\bcount(?:er)?\b|stage number", re.IGNORECASE)
_VOLTAGE = re.compile(r"volt|^V\d*$|\.V\b|\.V\[|spannung", re.IGNORECASE)
_CURRENT = re.compile(r"current|^I\d*$|\.I\b|\.I\[|strom", re.IGNORECASE)
_NEGLIGIBLE = 1e-3  # spread relative to the largest one of the same unit
_KNOWN = 0.5  # share of the samples of an output that must be known
# A programmed level is one of few values that return, or stays for many samples.
_MAX_LEVELS, _MIN_PER_LEVEL = 40, 4


def likely_drives(trace: Trace) -> tuple[str, ...]:
    """Return the names of channels that look like drives, in the order of the recording.

    First choice are channels with the name of a drive or of an applied quantity, then those with few levels or held between
    steps while others change smoothly, then a single voltage beside currents, then the only one that is swept. Counters and
    times are none, and neither are channels with missing samples.

    Example:
        >>> time = np.arange(100) * 1e-9
        >>> likely_drives(Trace(time, output={"B_ext": np.sin(time * 1e8), "mz": np.cos(time * 1e8)}))
        ('B_ext',)
    """
    varying = {name: values for name, values in trace.channels.items() if _varies(values) and not is_counter(name, values)}
    channels = {name: values for name, values in varying.items() if np.isfinite(values).all()}
    named = tuple(name for name in channels if _DRIVE_NAME.fullmatch(name.strip()))
    if named and len(named) < len(trace.channels):
        return named
    words = tuple(name for name in channels if _DRIVE_WORD.search(name) and not _OUTPUT_WORD.search(name))
    if 0 < len(words) < len(varying):
        volts = tuple(name for name in words if trace.unit(name) != "A")
        return volts or words
    held = tuple(name for name, values in channels.items() if _is_programmed(values))
    if 0 < len(held) < len(varying):
        return held
    # A source-measure unit sets volts and measures amperes.
    volts, amperes = (
        tuple(name for name in names if trace.unit(name) == unit or (not trace.unit(name) and word.search(name)))
        for names, unit, word in ((channels, "V", _VOLTAGE), (varying, "A", _CURRENT))
    )
    if len(volts) == 1 and amperes:
        return tuple(volts)
    swept = tuple(name for name, values in channels.items() if is_ramp(values))
    return swept if len(swept) == 1 < len(varying) else ()


def likely_outputs(trace: Trace) -> tuple[str, ...]:
    """Return the names of the other channels that vary, without those that vary far less than others of the same unit.

    For example, the in-plane magnetisation of a round disc is rounding noise, a billion times below the out-of-plane one.
    Constants, counters and ramps are no outputs.
    """
    drives = tuple(trace.drive) or likely_drives(trace)
    spread = {
        name: float(np.nanstd(values))
        for name, values in trace.channels.items()
        if name not in drives and _varies(values) and not is_counter(name, values) and not is_ramp(values)
        and np.isfinite(values).mean() >= _KNOWN
    }  # fmt: skip
    raw = trace.provenance.get("raw_units", {})
    # Channels whose units are not given cannot be compared.
    kind = {name: name if raw.get(name, "") is None else trace.units.get(name, "") for name in spread}
    largest: dict[str, float] = {}
    for name, value in spread.items():
        largest[kind[name]] = max(value, largest.get(kind[name], 0.0))
    return tuple(name for name, value in spread.items() if value > _NEGLIGIBLE * largest[kind[name]])


def is_ramp(values: Array) -> bool:
    """Return True for values that only rise or only fall, in equal steps or in many of them: a counter, a time, a sweep.

    Example:
        >>> is_ramp(np.arange(50.0)), is_ramp(1 - np.exp(-np.arange(50.0) / 10)), is_ramp(np.sin(np.arange(50.0)))
        (True, False, False)
    """
    index = np.flatnonzero(np.isfinite(values))
    values = values[index]
    steps = np.diff(values)
    if len(steps) < 4:
        return False
    moving = steps[steps != 0]
    if not len(moving) or not (np.all(moving > 0) or np.all(moving < 0)):
        return False
    line = np.interp(index, index[[0, -1]], values[[0, -1]])
    return bool(np.max(np.abs(values - line)) <= 0.02 * abs(values[-1] - values[0]))


def is_counter(name: str, values: Array) -> bool:
    """Return True for a channel that numbers the samples or tells their time, by its name and its steady growth."""
    values = values[np.isfinite(values)]
    if _INDEX_NAME.search(name) and bool(np.all(values == np.round(values))):
        return True
    return is_ramp(values) and (_COUNTER_NAME.fullmatch(name.strip()) is not None or bool(np.all(np.diff(values) == 1)))


def has_few_levels(values: Array) -> bool:
    """Return True for values on few levels that return, as a generator or a sweep has them."""
    levels = np.unique(values[np.isfinite(values)])
    if not 1 < len(levels) <= min(_MAX_LEVELS, len(values) // _MIN_PER_LEVEL):
        return False
    # A converter of few bits also has few levels, but moves to the neighbouring one.
    steps = np.abs(np.diff(np.searchsorted(levels, values)))
    return len(levels) <= 3 or bool(np.mean(steps[steps > 0] > 1) > 0.3) or bool(np.mean(steps == 0) > HELD_FRACTION)


def _varies(values: Array) -> bool:
    finite = values[np.isfinite(values)]
    return len(finite) > 1 and bool(np.ptp(finite) > 0)


def _is_programmed(values: Array) -> bool:
    """Return True if many samples repeat the previous one, or return to few levels, and the values do not only rise or fall."""
    steps = np.diff(values)
    only_grows = bool(np.all(steps >= 0) or np.all(steps <= 0)) and len(np.unique(values)) > 3
    return not only_grows and (bool(np.mean(steps == 0) > 0.45) or has_few_levels(values))
