"""Outputs that an instrument has clipped or rectified: detection, and the signs of rectified ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ....errors import TraceError
from ....traces.checks import clipped_rails
from ....traces.held_drives import infer_interpolation
from ....traces.trace import Trace, TraceSet
from ....traces.unfold import MAX_NEGATIVE, is_rectified, unfold
from ....typing import Array
from ....units import readable
from ..output_map import OutputMap

#: Share of the range of an output by which samples may lie beyond limits at which it was clipped: noise behind the limiter.
MAX_BEYOND = 0.02

#: Samples of a recording that the detection of a rectified output looks at.
MAX_SAMPLES = 5_000


def output_maps(traces: TraceSet, declared: tuple[str, ...] | None, notes: list[str]) -> dict[str, str]:
    """Return the maps of the outputs, by name: the declared ones, or those that are detected if none are declared.

    Args:
        traces: Recordings.
        declared: Texts "NAME=MAP"; None to detect.
        notes: Receives a sentence about each map that was detected.

    Raises:
        TraceError: a map of a channel that is not an output, or one that contradicts the recorded values.
    """
    if declared is not None:
        given = dict(text.rpartition("=")[::2] for text in declared)
        for name in given:
            if name not in traces[0].output:
                raise TraceError(f"output_map names {name!r}; the outputs are: {', '.join(traces[0].output)}.")
            _check_possible(name, OutputMap.parse(given[name]), traces)
        return given
    found = {}
    for name in traces[0].output:
        known = [np.isfinite(trace.output[name]) for trace in traces]
        columns = [trace.output[name][rows] for trace, rows in zip(traces, known, strict=True)]
        low, high = clipped_rails(np.concatenate(columns))
        if low is not None or high is not None:
            found[name] = OutputMap("clip", -np.inf if low is None else low, np.inf if high is None else high).text
            limits = " and ".join(readable(v, traces[0].unit(name)) for v in (low, high) if v is not None)
            notes.append(
                f"{name} is clipped at {limits}: inside the model may go beyond, its outputs are clipped alike (--output-map)"
            )
        elif is_rectified(
            [column[:MAX_SAMPLES] for column in columns],
            [_inputs(trace)[rows][:MAX_SAMPLES] for trace, rows in zip(traces, known, strict=True)],
        ):
            found[name] = "abs"
            notes.append(f"{name} looks rectified: the model has a signed output, and |{name}| was recorded (--output-map)")
    return found


def _check_possible(name: str, declared: OutputMap, traces: TraceSet) -> None:
    """Refuse a map that cannot have produced the recorded values of an output.

    Raises:
        TraceError: limits between which no value lies or beyond which values lie, or negative magnitudes.
    """
    values = np.concatenate([trace.output[name][np.isfinite(trace.output[name])] for trace in traces])
    low, high = float(values.min()), float(values.max())
    unit = traces[0].unit(name)
    span = f"{name!r} lies between {readable(low, unit)} and {readable(high, unit)}"
    if declared.kind == "abs" and low < -MAX_NEGATIVE * (high - low):
        raise TraceError(
            f"output_map says that |{name}| was recorded, but {span}, and a magnitude is not negative; leave this map out "
            "(--output-map none)."
        )
    beyond = np.maximum(values - declared.high, declared.low - values)
    if declared.kind == "clip" and float(beyond.max()) > MAX_BEYOND * (high - low):
        raise TraceError(
            f"output_map says that {name!r} was clipped to {declared.low:g} .. {declared.high:g}, but {span}: "
            f"{int((beyond > 0).sum())} samples are beyond these limits. Pass the limits of the instrument in SI units, or "
            "leave this map out (--output-map none)."
        )
    if declared.kind == "clip" and not np.any((values > declared.low) & (values < declared.high)):
        raise TraceError(
            f"output_map says that {name!r} was clipped to {declared.low:g} .. {declared.high:g}, but {span}: no sample is "
            "within these limits. Pass the limits in SI units, or leave this map out (--output-map none)."
        )


def with_signs(traces: TraceSet, maps: dict[str, str]) -> TraceSet:
    """Return recordings whose rectified outputs have signs again; see `spinode.traces.unfold`."""
    rectified = [name for name, text in maps.items() if text == "abs"]
    result = list(traces)
    for name in rectified:
        present = [np.isfinite(trace.output[name]) for trace in result]
        values = [trace.output[name][known] for trace, known in zip(result, present, strict=True)]
        inputs = [_inputs(trace)[known] for trace, known in zip(result, present, strict=True)]
        for index, (known, restored) in enumerate(zip(present, unfold(values, inputs), strict=True)):
            full = np.full(len(known), np.nan)
            full[known] = restored
            result[index] = replace(result[index], output={**result[index].output, name: full})
    return TraceSet(result)


def _inputs(trace: Trace) -> Array:
    """Return the drives side by side, held ones as the output has seen them, shape (time, drives)."""
    columns: Sequence[Array] = [
        np.concatenate([values[:1], values[:-1]])
        if (trace.interpolation.get(name) or infer_interpolation(values)) == "held"
        else values
        for name, values in trace.drive.items()
    ]
    return np.stack(columns, -1) if columns else np.zeros((len(trace), 0))
