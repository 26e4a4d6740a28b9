"""`write_pulses`: pulse-by-pulse recordings to delimited text that `read_trace` reads back exactly."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from ...errors import TraceError, UnitError
from ...files import write_atomically
from ...traces.trace import Trace, TraceSet
from ...typing import Array
from ..parsing.messages import counted
from .polarity import NO_PULSE, UNKNOWN

_AMPLITUDES = {"voltage": "pulse_voltage_v", "width": "pulse_width_s"}
_LABELS = ("device", "cycle")


def write_pulses(path: str | Path, traces: Trace | TraceSet) -> None:
    """Write recordings in the long form: a row for each read, with the pulses that led to it.

    The columns are device_id, cycle, pulse_index, direction and conductance_s ("conductance ()" for a normalised one), then
    pulse_voltage_v, pulse_width_s and time_s where the traces have them. Several pulses between two reads make the
    pulse_index skip. Parameters that all traces share are in comments. `read_trace(path, pulses="long")` returns the same
    traces except for their provenance, and for the amplitudes of the last sample, which no pulse follows. The file is written
    atomically.

    Args:
        path: File to write.
        traces: Traces with the output "conductance" [S or normalised], the drives "SET" and "RESET" and optionally "voltage"
            [V] and "width" [s], the parameters "device" and "cycle", and a time in seconds or in pulses received.

    Raises:
        TraceError: the file cannot be written, or traces that the long form cannot represent: other channels, pulses of both
            polarities between two reads or after the last one, a device and cycle that occur twice, parameters that differ.
        UnitError: a channel in another unit.

    Example:
        >>> import pathlib, tempfile
        >>> from spinode.datasets import ExponentialStep, pulse_traces, read_trace, write_pulses
        >>> traces = pulse_traces(ExponentialStep(), [1, 1, -1], devices=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "pulses.csv")
        ...     write_pulses(path, traces)
        ...     header = path.read_text().splitlines()[0]
        ...     same = read_trace(path, pulses="long").fingerprint() == traces.fingerprint()
        >>> header, same
        ('device_id,cycle,pulse_index,direction,conductance ()', True)
    """
    trace_set = traces if isinstance(traces, TraceSet) else TraceSet(traces)
    _check_channels(trace_set)
    first = trace_set[0]
    text = io.StringIO(newline="")
    for name, value in first.parameters.items():
        if name not in _LABELS:
            text.write(f"# parameter {' '.join(name.split())} ({first.unit(name)}) = {value!r}\n")
    conductance = "conductance_s" if first.unit("conductance") == "S" else "conductance ()"
    amplitudes = [name for name in _AMPLITUDES if name in first.drive]
    timed = first.unit("time") == "s"
    writer = csv.writer(text, lineterminator="\n")
    names = ["device_id", "cycle", "pulse_index", "direction", conductance, *(_AMPLITUDES[name] for name in amplitudes)]
    writer.writerow([*names, "time_s"] if timed else names)
    seen: set[tuple[float, float]] = set()
    for number, trace in enumerate(trace_set):
        labels = (trace.parameters["device"], trace.parameters["cycle"])
        if labels in seen:
            raise TraceError(
                f"trace {number} is a second one of device {labels[0]:g}, cycle {labels[1]:g}; give each recording "
                "its own cycle."
            )
        seen.add(labels)
        columns = [*_pulses(number, trace, timed), _text(trace.output["conductance"])]
        columns += [_text(np.append(trace.drive[name][:1], trace.drive[name][:-1])) for name in amplitudes]
        columns += [_text(trace.time)] if timed else []
        device, cycle = (f"{value:.0f}" if value.is_integer() else repr(value) for value in labels)
        writer.writerows((device, cycle, *cells) for cells in zip(*columns, strict=True))
    write_atomically(path, text.getvalue().encode())


def _text(values: Array) -> list[str]:
    return list(map(repr, values.tolist()))


def _check_channels(traces: TraceSet) -> None:
    """Check that the traces are those of pulses; all of a set have the same channels and units."""
    first = traces[0]
    extra = set(first.drive) - {"SET", "RESET", *_AMPLITUDES}
    if set(first.output) != {"conductance"} or extra or not {"SET", "RESET"} <= set(first.drive):
        raise TraceError(
            f"the drives are {', '.join(first.drive) or 'none'} and the outputs {', '.join(first.output) or 'none'}; expected "
            "SET and RESET, optionally voltage and width, and the output conductance. `write_csv` writes any trace."
        )
    missing = [name for name in _LABELS if name not in first.parameters]
    if missing:
        raise TraceError(f"the traces have no parameter {missing[0]!r}; number them: replace(trace, parameters={{...}}).")
    for name, units in (("conductance", ("S", "")), ("time", ("s", "")), ("voltage", ("V",)), ("width", ("s",))):
        if name in (*first.channels, "time") and first.unit(name) not in units:
            raise UnitError(f"{name!r} is in {first.unit(name)!r}; expected {' or '.join(repr(unit) for unit in units)}.")
    for name, value in first.parameters.items():
        if name not in _LABELS and any(trace.parameters[name] != value for trace in traces):
            raise TraceError(f"the parameter {name!r} differs between the traces; write those of one value into a file each.")


def _pulses(number: int, trace: Trace, timed: bool) -> tuple[list[str], list[str]]:
    """Return pulse index and direction of each read."""
    up, down = trace.drive["SET"], trace.drive["RESET"]
    place = f"trace {number} (device {trace.parameters['device']:g}, cycle {trace.parameters['cycle']:g})"
    if len(trace) < 2:
        raise TraceError(f"{place} contains a single read, and the effect of a pulse needs two; leave it out.")
    for name, values in (*trace.channels.items(), ("time", trace.time)):
        if not np.isfinite(values).all():
            raise TraceError(f"{place}: {name!r} is not finite in sample {int(np.argmin(np.isfinite(values)))}; cut it out.")
    is_whole = (up >= 0) & (down >= 0) & (up == np.round(up)) & (down == np.round(down))
    bad = ~is_whole | ((up > 0) & (down > 0))
    if bad.any():
        at = int(np.argmax(bad))
        raise TraceError(
            f"{place}: sample {at} has {up[at]:g} SET and {down[at]:g} RESET pulses; a row of the long form contains a "
            "whole number of pulses of one polarity."
        )
    if up[-1] or down[-1]:
        raise TraceError(
            f"{place}: {counted(up[-1] + down[-1], 'pulse')} after the last read, which no row can represent; set them to 0."
        )
    count = (up + down)[:-1]
    for name in _AMPLITUDES:
        if name in trace.drive and not (trace.drive[name] > 0).all():
            raise TraceError(f"{place}: the {name} is not above zero in every sample; the polarity is SET or RESET.")
    if timed:
        if not (np.diff(trace.time) > 0).all():
            raise TraceError(f"{place}: the time does not grow from read to read; sort the samples.")
        start = 0.0
    else:
        start = float(trace.time[0])
        if start not in (0.0, 1.0) or not np.array_equal(np.diff(trace.time), count) or not count.all():
            raise TraceError(
                f"{place}: the time is not the number of pulses received, beginning at 0 or 1 and growing by the pulses "
                "between reads. Count again, or give times in seconds, which reads without pulses need."
            )
    index = start + np.append(0.0, np.cumsum(count))
    # The direction of the pulse before the first read is not part of a trace.
    words = np.select([up > 0, down > 0], ["SET", "RESET"], NO_PULSE)[:-1].tolist()
    return [f"{value:.0f}" for value in index.tolist()], [UNKNOWN if start else NO_PULSE, *words]
