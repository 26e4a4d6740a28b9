"""Recordings on the grid of a fit: interval, resampling, gaps, and which samples are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ....errors import TraceError
from ....traces.held_drives import infer_interpolation
from ....traces.interval import choose_interval
from ....traces.read_order import describe_order, drives_read_after, in_order
from ....traces.recorded import recorded_beside
from ....traces.resample import resample_with_mask
from ....traces.sampling import MIN_FIT_SAMPLES, base_interval, median_interval
from ....traces.trace import Trace, TraceSet
from ....traces.usable import check_usable
from ....typing import Progress
from .config import FitConfig
from .recorded_outputs import output_maps, with_signs

Mask = npt.NDArray[np.bool_]

#: Longest run of missing samples inside a recording: free runs bridge it. At longer ones the recording is split.
MAX_BRIDGED = 20

#: Longest run of rows that are missing where a drive is not held: without its values, a free run leads nowhere.
MAX_DRIVE_GAP = 8

#: Smallest part of a split recording, in samples.
MIN_PART = 50


class RecordingsOnGrid(TraceSet):
    """Recordings on a common grid, split at gaps, with the samples that they came from.

    Attributes:
        traces: On the grid and finite: missing samples are interpolated.
        known: For each trace, True where an output was recorded, shape (time, outputs); None if all are.
        recorded: For each trace, the recorded samples that lie within it, or None if they are those of the grid.
        notes: What was done, one sentence each.
        output_map: What the instrument does to the outputs, as in `Ports`. The signs of rectified outputs are restored.
    """

    known: tuple[Mask | None, ...]
    recorded: tuple[Trace | None, ...]
    notes: tuple[str, ...]
    output_map: dict[str, str]

    def __init__(
        self,
        traces: Sequence[Trace],
        known: Sequence[Mask | None],
        recorded: Sequence[Trace | None],
        notes: Sequence[str] = (),
        output_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(traces)
        object.__setattr__(self, "known", tuple(known))
        object.__setattr__(self, "recorded", tuple(recorded))
        object.__setattr__(self, "notes", tuple(notes))
        object.__setattr__(self, "output_map", dict(output_map or {}))


def on_common_grid(traces: TraceSet, config: FitConfig, progress: Progress | None = None) -> RecordingsOnGrid:
    """Check recordings and resample them to the grid of the fit.

    Without `config.sample_interval`, `spinode.traces.interval.choose_interval` chooses it; a recording that is much finer than
    its motion is low-passed and decimated. At long gaps a recording is split.

    Args:
        traces: Recordings with drives and outputs.
        config: Settings.
        progress: Receives a line for each thing that was changed.

    Raises:
        TraceError: no output, unusable samples, a constant drive or output, a recording that is too short, or an interval
            finer than that of the recording.
    """
    for trace in traces:
        check_usable(trace, MIN_FIT_SAMPLES)
        if not trace.output:
            raise TraceError("no output channel was chosen; name at least one, e.g. output=['mz'].")
    traces = TraceSet([in_order(trace) for trace in traces])
    notes: list[str] = []
    interval, method = _interval(traces, config, notes)
    late = tuple(dict.fromkeys(name for trace in traces for name in drives_read_after(trace)))
    if late:
        notes.append(f"order of reads: {describe_order(late)}")
    maps = output_maps(traces, config.output_map, notes)
    signed = with_signs(traces, maps)
    pairs = zip(traces, signed, strict=True)
    parts = [part for trace, restored in pairs for part in _parts(trace, restored, interval, method, notes)]
    for on_grid, _, _ in parts:
        if len(on_grid) < (MIN_FIT_SAMPLES if len(parts) == len(traces) else MIN_PART):
            raise TraceError(
                f"the segment has {len(on_grid)} samples of {interval:.4g} s; a fit needs at least {MIN_FIT_SAMPLES}. "
                "Take a longer segment, or a finer sample interval."
            )
    on_grids, known, recorded = zip(*parts, strict=True)
    result = RecordingsOnGrid(on_grids, known, recorded, notes, maps)
    _check_channels_vary(result)
    if progress is not None:
        for note in notes:
            progress(note)
    return result


def _interval(traces: TraceSet, config: FitConfig, notes: list[str]) -> tuple[float, str]:
    """Return the interval of the grid and the method of resampling."""
    recorded = [base_interval(trace) for trace in traces]
    if config.sample_interval is None:
        choice = choose_interval(traces)
        if choice.factor > 1:
            notes.append(f"sampling: {choice.reason} (low-passed and decimated; errors are those at the recorded samples)")
            return choice.interval, "band-limited"
        return choice.interval, config.resampling
    for index, own in enumerate(recorded):
        if config.sample_interval < 0.5 * own:
            owner = f"trace {index}'s" if len(recorded) > 1 else "the recording's"
            raise TraceError(
                f"the sample interval {config.sample_interval:.4g} s is finer than {owner} own {own:.4g} s; "
                "resampling cannot add what was not recorded. Pass an interval of at least the recorded one."
            )
    return config.sample_interval, config.resampling


def _parts(
    trace: Trace, signed: Trace, interval: float, method: str, notes: list[str]
) -> list[tuple[Trace, Mask | None, Trace | None]]:
    """Return a recording on the grid, split at its gaps: for each part the trace, the known samples and the recorded ones.

    `signed` is the recording with the signs of rectified outputs.
    """
    on_grid, known = resample_with_mask(signed, interval, method=method)
    absent = _runs(np.asarray(~known.all(1)), MAX_BRIDGED)
    smooth = any((trace.interpolation.get(n) or infer_interpolation(v)) != "held" for n, v in trace.drive.items())
    if smooth:
        absent |= _without_rows(trace, on_grid)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], (~absent).astype(np.int8), [0]))))
    stretches = [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True) if last - first >= MIN_PART]
    if not stretches:
        raise TraceError(
            f"the recording has no stretch of {MIN_PART} samples of {interval:.4g} s without a long gap; a fit needs one. "
            "Record without interruptions, or take a longer sample interval."
        )
    missing = int(np.count_nonzero(~known.all(1)))
    if missing:
        split = f"; split into {len(stretches)} parts at gaps" if len(stretches) > 1 else ""
        notes.append(f"sampling: {missing} of {len(known)} samples are missing and have no weight in the fit{split}")
    return [_part(trace, on_grid, known, int(first), int(last)) for first, last in stretches]


def _part(trace: Trace, on_grid: Trace, known: Mask, first: int, last: int) -> tuple[Trace, Mask | None, Trace | None]:
    if (first, last) == (0, len(on_grid)):
        part = on_grid
    else:
        part = on_grid.rows(slice(first, last))
    part = replace(part, missing="refuse")
    known = known[first:last]
    return part, None if known.all() else known, recorded_beside(trace, part)


def _runs(flags: Mask, longest: int) -> Mask:
    """Return the runs of True that are longer than `longest`; at the ends, of any length."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    long = np.zeros(len(flags), dtype=np.bool_)
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        long[first:last] = last - first > longest or first == 0 or last == len(flags)
    return long


def _without_rows(trace: Trace, on_grid: Trace) -> Mask:
    """Return True at the times of the grid that lie in a long gap between rows of the recording."""
    step = max(base_interval(trace), median_interval(on_grid))
    before = np.clip(np.searchsorted(trace.time, on_grid.time, side="right") - 1, 0, len(trace) - 2)
    distance = np.minimum(on_grid.time - trace.time[before], trace.time[before + 1] - on_grid.time)
    return np.asarray((trace.time[before + 1] - trace.time[before] > (MAX_DRIVE_GAP + 1.5) * step) & (distance > 0.05 * step))


def _check_channels_vary(traces: TraceSet) -> None:
    for role in ("drive", "output"):
        for name in getattr(traces[0], role):
            values = np.concatenate([getattr(trace, role)[name] for trace in traces])
            if np.ptp(values) <= 1e-12 * np.max(np.abs(values)):
                remedy = (
                    "choose a channel that responds to the drive"
                    if role == "output"
                    else "leave it out, or pass it as a parameter"
                    if len(traces[0].drive) > 1
                    else "record one that varies; without any drive a device that moves by itself is fitted"
                )
                raise TraceError(f"{role} {name!r} is constant ({values[0]:.6g}) in the chosen segment; {remedy}.")
