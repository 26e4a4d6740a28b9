"""Segments left out of fits, and the errors of free runs along them by models that have not seen them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ....traces.trace import Trace, TraceSet
from ....typing import Array
from ..domain import Domain
from ..free_run import run_along
from ..member import Member
from ..output_map import apply_output_map
from ..predicted_spread import distances
from ..surrogate import Surrogate
from .prepare import Prepared

#: Shortest and longest run, in samples.
MIN_LENGTH, MAX_LENGTH = 40, 2000

#: Largest number of samples before a segment from which an observer's run starts.
MAX_LEAD = 5000


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Segments of recordings, and a surrogate that was fitted without them.

    Attributes:
        surrogate: Its members, ports and scales count, and the points of its domain.
        traces: The segments, on its grid.
        lead: Number of samples before each segment that its trace begins with; none if omitted. A run starts as many samples
            before the errors that count. An observer needs it: its state follows from the samples after the start, so that
            the errors on these say little about those of a long run.
    """

    surrogate: Surrogate
    traces: tuple[Trace, ...]
    lead: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Runs:
    """Free runs from several starts, in SI units; shorter ones are continued to the length of the longest.

    Attributes:
        error: Shape (runs, time, outputs); NaN where the recording has no sample, or beyond the end of a run.
        deviation: Standard deviation among the members, shape (runs, time, outputs).
        distance: Distance to the nearest fitted point, shape (runs, time).
        independent: Number of runs that would not overlap.
    """

    error: Array
    deviation: Array
    distance: Array
    independent: float


def visited_points(members: Sequence[Member], prepared: Prepared, segments: Sequence[tuple[int, int]]) -> Tensor:
    """Return the recorded states less the feedthrough's part (mean over members), and the drives beside them.

    Args:
        members: Members of a surrogate.
        prepared: Recordings in its embedding.
        segments: First and last sample of each.

    Returns:
        Shape (samples, state + inputs), in deviations.
    """
    jacobian = prepared.samples.feedthrough_jacobian
    feedthrough = torch.stack([member.feedthrough.detach().reshape(-1)[: jacobian.shape[-1]] for member in members]).mean(0)
    points = torch.cat([prepared.samples.states + jacobian @ feedthrough, prepared.drive], -1)
    return torch.cat([points[first : last + 1] for first, last in segments])


def segments_left_out(fits: Sequence[tuple[Prepared, Sequence[Member]]], traces: TraceSet) -> Iterator[LeftOut]:
    """Yield the validation segments of several splits with surrogates of the members that were fitted without them.

    Args:
        fits: A split of the recordings (see `splits`) and the members that were fitted to it, for each split.
        traces: The recordings on the grid.
    """
    for prepared, members in fits:
        fitted = visited_points(members, prepared, prepared.samples.segments)
        surrogate = Surrogate(
            ports=prepared.ports,
            embedding=prepared.embedding,
            interval=prepared.interval,
            scales=prepared.scales,
            members=members,
            domain=Domain.around(fitted, fitted[:0], constants=len(prepared.ports.parameters)),
            noise=prepared.noise,
        )
        # An embedding that looks ahead leaves a few samples at the end of each recording without a state.
        lengths = [len(trace) - prepared.embedding.lookahead for trace in traces]
        offsets = np.concatenate([[0], np.cumsum(lengths)])[:-1]
        yield LeftOut(
            surrogate,
            tuple(
                samples_of(trace, first - offset, last + 1 - offset)
                for trace, offset, (first, last) in zip(traces, map(int, offsets), prepared.validation, strict=True)
            ),
        )


def left_out_block(surrogate: Surrogate, traces: Sequence[Trace], blocks: Sequence[tuple[int, int]]) -> LeftOut:
    """Return blocks of recordings, with the samples before them where the state comes from an observer.

    Args:
        surrogate: A model that was fitted without the blocks.
        traces: Recordings on its grid.
        blocks: First sample and end of the block of each.
    """
    lead = tuple(min(first, MAX_LEAD) if surrogate.embedding.recursive else 0 for first, _ in blocks)
    parts = [samples_of(trace, first - more, end) for trace, (first, end), more in zip(traces, blocks, lead, strict=True)]
    return LeftOut(surrogate, tuple(parts), lead)


def samples_of(trace: Trace, first: int, stop: int) -> Trace:
    """Return the samples first .. stop - 1."""
    time = np.asarray(trace.time)
    margin = 0.25 * float(time[1] - time[0])
    return trace.between(float(time[first]) - margin, float(time[stop - 1]) + margin)


def recorded_outputs(surrogate: Surrogate, trace: Trace) -> Array:
    """Return the outputs of a recording as its instrument records them, shape (time, outputs)."""
    values = torch.as_tensor(np.stack([trace.output[name] for name in surrogate.ports.output], -1))
    return np.asarray(apply_output_map(surrogate.ports, values).numpy())


def free_runs(each: LeftOut, starts: int) -> Runs | None:
    """Run from starts spread over the segments, in proportion to their lengths; None if all are too short."""
    surrogate = each.surrogate
    usable = [
        (trace, before, len(trace) - before)
        for trace, before in zip(each.traces, each.lead or (0,) * len(each.traces), strict=True)
        if len(trace) - before >= MIN_LENGTH
    ]
    if not usable:
        return None
    length = min(MAX_LENGTH, max(MIN_LENGTH, min(samples for _, _, samples in usable) // 2))
    total = sum(samples for _, _, samples in usable)
    errors, deviations, distance, independent = [], [], [], 0.0
    for trace, before, samples in usable:
        firsts = np.unique(np.linspace(0, samples - length, max(1, round(starts * samples / total))).astype(int))
        independent += min(len(firsts), samples / length)
        for first in firsts:
            part = samples_of(trace, int(first), int(first) + before + length)
            run = run_along(surrogate, part)
            recorded = recorded_outputs(surrogate, part)[before:]
            error = run.output.numpy()[before:] - recorded
            errors.append(np.where(np.isfinite(error) | np.isnan(recorded), error, 1e30))
            deviations.append(run.members.std(0).numpy()[before:] if len(run.members) > 1 else np.zeros_like(error))
            points = run.points
            distance.append(np.zeros(length) if points is None else distances(points[before:], surrogate.domain.points))
    return Runs(np.stack(errors), np.stack(deviations), np.stack(distance), independent)


def runs_of_all(left_out: Sequence[LeftOut], starts: int) -> Runs | None:
    """Run along all segments left out, each by its own surrogate; None if all are too short."""
    found = [free_runs(each, starts) for each in left_out]
    groups = [runs for runs in found if runs is not None]
    if not groups:
        return None
    length = max(runs.error.shape[1] for runs in groups)

    def continued(values: Array, value: float | None = None) -> Array:
        width = [(0, 0), (0, length - values.shape[1]), *[(0, 0)] * (values.ndim - 2)]
        return np.pad(values, width, mode="edge") if value is None else np.pad(values, width, constant_values=value)

    return Runs(
        np.concatenate([continued(runs.error, np.nan) for runs in groups]),
        np.concatenate([continued(runs.deviation) for runs in groups]),
        np.concatenate([continued(runs.distance) for runs in groups]),
        sum(runs.independent for runs in groups),
    )
