"""Inspection of a recording before a model is fitted to it: its contents and its problems."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from ..durations import in_words
from ..typing import Array
from ..units import readable
from .advice import advise
from .checks import Issue as Issue, check_channel, check_held_drives, check_read_order, check_regime, check_time
from .terminal_plot import terminal_plot
from .trace import Trace

_INSTRUMENT_KEY = re.compile(
    r"model|instrument|firmware|serial|mainframe|operator|date|trigger.?time|timestamp|comment|title", re.IGNORECASE
)
_MAX_INSTRUMENT_LINES = 6
_MAX_CHANNELS = 40


def diagnose(trace: Trace) -> list[Issue]:
    """Find problems of a recording, such as gaps, clipping, or a change of regime.

    Checks for too few samples; times that repeat, run backwards, jitter or have gaps; channels with NaN or infinite values,
    that are constant or clipped; and a change of regime, after which the device behaves differently.

    Args:
        trace: The recording. Its drives, or if it has none the channels that look like drives, may explain changes of the
            outputs.

    Returns:
        The issues, errors first; an empty list if there are none.

    Example:
        >>> time = np.arange(100) * 1e-9
        >>> for issue in diagnose(Trace(time, output={"V": np.sin(time * 3e8), "I": np.zeros(100)}, units={"I": "A"})):
        ...     print(issue.severity, issue.message)
        warning I is constant (0 A): a model cannot learn from it.
    """
    if len(trace) < 2:
        return [Issue("error", "too-short", f"The trace has {len(trace)} sample; at least 2 are needed.")]
    issues = [*check_time(trace)]
    for name, values in trace.channels.items():
        issues += check_channel(trace, name, values)
    issues += check_held_drives(trace)
    issues += check_read_order(trace)
    issues += check_regime(trace)
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(issues, key=lambda issue: order[issue.severity])


def summary(trace: Trace, *, file: str | None = None, options: Sequence[str] = (), plain: bool = False) -> str:
    """Return the text that `spinode inspect` prints: contents, a plot, issues, and the next command.

    Args:
        trace: The recording, with all its channels.
        file: Name of the file for the command; from the provenance if omitted.
        options: Options with which the file was read, for the command.
        plain: Plot with ASCII characters.
    """
    issues = diagnose(trace)
    advice = advise(trace, issues, [_file_of(trace, file), *options])
    plot = terminal_plot(trace, plain=plain) if len(trace) > 1 else []
    parts = [_contents(trace), _channels(trace), plot, _issues(issues), advice]
    return "\n\n".join("\n".join(part) for part in parts if part)


def next_command(trace: Trace, *, file: str | None = None, options: Sequence[str] = ()) -> str:
    """Return the last part of `summary`: the command that fits a model; the arguments are those of `summary`."""
    return "\n".join(advise(trace, diagnose(trace), [_file_of(trace, file), *options]))


def _file_of(trace: Trace, file: str | None) -> str:
    return file or str(trace.provenance.get("file", "TABLE"))


def _contents(trace: Trace) -> list[str]:
    source = trace.provenance
    lines = [f"{source.get('file', 'trace')} ({source.get('reader', 'from memory')})"]
    if len(trace):
        unit = trace.unit("time")
        lines.append(f"samples   {len(trace)}, from {readable(trace.time[0], unit)} to {readable(trace.time[-1], unit)}")
    if len(trace) > 1 and source.get("sampled_by") is not None:
        lines.append(f"time      not in the file; the samples are numbered by {source['sampled_by']}")
    elif len(trace) > 1:
        steps = np.diff(trace.time)
        step = f"mean {readable(float(np.mean(steps)), unit)}, median {readable(float(np.median(steps)), unit)}"
        lines.append(f"duration  {readable(trace.duration, unit)}, step {step}")
    clock = source.get("time")
    if clock is not None and source.get("raw_units", {}).get(clock, "s") is None:
        lines.append(
            f"time      the file gives no unit for {clock!r}; seconds are assumed: it lasts {in_words(trace.duration)}"
            if len(trace)
            else f"time      the file gives no unit for {clock!r}; seconds are assumed"
        )
    lines += [f"note      {note}" for note in source.get("notes", ())]
    lines += [f"left out  {name}: {reason.rstrip('.')}" for name, reason in source.get("left_out", {}).items()]
    lines += _instrument(source.get("metadata"))
    for name, value in trace.parameters.items():
        lines.append(f"parameter {name} = {readable(value, trace.units.get(name, ''))}")
    return lines


def _instrument(metadata: object) -> list[str]:
    """Return lines about the instrument and the date, from the header of the file."""
    head = metadata.get("header") if isinstance(metadata, Mapping) else None
    if not isinstance(head, Mapping):
        return []
    entries = [(str(k), " ".join(str(v).split())) for k, v in head.items() if _INSTRUMENT_KEY.search(str(k)) and str(v).strip()]
    return [
        f"{'recorded' if index == 0 else '':<9} {key}: {value[:100]}"
        for index, (key, value) in enumerate(entries[:_MAX_INSTRUMENT_LINES])
    ]


def _channels(trace: Trace) -> list[str]:
    """Return a table with one line per channel."""
    raw = trace.provenance.get("raw_units", {})
    rows: list[tuple[str, ...]] = [("channel", "unit", "min", "max", "mean", "std")]
    for name, values in list(trace.channels.items())[:_MAX_CHANNELS]:
        unit = trace.units.get(name, "")
        shown = unit or ("not given" if raw.get(name, "") is None else "1")
        rows.append((name, shown, *(_number(value, unit) for value in _statistics(values))))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    hidden = len(trace.channels) - _MAX_CHANNELS
    return [*lines, f"and {hidden} more channels"] if hidden > 0 else lines


def _number(value: float, unit: str) -> str:
    """Return a value with its prefix; compound units take none and are in a column of their own."""
    return readable(value, "" if "/" in unit or " " in unit else unit)


def _statistics(values: Array) -> tuple[float, float, float, float]:
    """Return minimum, maximum, mean and standard deviation of the finite values."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return (float("nan"),) * 4
    return float(finite.min()), float(finite.max()), float(finite.mean()), float(finite.std())


def _issues(issues: list[Issue]) -> list[str]:
    if not issues:
        return ["No issues were found."]
    return ["Issues:", *(f"  {issue.severity}: {issue.message}" for issue in issues)]
