"""Calibration: the spread that a surrogate predicts, against the errors of its free runs on segments left out of the fit."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ....traces.recorded import between_steps
from ....traces.trace import Trace, TraceSet
from ....typing import Array
from ..evaluation.metrics import QUANTILE_90
from ..free_run import run_along
from ..predicted_spread import SpreadModel, distance_factor, distances
from ..surrogate import Surrogate
from .few_errors import COVERAGE, best_of_factor, few_errors_factor, independent_errors
from .left_out import LeftOut, Runs, free_runs, left_out_block, recorded_outputs, runs_of_all, samples_of
from .recordings import RecordingsOnGrid

#: Number of starts of free runs on the segments left out and on the fitted ones, and fewest in each of several groups of
#: segments left out.
STARTS, FITTED_STARTS, MIN_STARTS = 10, 6, 4

#: Share of the fitted part that precedes the errors on it, where an observer estimates the first state from later samples.
FITTED_LEAD = 0.25

#: Share of the error of long runs at which an error counts as built up; the time to it is the memory of the device.
BUILT_UP = 0.8

#: Smallest and largest memory, in steps.
MIN_MEMORY, MAX_MEMORY = 5.0, 200.0

#: The usual distance to the fitted points is at least the radius of the domain over this: of a motion that repeats itself it
#: would be next to zero, and any other motion infinitely far.
MAX_RADIUS_RATIO = 20.0

#: With several members, share of the spread that does not depend on their differences.
COMMON_SHARE = 0.5

#: Weight of the errors on blocks left out against those on the fitted part, for members that have fitted all samples.
UNSEEN_SHARE = 0.632

#: The distance of the fitted part's own free run may widen the radius of the domain up to this factor, or to this distance.
MAX_WIDENING, SMALL_DISTANCE = 3.0, 0.3


def calibrate(
    surrogate: Surrogate, traces: TraceSet | Sequence[Trace], validation: float, left_out: Sequence[LeftOut] = ()
) -> None:
    """Set the spread and the radius of the domain of a fitted surrogate from its free runs.

    Free runs start at several samples of segments left out of the fit. The interval after k steps is a conformal one: the 90 %
    quantile of the errors at that distance from the start, divided by the factor that their distance from the fitted data
    gives (normalised conformal prediction). The measurement noise, which does not grow, is split off. Fits of several splits
    give errors on all blocks of the recordings, each by a fit that has not seen it (cross-conformal prediction); of one split
    there are only those of its last segments. The quantile is widened for the number of errors that are independent, and
    for the choice of the best among restarts. It is never below that on the fitted part, where errors are no larger.

    Args:
        surrogate: Fitted model with its domain; `spread`, `spread_factor`, `spread_floor` and the radius change.
        traces: Recordings of the fit on its grid.
        validation: Share at the end of each that was left out.
        left_out: All segments that were left out of fits of this structure; the last `validation` of each recording if none
            are given. See `spinode.surrogates.neural_ode.fitting.left_out`.

    Source: Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018) (split conformal prediction with a local scale); Vovk, Ann. Math.
    Artif. Intell. 74, 9 (2015) (cross-conformal prediction); Efron, J. Am. Stat. Assoc. 78, 316 (1983) (the weight 0.632).
    """
    recursive = surrogate.embedding.recursive
    cuts = [round(len(trace) * (1 - validation)) for trace in traces]
    tails = left_out_block(surrogate, traces, [(cut, len(trace)) for trace, cut in zip(traces, cuts, strict=True)])
    widen_domain(surrogate, [samples_of(trace, 0, cut) for trace, cut in zip(traces, cuts, strict=True)])
    fitted = left_out_block(surrogate, traces, [(round(FITTED_LEAD * cut) if recursive else 0, cut) for cut in cuts])
    unseen = runs_of_all(left_out or [tails], max(MIN_STARTS, STARTS // max(1, len(left_out))))
    both = (unseen, free_runs(fitted, FITTED_STARTS))
    groups = [runs for runs in both if runs is not None]
    if groups:
        calibrate_from_runs(surrogate, groups, traces, several=len(left_out) > 1)


def calibrate_from_runs(
    surrogate: Surrogate, groups: Sequence[Runs], traces: TraceSet | Sequence[Trace], *, several: bool = False
) -> None:
    """Set the spread of a surrogate from the errors of its free runs; see `calibrate`.

    Args:
        surrogate: Fitted model with its domain, whose radius is final; `spread`, `spread_factor` and `spread_floor` change.
        groups: Runs on segments left out of the fit, then those on the fitted part; one of them may be missing.
        traces: Recordings of the fit on its grid.
        several: The first runs are those of several splits.
    """
    usual = max(float(np.median(groups[0].distance)), float(surrogate.domain.radius) / MAX_RADIUS_RATIO)
    memory = _memory(groups[0].error / surrogate.scales.output_scale.numpy())
    radius = float(surrogate.domain.radius)
    factors = [np.stack([distance_factor(row, usual, memory, radius) for row in runs.distance]) for runs in groups]
    # Runs on the fitted part lie next to the fitted points. Their errors are taken for those at the distances left out.
    factors = [factors[0], *(_usual_factor(factors[0], factor.shape[1])[None] for factor in factors[1:])]
    columns = [_calibrate_output(surrogate, groups, factors, index, several) for index in range(len(surrogate.ports.output))]
    steps = columns[0][0]
    curve = torch.as_tensor(_rounded(np.stack([column[1] for column in columns], -1)))
    usual, memory = float(_rounded(np.array(usual))), float(_rounded(np.array(memory)))
    surrogate.spread = SpreadModel(torch.as_tensor(steps), curve, usual, memory, _other_drive(surrogate))
    floor = np.hypot([column[2] for column in columns], _noise_between_steps(surrogate, traces))
    surrogate.spread_floor.copy_(torch.as_tensor(_rounded(floor)))
    surrogate.spread_factor.copy_(torch.as_tensor(_rounded(np.array(max(column[3] for column in columns)))))


def _noise_between_steps(surrogate: Surrogate, traces: TraceSet | Sequence[Trace]) -> Array:
    """Return the deviation of recorded samples from those of the grid, shape (outputs,): noise that a low-pass has removed."""
    beside = traces.recorded if isinstance(traces, RecordingsOnGrid) else ()
    differences = [np.zeros((1, len(surrogate.ports.output)))]
    for trace, recorded in zip(traces, beside, strict=False):
        if recorded is None:
            continue
        step = float(trace.time[-1] - trace.time[0]) / (len(trace) - 1)
        on_grid = between_steps(recorded_outputs(surrogate, trace), (recorded.time - trace.time[0]) / step)
        differences.append(recorded_outputs(surrogate, recorded) - on_grid)
    return np.asarray(np.sqrt(np.nanmean(np.concatenate(differences[1:] or differences) ** 2, 0)))


def _rounded(values: Array) -> Array:
    """Round to six digits: the last bit of the initial states depends on the memory layout of a linear solver.

    Differences of squares multiply it: that of errors and noise by a thousand and more.
    """
    digits = 5 - np.floor(np.log10(np.maximum(np.abs(values), 1e-290)))
    scale = 10.0 ** np.minimum(digits, 300)
    rounded: Array = np.round(values * scale) / scale
    return rounded


def _usual_factor(factors: Array, length: int) -> Array:
    """Return the root mean square of factors (runs, time) over the runs, continued to a length with its later half."""
    usual = np.sqrt(np.mean(factors**2, 0))
    late = float(np.mean(usual[len(usual) // 2 :]))
    return np.concatenate([usual, np.full(max(0, length - len(usual)), late)])[:length]


def widen_domain(surrogate: Surrogate, traces: Sequence[Trace]) -> None:
    """Widen the radius of the domain so that the free runs along the fitted recordings lie within it.

    The radius describes the distances among recorded samples. Where a recording repeats the same motion, or its samples are
    dense, these are smaller than the error of the model, and its own run would count as outside.
    """
    parts = []
    for trace in traces:
        run = run_along(surrogate, trace)
        if run.points is not None:
            parts.append(distances(run.points, surrogate.domain.points))
    if not parts:
        return
    # Half of the tolerated false alarms (1 %); a run that leaves the fitted data by far is rightly outside.
    reached = float(np.quantile(np.concatenate(parts), 0.995))
    radius = surrogate.domain.radius
    largest = max(MAX_WIDENING * float(radius), SMALL_DISTANCE)
    radius.fill_(max(float(radius), float(_rounded(np.array(min(1.05 * reached, largest))))))


def _calibrate_output(
    surrogate: Surrogate, groups: Sequence[Runs], factors: Sequence[Array], index: int, several: bool
) -> tuple[Array, Array, float, float]:
    """Return knots in steps, curve of the model error, noise, and factor of the members' deviation of one output."""
    errors = [np.abs(runs.error[..., index]) / QUANTILE_90 for runs in groups]
    typical = max(float(np.nanquantile(error, COVERAGE)) for error in errors)
    noise = min(float(surrogate.noise[index]), 0.99 * typical)
    scores = [np.sqrt(np.maximum(e**2 - noise**2, 0)) / g for e, g in zip(errors, factors, strict=True)]
    steps, curve = _quantile_curve(scores, several)
    count = independent_errors(scores[0], groups[0].independent)
    widening = few_errors_factor(count) * (1.0 if several else best_of_factor(_equally_good(surrogate, count), count))
    curve = np.maximum(widening * curve, 1e-3 * typical)
    if not groups[0].deviation.any():  # single members have made the errors, and all their causes are in the curve
        return steps, curve, noise, 1.0
    curve = COMMON_SHARE * curve
    ratios = []
    for runs, error, g in zip(groups, errors, factors, strict=True):
        common = np.interp(np.arange(error.shape[1]), steps, curve) * g
        excess = np.sqrt(np.maximum(error**2 - noise**2 - common**2, 0))
        ratios.append(
            float(np.nanquantile(excess / np.maximum(runs.deviation[..., index], 1e-12 * typical + 1e-300), COVERAGE))
        )
    return steps, curve, noise, max(1.0, *(widening * ratio for ratio in ratios))


def _quantile_curve(scores: Sequence[Array], several: bool) -> tuple[Array, Array]:
    """Return the quantile of scores (runs, time) in octaves of the time since the start.

    The last quarter of the runs is one bin whose value continues beyond them.

    Args:
        scores: Of the segments left out, and of the fitted part.
        several: The first ones are those of several splits.
    """
    length = min(score.shape[1] for score in scores)
    edges = [0, 1, 2]
    while 2 * edges[-1] < length // 2:
        edges.append(2 * edges[-1])
    bins = [*itertools.pairwise(edges), (edges[-1], length)]
    quantiles = np.array([[float(np.nanquantile(score[:, a:b], COVERAGE)) for score in scores] for a, b in bins])
    values = quantiles.max(1)
    if several and len(scores) > 1:
        between = np.sqrt(UNSEEN_SHARE * quantiles[:, 0] ** 2 + (1 - UNSEEN_SHARE) * quantiles[:, 1] ** 2)
        values = np.where(quantiles[:, 1] < quantiles[:, 0], between, values)
    knots = [0.5 * (a + b - 1) for a, b in bins[:-1]] + [float(edges[-1])]
    return np.array(knots), values


def _equally_good(surrogate: Surrogate, count: float) -> int:
    """Return the number of restarts whose validation errors differ from that of the best kept one by no more than chance."""
    errors, kept = surrogate.record.get("validation") or [], surrogate.record.get("kept") or []
    own = [errors[i] for i in kept if i < len(errors) and errors[i] is not None and np.isfinite(errors[i])]
    if not own:
        return 1
    # The standard error of the difference of two rms values.
    limit = min(own) * (1 + 1 / np.sqrt(count))
    return max(1, sum(1 for error in errors if error is not None and error <= limit))


def _memory(error: Array) -> float:
    """Return the steps after the start at which the rms of scaled errors (runs, time, outputs) has built up."""
    power = np.nanmean(np.minimum(error, 1e6) ** 2, axis=(0, 2))
    late = float(np.mean(power[len(power) // 2 :]))
    smooth = np.cumsum(power) / np.arange(1, len(power) + 1)
    reached = np.flatnonzero(smooth >= BUILT_UP**2 * late)
    return float(np.clip(reached[0] + 1 if len(reached) else MAX_MEMORY, MIN_MEMORY, MAX_MEMORY))


def _other_drive(surrogate: Surrogate) -> Tensor:
    """Return the expected error under drives of another kind: the difference of restarts under a probe drive."""
    differences, kept = surrogate.record.get("disagreement") or [], surrogate.record.get("kept") or []
    known = [float(differences[i]) for i in kept if i < len(differences) and differences[i]]
    # Without an equally good restart, the nearest of the others.
    nearest = min((float(value) for value in differences if value), default=0.0)
    return max(known, default=nearest) * surrogate.scales.output_scale
