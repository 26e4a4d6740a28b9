"""The single checks behind `spinode.diagnose`: of the times, of each channel, and of the regime."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..typing import Array
from ..units import readable
from .change_point import detect_statistics_change
from .channel_roles import likely_drives
from .trace import Trace

Mask = npt.NDArray[np.bool_]
Severity = Literal["note", "warning", "error"]

# Steps longer than this many median ones are gaps; a simulator's own step control stays below.
_GAP = 5.0
# Rounding of the times in a text file moves steps by less than this part of them.
_JITTER_NOTE, _JITTER_WARNING = 1e-4, 0.2
# Fewer levels than this are a digital or step-like signal, which rests at its ends by nature.
_LEVELS = 16


@dataclass(frozen=True)
class Issue:
    """One oddity of a recording.

    Attributes:
        severity: "error" if no model can be fitted before it is mended, "warning" if it spoils a fit, else "note".
        code: Short name of the kind of finding, such as "gap" or "regime-change".
        message: A sentence for people.
        channel: The channel it is about; None for the time.
        at: Where it is, or begins [s]; None if it is everywhere.
    """

    severity: Severity
    code: str
    message: str
    channel: str | None = None
    at: float | None = None


def about_time(trace: Trace) -> Iterator[Issue]:
    """What is odd about the instants."""
    time = trace.time
    bad = np.flatnonzero(~np.isfinite(time))
    if len(bad):
        yield Issue("error", "time-missing", f"{len(bad)} instants are not numbers, first in row {bad[0] + 1}.")
        return
    steps = np.diff(time)
    yield from _about_order(time, steps)
    forward = steps[steps > 0]
    if not len(forward):
        return
    median = float(np.median(forward))
    long = np.flatnonzero(steps > _GAP * median)
    if len(long):
        worst = long[np.argmax(steps[long])]
        yield Issue(
            "warning",
            "gap",
            f"{_count(len(long), 'gap')} in the time: the longest lasts {readable(steps[worst], 's')} where the median "
            f"step is {readable(median, 's')}.",
            at=float(time[long[0]]),
        )
    regular = forward[forward <= _GAP * median]
    rms = float(np.sqrt(np.mean((regular - median) ** 2)))
    if rms > _JITTER_NOTE * median:
        yield Issue(
            "warning" if rms > _JITTER_WARNING * median else "note",
            "jitter",
            f"The time step is not uniform: median {readable(median, 's')}, rms deviation {readable(rms, 's')} "
            f"({100 * rms / median:.2g} %).",
        )


def _about_order(time: Array, steps: Array) -> Iterator[Issue]:
    back = np.flatnonzero(steps < 0)
    if len(back):
        yield Issue(
            "error",
            "time-runs-back",
            f"The time runs back {_count(len(back), 'time')}, first from {readable(time[back[0]], 's')} to "
            f"{readable(time[back[0] + 1], 's')}: are these several recordings in one file, or a sweep?",
            at=float(time[back[0]]),
        )
    same = np.flatnonzero(steps == 0)
    if len(same):
        yield Issue(
            "error",
            "duplicate-time",
            f"{_count(len(same), 'instant')} repeated, first {readable(time[same[0]], 's')}.",
            at=float(time[same[0]]),
        )


def about_channel(trace: Trace, name: str, values: Array) -> Iterator[Issue]:
    """What is odd about one channel."""
    finite = np.isfinite(values)
    if not finite.all():
        yield _missing(trace, name, values, finite)
    if not finite.any():
        return
    kept = values[finite]
    if np.ptp(kept) <= 1e-12 * np.max(np.abs(kept)):
        value = readable(float(kept[0]), trace.units.get(name, ""))
        yield Issue("warning", "constant", f"{name} is constant ({value}): nothing can be learnt from it.", name)
        return
    for end, rail in (("maximum", float(kept.max())), ("minimum", float(kept.min()))):
        if _is_clipped(kept, rail):
            share = 100 * float(np.mean(kept == rail))
            yield Issue(
                "warning",
                "clipped",
                f"{name} seems clipped at its {end} of {readable(rail, trace.units.get(name, ''))} "
                f"({share:.2g} % of the samples lie exactly there).",
                name,
                float(trace.time[finite][np.argmax(kept == rail)]),
            )


def _missing(trace: Trace, name: str, values: Array, finite: Mask) -> Issue:
    first = int(np.argmin(finite))
    nan, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    parts = [f"{number} {word}" for number, word in ((nan, "missing (NaN)"), (infinite, "infinite")) if number]
    at = float(trace.time[first])
    return Issue(
        "warning",
        "missing",
        f"{name} has {' and '.join(parts)} of {len(values)} values, first at {readable(at, 's')}.",
        name,
        at,
    )


def _is_clipped(values: Array, rail: float) -> bool:
    """Whether a signal that moves all the time keeps stopping at one end of its range.

    A held, digital or pulsed signal rests by nature, so the samples at the rail count only for a signal that seldom
    repeats a value elsewhere, or (one that an instrument has rounded to levels) if the last level holds far more
    samples than the level before it. A sine rounded to levels puts 2.4 times as many there.
    """
    levels, counts = np.unique(values, return_counts=True)
    at_rail = values == rail
    longest = _longest_run(at_rail)
    # Zero is where signals start, end and are rectified; an amplifier's rail is hardly ever there.
    if len(levels) < _LEVELS or longest < 3 or at_rail.sum() < 5 or rail == 0.0:
        return False
    repeats = values[1:] == values[:-1]
    elsewhere = ((values > levels[0]) & (values < levels[-1]))[1:]
    resting = float(np.mean(repeats[elsewhere])) if elsewhere.any() else 1.0
    if resting < 0.05:
        return True
    next_level = counts[-2] if rail == levels[-1] else counts[1]
    runs = int(np.sum(at_rail[1:] & ~at_rail[:-1]) + at_rail[0])
    # A held signal visits its last level as rarely as any other, in one or two rests.
    return runs >= 3 and bool(at_rail.sum() > 5 * next_level) and _is_rounded(levels)


def _is_rounded(levels: Array) -> bool:
    """Whether the levels are those of a converter: whole numbers of one step."""
    gaps = np.diff(levels)
    steps = gaps / gaps.min()
    return bool(np.all(np.abs(steps - np.round(steps)) < 1e-3 * np.maximum(steps, 1.0)))


def _longest_run(mask: Mask) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return int(np.max(edges[1::2] - edges[::2], initial=0))


def about_regime(trace: Trace) -> Iterator[Issue]:
    """Where an output stops to behave as before."""
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
            f"{name} changes its behaviour at about {readable(change.at, 's')}: its fluctuations become "
            f"{change.describe()}. A model of one part will not hold in the other; fit them apart.",
            name,
            change.at,
        )


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' if number > 1 else ''}"
