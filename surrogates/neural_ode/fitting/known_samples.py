"""Which embedded samples are known, and the recorded samples with which free runs are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ....dynamics.scales import Scales
from ....traces.trace import Trace, TraceSet
from ....typing import Array
from ..embedding import Embedding
from ..output_map import OutputMap, apply_output_map
from ..ports import Ports
from .recordings import RecordingsOnGrid
from .samples import AT_LEAST, AT_MOST, KNOWN, MISSING

Mask = npt.NDArray[np.bool_]

#: Interpolated samples may be part of an embedded state if their error, measured on samples that are known, is below this, in
#: deviations of the output.
MAX_FILL_ERROR = 0.02


@dataclass(frozen=True)
class Comparison:
    """Recorded samples of all recordings, end to end, with their positions on the grid.

    Attributes:
        positions: Number of the embedded sample that each lies at or after, with its fraction, ascending, shape (samples,).
        values: Recorded outputs in deviations, NaN where missing, shape (samples, outputs).
    """

    positions: Tensor
    values: Tensor

    def within(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Return positions relative to `first` and values of the samples from `first` to `last`."""
        begin, end = torch.searchsorted(self.positions, torch.tensor([first - 1e-6, last + 1e-6], dtype=self.positions.dtype))
        return self.positions[begin:end] - first, self.values[begin:end]


def comparison(traces: TraceSet, ports: Ports, scales: Scales, lengths: list[int]) -> Comparison | None:
    """Return the recorded samples to compare free runs with, or None if they are those of the grid.

    Args:
        traces: From `on_common_grid`.
        ports: Names of the outputs.
        scales: Scales of the outputs.
        lengths: Number of embedded samples of each recording.
    """
    recorded = traces.recorded if isinstance(traces, RecordingsOnGrid) else [None] * len(traces)
    if all(each is None for each in recorded):
        return None
    positions, values, offset = [], [], 0
    for trace, own, length in zip(traces, recorded, lengths, strict=True):
        source = own or trace
        step = float(trace.time[-1] - trace.time[0]) / (len(trace) - 1)
        at = (source.time - trace.time[0]) / step
        inside = (at > -1e-6) & (at < length - 1 + 1e-6)
        outputs = np.stack([source.output[name] for name in ports.output], -1)
        positions.append(np.clip(at[inside], 0, length - 1) + offset)
        values.append(outputs[inside])
        offset += length
    recorded_outputs = apply_output_map(ports, torch.as_tensor(np.concatenate(values)))
    return Comparison(torch.as_tensor(np.concatenate(positions)), scales.output(recorded_outputs))


def sample_status(traces: TraceSet, embedding: Embedding, lengths: list[int]) -> tuple[Tensor | None, Tensor | None]:
    """Return what is known of each embedded value, and which samples can start a window; see `Samples`.

    An interpolated output has no weight. The state of a sample is known if the samples that it is computed from are known or
    interpolated well: in gaps no longer than those that interpolation bridges to within `MAX_FILL_ERROR`.

    Args:
        traces: From `on_common_grid`.
        embedding: Kind and order.
        lengths: Number of embedded samples of each recording.
    """
    if not isinstance(traces, RecordingsOnGrid):
        return None, None
    limited = any(text.startswith("clip") for text in traces.output_map.values())
    if all(each is None for each in traces.known) and not limited:
        return None, None
    statuses, startable = [], []
    for trace, known, recorded, length in zip(traces, traces.known, traces.recorded, lengths, strict=True):
        outputs = np.stack(list(trace.output.values()), -1)
        present = np.ones(outputs.shape, dtype=np.bool_) if known is None else known
        limits = _limits(trace, recorded or trace, traces.output_map)
        usable = np.stack([_filled(outputs[:, i], present[:, i]) for i in range(outputs.shape[1])], -1) & (limits == KNOWN)
        reach = max(embedding.order, 3)
        of_state = np.stack([_all_near(column, reach) for column in usable.T], -1)[:length]
        status = np.repeat(np.where(of_state & present[:length], KNOWN, MISSING)[:, None, :], embedding.order, 1)
        status[:, 0] = np.where(present, limits, MISSING)[:length]
        statuses.append(status.reshape(length, -1).astype(np.int8))
        startable.append(of_state.all(1))
    return torch.as_tensor(np.concatenate(statuses)), torch.as_tensor(np.concatenate(startable))


def _limits(trace: Trace, recorded: Trace, maps: Mapping[str, str]) -> npt.NDArray[np.int8]:
    """Return the status of each output on the grid: `KNOWN`, at a limit, or `MISSING` where only part of a step is."""
    status = np.full((len(trace), len(trace.output)), KNOWN, dtype=np.int8)
    for column, name in enumerate(trace.output):
        if not maps.get(name, "").startswith("clip"):
            continue
        limits = OutputMap.parse(maps[name])
        values = recorded.output[name]
        margin = 1e-6 * float(np.nanmax(values) - np.nanmin(values))
        for reached, code in ((values >= limits.high - margin, AT_LEAST), (values <= limits.low + margin, AT_MOST)):
            share = _share_near(recorded.time, reached, trace.time)
            status[share > 0, column] = MISSING
            status[share >= 1 - 1e-9, column] = code
    return status


def _share_near(time: Array, flags: Mask, grid: Array) -> Array:
    """Return the share of flagged samples within a step of each grid time; at the sample itself if the grid is as fine."""
    step = float(grid[1] - grid[0])
    if len(time) <= 1.5 * len(grid):
        return np.asarray(np.interp(grid, time, flags.astype(np.float64)))
    cumulative = np.concatenate([[0], np.cumsum(flags)])
    first, last = np.searchsorted(time, grid - step), np.searchsorted(time, grid + step, side="right")
    return np.asarray((cumulative[last] - cumulative[first]) / np.maximum(last - first, 1))


def _all_near(usable: Mask, reach: int) -> Mask:
    """Return True at samples within whose reach all samples are usable."""
    return np.asarray(np.convolve(~usable, np.ones(2 * reach + 1), mode="same") < 0.5)


def _filled(values: Array, present: Mask) -> Mask:
    """Return True at samples that are known or interpolated well."""
    if present.all():
        return present
    longest = bridgeable_gap(values, present)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], (~present).astype(np.int8), [0]))))
    usable: Mask = present.copy()
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        usable[first:last] = last - first <= longest and first > 0 and last < len(values)
    return usable


def bridgeable_gap(values: Array, present: Mask, longest: int = 8) -> int:
    """Return the longest gap, in samples, that a cubic interpolation bridges with an error of `MAX_FILL_ERROR` deviations.

    Measured where samples are known: the middle of a gap of g samples is predicted from the two samples on either side.

    Example:
        >>> slow, fast = (np.sin(np.arange(400) * rate) for rate in (0.1, 1.5))
        >>> bridgeable_gap(slow, np.ones(400, dtype=bool)), bridgeable_gap(fast, np.ones(400, dtype=bool))
        (8, 0)
    """
    deviation = float(np.std(values[present]))
    for gap in range(1, longest + 1):
        # Samples at -1, 0 and gap + 1, gap + 2; the prediction at the middle, by Lagrange's formula.
        nodes = np.array([-1.0, 0.0, gap + 1.0, gap + 2.0])
        middle = (gap + 1) // 2
        weights = [np.prod([(middle - b) / (a - b) for b in nodes if b != a]) for a in nodes]
        size = len(values) - gap - 3
        offsets = (nodes + 1).astype(int)
        parts = [(values[o : o + size], present[o : o + size]) for o in (*offsets, middle + 1)]
        valid = np.all([known for _, known in parts], 0) if size > 0 else np.zeros(0, dtype=np.bool_)
        if valid.sum() < 20:
            return gap - 1
        predicted = sum(w * part for w, (part, _) in zip(weights, parts[:4], strict=True))
        if np.sqrt(np.mean((predicted - parts[4][0])[valid] ** 2)) > MAX_FILL_ERROR * deviation:
            return gap - 1
    return longest
