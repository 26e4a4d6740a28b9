"""The checks behind `spinode.diagnose`: of the sample times, of each channel, and of the regime."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..typing import Array
from ..units import readable
from .change_point import detect_statistics_change
from .channel_roles import likely_drives
from .exact_clock import find_interval
from .held_drives import UNKNOWN_DRIVE, infer_interpolation, unknown_share
from .read_order import describe_order, drives_read_after
from .trace import Trace

Mask = npt.NDArray[np.bool_]
Severity = Literal["note", "warning", "error"]

# Steps longer than this many median steps are gaps; the step control of simulators stays below.
_GAP = 5.0
# Relative jitter; rounding of the times in a text file stays below the first.
_JITTER_NOTE, _JITTER_WARNING = 1e-4, 0.2
# Signals with fewer levels are digital or step-like and rest at their extremes by nature.
_MIN_LEVELS = 16


@dataclass(frozen=True)
class Issue:
    """A problem of a recording.

    Attributes:
        severity: "error" if it must be fixed before a model can be fitted, "warning" if it spoils a fit, else "note".
        code: Short name of the kind of problem, such as "gap" or "regime-change".
        message: Description in one sentence.
        channel: The affected channel; None for the time.
        at: Time at which it is or begins [s]; None if it affects the whole recording.
    """

    severity: Severity
    code: str
    message: str
    channel: str | None = None
    at: float | None = None


def check_time(trace: Trace) -> Iterator[Issue]:
    """Yield the issues of the sample times: missing, repeated, unordered, with gaps or jitter."""
    time, unit = trace.time, trace.unit("time")
    bad = np.flatnonzero(~np.isfinite(time))
    if len(bad):
        yield Issue("error", "time-missing", f"{len(bad)} sample times are not finite numbers, the first in row {bad[0] + 1}.")
        return
    steps = np.diff(time)
    yield from _check_order(time, steps, unit)
    forward = steps[steps > 0]
    if not len(forward):
        return
    median = float(np.median(forward))
    long = np.flatnonzero(steps > _GAP * median)
    if len(long):
        longest = long[np.argmax(steps[long])]
        yield Issue(
            "warning",
            "gap",
            f"{_count(len(long), 'gap')} in the time: the longest is {readable(steps[longest], unit)}, the median step "
            f"{readable(median, unit)}.",
            at=float(time[long[0]]),
        )
    regular = forward[forward <= _GAP * median]
    rms = float(np.sqrt(np.mean((regular - median) ** 2)))
    if rms > _JITTER_NOTE * median:
        yield Issue(
            "warning" if rms > _JITTER_WARNING * median else "note",
            "jitter",
            f"The time step is not uniform: median {readable(median, unit)}, rms deviation {readable(rms, unit)} "
            f"({100 * rms / median:.2g} %).",
        )


def _check_order(time: Array, steps: Array, unit: str) -> Iterator[Issue]:
    back = np.flatnonzero(steps < 0)
    if len(back):
        yield Issue(
            "error",
            "time-runs-back",
            f"The time runs backwards {_count(len(back), 'time')}, first from {readable(time[back[0]], unit)} to "
            f"{readable(time[back[0] + 1], unit)}: does the file contain several recordings, or a sweep?",
            at=float(time[back[0]]),
        )
    same = np.flatnonzero(steps == 0)
    if len(same):
        yield Issue("error", "duplicate-time", _repeated(time, same, unit), at=float(time[same[0]]))


def _repeated(time: Array, same: npt.NDArray[np.intp], unit: str) -> str:
    """Return what repeats in the times, and how the recording can be read all the same."""
    if len(same) == len(time) - 1:
        return (
            f"The time stands still: all {len(time)} samples are at {readable(time[0], unit)}. Number them (--time sample), or "
            "pass the sample interval in seconds."
        )
    message = f"{_count(len(same), 'sample time')} repeated, the first at {readable(time[same[0]], unit)}."
    interval = find_interval(time) if np.all(np.diff(time) >= 0) else None
    if interval is None:
        return message
    return f"{message} They are rounded times of a sample interval of {readable(interval, unit)}: pass --time {interval:g}."


def check_held_drives(trace: Trace) -> Iterator[Issue]:
    """Yield the drives whose changes cannot be located, since rows are missing."""
    for name in tuple(trace.drive) or likely_drives(trace):
        values = trace.channels[name]
        usable = np.isfinite(values).all() and np.isfinite(trace.time).all() and np.all(np.diff(trace.time) > 0)
        if not usable or (trace.interpolation.get(name) or infer_interpolation(values)) != "held":
            continue
        share = unknown_share(trace.time, values)
        if share > UNKNOWN_DRIVE:
            yield Issue("warning", "held-drive", describe_unknown(name, share), name)


def check_read_order(trace: Trace) -> Iterator[Issue]:
    """Yield the held drives to which the channels respond in the same rows already."""
    drives = {name: trace.channels[name] for name in tuple(trace.drive) or likely_drives(trace)}
    others = {name: values for name, values in trace.channels.items() if name not in drives}
    # In a list without times, columns that jump together are rather settings than a drive and its response.
    listed = bool(trace.provenance.get("sampled_by")) and not trace.drive
    known = "reads" in trace.provenance or listed or not (drives and others)
    names = () if known else drives_read_after(replace(trace, drive=drives, output=others))
    if names:
        message = describe_order(names)
        yield Issue("warning", "read-order", message[:1].upper() + message[1:], names[0])


def describe_unknown(name: str, share: float) -> str:
    """Return a sentence about a held drive that is not known for a share of the recording."""
    return (
        f"{name} holds its values, and rows are missing where it changes: it is not known for about {100 * share:.2g} % of the "
        "time, and no clock fits its changes. A free run is only as good as its drive; record all rows, or the changes."
    )


def check_channel(trace: Trace, name: str, values: Array) -> Iterator[Issue]:
    """Yield the issues of one channel: missing values, a constant, or clipping."""
    finite = np.isfinite(values)
    if not finite.all():
        yield _missing_values(trace, name, values, finite)
    if not finite.any():
        return
    known = values[finite]
    if np.ptp(known) <= 1e-12 * np.max(np.abs(known)):
        value = readable(float(known[0]), trace.units.get(name, ""))
        yield Issue("warning", "constant", f"{name} is constant ({value}): a model cannot learn from it.", name)
        return
    for end, rail in (("maximum", float(known.max())), ("minimum", float(known.min()))):
        if _is_clipped(known, rail):
            percent = 100 * float(np.mean(known == rail))
            yield Issue(
                "warning",
                "clipped",
                f"{name} seems to be clipped at its {end} of {readable(rail, trace.units.get(name, ''))} "
                f"({percent:.2g} % of the samples have exactly this value).",
                name,
                float(trace.time[finite][np.argmax(known == rail)]),
            )


def clipped_rails(values: Array) -> tuple[float | None, float | None]:
    """Return the lower and the upper value at which a channel is clipped; None where it is not.

    Example:
        >>> low, high = clipped_rails(np.minimum(np.sin(np.linspace(0, 30, 1000)), 0.7))
        >>> low is None, high
        (True, 0.7)
    """
    low, high = float(np.min(values)), float(np.max(values))
    return (low if _is_clipped(values, low) else None, high if _is_clipped(values, high) else None)


def _missing_values(trace: Trace, name: str, values: Array, finite: Mask) -> Issue:
    first = int(np.argmin(finite))
    nan, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    parts = [f"{number} {word}" for number, word in ((nan, "missing (NaN)"), (infinite, "infinite")) if number]
    at = float(trace.time[first])
    return Issue(
        "warning",
        "missing",
        f"{name} has {' and '.join(parts)} of {len(values)} values, the first at {readable(at, trace.unit('time'))}.",
        name,
        at,
    )


def _is_clipped(values: Array, rail: float) -> bool:
    """Return True if a continuously changing signal repeatedly stays at one extreme of its range.

    Held, digital and pulsed signals rest by nature. So the samples at the rail count only if the signal seldom repeats a value
    elsewhere, or, for a signal rounded to levels, if the last level has far more samples than the next one. A sine rounded to
    levels has 2.4 times as many there.
    """
    levels, counts = np.unique(values, return_counts=True)
    at_rail = values == rail
    longest = _longest_run(at_rail)
    # Signals start, end and are rectified at zero; the rail of an amplifier is hardly ever there.
    if len(levels) < _MIN_LEVELS or longest < 3 or at_rail.sum() < 5 or rail == 0.0:
        return False
    repeats = values[1:] == values[:-1]
    elsewhere = ((values > levels[0]) & (values < levels[-1]))[1:]
    resting = float(np.mean(repeats[elsewhere])) if elsewhere.any() else 1.0
    if resting < 0.05:
        return True
    next_level = counts[-2] if rail == levels[-1] else counts[1]
    runs = int(np.sum(at_rail[1:] & ~at_rail[:-1]) + at_rail[0])
    # A held signal rests at its last level as rarely as at any other, once or twice.
    return runs >= 3 and bool(at_rail.sum() > 5 * next_level) and _is_rounded(levels)


def _is_rounded(levels: Array) -> bool:
    """Return True if the levels are those of a converter: integer multiples of one step."""
    gaps = np.diff(levels)
    steps = gaps / gaps.min()
    return bool(np.all(np.abs(steps - np.round(steps)) < 1e-3 * np.maximum(steps, 1.0)))


def _longest_run(mask: Mask) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return int(np.max(edges[1::2] - edges[::2], initial=0))


def check_regime(trace: Trace) -> Iterator[Issue]:
    """Yield the changes of regime: times from which on an output behaves differently."""
    drives = {name: trace.channels[name] for name in (tuple(trace.drive) or likely_drives(trace))}
    for name, values in trace.output.items():
        if name in drives:
            continue
        change = detect_statistics_change(trace.time, values, tuple(drives.values()))
        if change is None:
            continue
        yield Issue(
            "warning",
            "regime-change",
            f"{name} changes its behaviour at about {readable(change.at, trace.unit('time'))}: its fluctuations become "
            f"{change.describe()}. A model of one part is not valid for the other; fit them separately.",
            name,
            change.at,
        )


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' if number > 1 else ''}"
