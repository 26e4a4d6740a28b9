"""What is in a recording and what is odd about it, before a model is fitted to it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

import numpy as np

from ..typing import Array
from ..units import readable
from .channel_roles import likely_drives, likely_outputs
from .checks import Issue as Issue, about_channel, about_regime, about_time
from .terminal_plot import picture
from .trace import Trace

_ABOUT = re.compile(
    r"model|instrument|firmware|serial|mainframe|operator|date|trigger.?time|timestamp|comment|title", re.IGNORECASE
)
_TOLD = 6


def diagnose(trace: Trace) -> list[Issue]:
    """Everything odd about a recording, errors first.

    Looks for too few samples; times that repeat, run back, jitter or leave gaps; channels that hold NaN or infinity,
    are constant or clipped; and a change of regime, after which the device is no longer the one before.

    Args:
        trace: The recording. Drives are used to explain changes of the outputs; if it names none, the channels that
            look like inputs are taken.

    Returns:
        The findings, an empty list for a clean recording.
    """
    if len(trace) < 2:
        return [Issue("error", "too-short", f"The trace holds {len(trace)} sample; at least 2 are needed.")]
    issues = [*about_time(trace)]
    for name, values in trace.channels.items():
        issues += about_channel(trace, name, values)
    issues += about_regime(trace)
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(issues, key=lambda finding: order[finding.severity])


def summary(trace: Trace, *, file: str | None = None, options: Sequence[str] = (), plain: bool = False) -> str:
    """The text that `spinode inspect` prints: contents, a picture, oddities, and the command that comes next.

    Args:
        trace: The recording, with all its channels.
        file: The file as the user named it, for the command; the name in the provenance if omitted.
        options: Further words of the command: how the file was read.
        plain: Draw the picture in ASCII.
    """
    issues = diagnose(trace)
    advice = _advice(trace, issues, [file or str(trace.provenance.get("file", "TABLE")), *options])
    drawn = picture(trace, plain=plain) if len(trace) > 1 else []
    parts = [_contents(trace), _channels(trace), drawn, _oddities(issues), advice]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _contents(trace: Trace) -> list[str]:
    source = trace.provenance
    lines = [f"{source.get('file', 'trace')} ({source.get('reader', 'from memory')})"]
    if len(trace):
        unit = trace.unit("time")
        lines.append(f"samples   {len(trace)}, from {readable(trace.time[0], unit)} to {readable(trace.time[-1], unit)}")
    if len(trace) > 1 and source.get("sampled_by") is not None:
        lines.append(f"time      none in the file; the recording runs over the {source['sampled_by']}")
    elif len(trace) > 1:
        steps = np.diff(trace.time)
        step = f"mean {readable(float(np.mean(steps)), unit)}, median {readable(float(np.median(steps)), unit)}"
        lines.append(f"duration  {readable(trace.duration, unit)}, step {step}")
    clock = source.get("time")
    if clock is not None and source.get("raw_units", {}).get(clock, "s") is None:
        lines.append(f"time      the file gives no unit for {clock!r}; it is taken as seconds")
    lines += _instrument(source.get("metadata"))
    for name, value in trace.parameters.items():
        lines.append(f"parameter {name} = {readable(value, trace.units.get(name, ''))}")
    return lines


def _instrument(metadata: object) -> list[str]:
    """What wrote the file, and when, where it says so."""
    head = metadata.get("header") if isinstance(metadata, Mapping) else None
    if not isinstance(head, Mapping):
        return []
    told = [(str(k), " ".join(str(v).split())) for k, v in head.items() if _ABOUT.search(str(k)) and str(v).strip()]
    return [f"{'recorded' if place == 0 else '':<9} {key}: {value[:100]}" for place, (key, value) in enumerate(told[:_TOLD])]


def _channels(trace: Trace) -> list[str]:
    """A table with one line per channel."""
    raw = trace.provenance.get("raw_units", {})
    rows: list[tuple[str, ...]] = [("channel", "unit", "min", "max", "mean", "std")]
    for name, values in trace.channels.items():
        unit = trace.units.get(name, "")
        shown = unit or ("not given" if raw.get(name, "") is None else "1")
        rows.append((name, shown, *(_number(value, unit) for value in _statistics(values))))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _number(value: float, unit: str) -> str:
    """The value with its prefix; a compound unit takes none, and the table has it in its own column."""
    return readable(value, "" if "/" in unit or " " in unit else unit)


def _statistics(values: Array) -> tuple[float, float, float, float]:
    """Minimum, maximum, mean and standard deviation of the finite values."""
    kept = values[np.isfinite(values)]
    if not len(kept):
        return (float("nan"),) * 4
    return float(kept.min()), float(kept.max()), float(kept.mean()), float(kept.std())


def _oddities(issues: list[Issue]) -> list[str]:
    if not issues:
        return ["Nothing odd was found."]
    return ["What is odd:", *(f"  {finding.severity}: {finding.message}" for finding in issues)]


def _advice(trace: Trace, issues: list[Issue], file: Sequence[str]) -> list[str]:
    """The exact next command where the roles are clear, else what must be chosen."""
    if any(finding.severity == "error" for finding in issues):
        return ["Mend the errors above before you fit a model."]
    drives = tuple(trace.drive) or likely_drives(trace)
    outputs = likely_outputs(trace)
    if not drives and len(trace.channels) == 1:
        return [
            "To fit a model of a device that runs by itself (one that is driven needs its drive recorded as well):",
            f"  {_command(file, (), tuple(trace.channels), issues)}",
        ]
    if not drives or len(outputs) != 1:
        return [
            "To fit a model, say which channels drive the device and which it answers with:",
            f"  {_command(file, drives or ('CHANNEL',), outputs if len(outputs) == 1 else ('CHANNEL',), issues)}",
            f"  channels: {', '.join(trace.channels) or 'none'}",
        ]
    return ["To fit a model:", f"  {_command(file, drives, outputs, issues)}"]


def _command(file: Sequence[str], drives: tuple[str, ...], outputs: tuple[str, ...], issues: list[Issue]) -> str:
    words = ["spinode", "fit", *file]
    for option, names in (("--drive", drives), ("--output", outputs)):
        for name in names:
            words += [option, name]
    ends = [finding.at for finding in issues if finding.code == "regime-change" and finding.at is not None]
    if ends and "--stop" not in file:
        words += ["--stop", f"{min(ends):.4g}"]
    return shlex.join([*words, "--save", "device.safetensors"])
