"""Calibration: the spread that a surrogate predicts, against the errors of its free runs on segments left out of the fit."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ....traces.trace import Trace, TraceSet
from ....typing import Array
from ..evaluation.metrics import QUANTILE_90
from ..free_run import run_along
from ..member import Member
from ..predicted_spread import SpreadModel, distance_factor, distances
from ..surrogate import Surrogate
from .prepare import Prepared

#: Number of starts of free runs on the segments left out and on the fitted ones, and shortest and longest run, in samples.
STARTS, FITTED_STARTS, MIN_LENGTH, MAX_LENGTH = 10, 6, 40, 2000

#: Nominal coverage of the interval, and the largest quantile that stands in for it where few errors are independent.
COVERAGE, MAX_QUANTILE = 0.9, 0.93

#: Share of the error of long runs at which an error counts as built up; the time to it is the memory of the device.
BUILT_UP = 0.8

#: Smallest and largest memory, in steps.
MIN_MEMORY, MAX_MEMORY = 5.0, 200.0

#: The usual distance to the fitted points is at least the radius of the domain over this: of a motion that repeats itself it
#: would be next to zero, and any other motion infinitely far.
MAX_RADIUS_RATIO = 20.0

#: With several members, share of the spread that does not depend on their differences.
COMMON_SHARE = 0.5

#: Largest factor that the chance of the choice among restarts adds to the spread.
MAX_LUCK = 2.0

#: The distance of the fitted part's own free run may widen the radius of the domain up to this factor, or to this distance.
MAX_WIDENING, SMALL_DISTANCE = 3.0, 0.3


@dataclass(frozen=True)
class _Runs:
    """Errors of free runs from several starts, all of one length, in SI units.

    Attributes:
        error: Shape (runs, time, outputs); NaN where the recording has no sample.
        deviation: Standard deviation among the members, shape (runs, time, outputs).
        distance: Distance to the nearest fitted point, shape (runs, time).
    """

    error: Array
    deviation: Array
    distance: Array


def visited_states(members: Sequence[Member], prepared: Prepared) -> Tensor:
    """Return the recorded states less the feedthrough's part (mean over members), shape (samples, state)."""
    jacobian = prepared.samples.feedthrough_jacobian
    feedthrough = torch.stack([member.feedthrough.detach().reshape(-1)[: jacobian.shape[-1]] for member in members]).mean(0)
    states: Tensor = prepared.samples.states + jacobian @ feedthrough
    return states


def calibrate(surrogate: Surrogate, traces: TraceSet | Sequence[Trace], validation: float) -> None:
    """Set the spread and the radius of the domain of a fitted surrogate from its free runs.

    Free runs start at several samples of the validation segments. The interval after k steps is a conformal one: the 90 %
    quantile of the errors at that distance from the start, divided by the factor that their distance from the fitted data
    gives (normalised conformal prediction). The measurement noise, which does not grow, is split off. The interval is never
    narrower than that of the same runs on the fitted part, since a validation segment may be calm by chance.

    Args:
        surrogate: Fitted model with its domain; `spread`, `spread_factor`, `spread_floor` and the radius change.
        traces: Recordings of the fit on its grid.
        validation: Share at the end of each that was left out.

    Source: Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018) (split conformal prediction with a local scale).
    """
    left_out = [_part(trace, 1 - validation, 1.0) for trace in traces]
    fitted = [_part(trace, 0.0, 1 - validation) for trace in traces]
    widen_domain(surrogate, fitted)
    both = (_free_runs(surrogate, left_out, STARTS), _free_runs(surrogate, fitted, FITTED_STARTS))
    groups = [runs for runs in both if runs is not None]
    if not groups:
        return
    usual = max(float(np.median(groups[0].distance)), float(surrogate.domain.radius) / MAX_RADIUS_RATIO)
    memory = _memory(groups[0].error / surrogate.scales.output_scale.numpy())
    radius = float(surrogate.domain.radius)
    factors = [np.stack([distance_factor(row, usual, memory, radius) for row in runs.distance]) for runs in groups]
    # Runs on the fitted part lie next to the fitted points. Their errors are taken for those at the distances left out.
    factors = [factors[0], *(_usual_factor(factors[0], factor.shape[1])[None] for factor in factors[1:])]
    columns = [_calibrate_output(surrogate, groups, factors, index) for index in range(len(surrogate.ports.output))]
    steps = columns[0][0]
    curve = torch.as_tensor(_rounded(_luck_of_choice(surrogate) * np.stack([column[1] for column in columns], -1)))
    usual, memory = float(_rounded(np.array(usual))), float(_rounded(np.array(memory)))
    surrogate.spread = SpreadModel(torch.as_tensor(steps), curve, usual, memory, _other_drive(surrogate))
    surrogate.spread_floor.copy_(torch.as_tensor(_rounded(np.array([column[2] for column in columns]))))
    surrogate.spread_factor.copy_(torch.as_tensor(_rounded(np.array(max(column[3] for column in columns)))))


def _rounded(values: Array) -> Array:
    """Round to nine digits: the last bit of the initial states depends on the memory layout of a linear solver."""
    digits = 8 - np.floor(np.log10(np.maximum(np.abs(values), 1e-290)))
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


def _part(trace: Trace, start: float, stop: float) -> Trace:
    count = len(trace)
    return _samples(trace, round(start * count), round(stop * count))


def _samples(trace: Trace, first: int, stop: int) -> Trace:
    """Return the samples first .. stop - 1."""
    time = np.asarray(trace.time)
    margin = 0.25 * float(time[1] - time[0])
    return trace.between(float(time[first]) - margin, float(time[stop - 1]) + margin)


def _free_runs(surrogate: Surrogate, traces: Sequence[Trace], starts: int) -> _Runs | None:
    """Run from starts spread over the recordings, in proportion to their lengths; None if all are too short."""
    usable = [trace for trace in traces if len(trace) >= MIN_LENGTH]
    if not usable:
        return None
    length = min(MAX_LENGTH, max(MIN_LENGTH, min(len(trace) for trace in usable) // 2))
    total = sum(len(trace) for trace in usable)
    errors, deviations, distance = [], [], []
    for trace in usable:
        count = max(1, round(starts * len(trace) / total))
        for first in np.unique(np.linspace(0, len(trace) - length, count).astype(int)):
            part = _samples(trace, int(first), int(first) + length)
            run = run_along(surrogate, part)
            recorded = np.stack([part.output[name] for name in surrogate.ports.output], -1)
            error = run.output.numpy() - recorded
            errors.append(np.where(np.isfinite(error) | np.isnan(recorded), error, 1e30))
            deviations.append(run.members.std(0).numpy() if len(run.members) > 1 else np.zeros_like(error))
            points = run.points
            distance.append(np.zeros(length) if points is None else distances(points, surrogate.domain.points))
    return _Runs(np.stack(errors), np.stack(deviations), np.stack(distance))


def _calibrate_output(
    surrogate: Surrogate, groups: Sequence[_Runs], factors: Sequence[Array], index: int
) -> tuple[Array, Array, float, float]:
    """Return knots in steps, curve of the model error, noise, and factor of the members' deviation of one output."""
    errors = [np.abs(runs.error[..., index]) / QUANTILE_90 for runs in groups]
    level = _level(groups[0].error[..., index])
    typical = max(float(np.nanquantile(error, COVERAGE)) for error in errors)
    noise = min(float(surrogate.noise[index]), 0.99 * typical)
    scores = [np.sqrt(np.maximum(e**2 - noise**2, 0)) / g for e, g in zip(errors, factors, strict=True)]
    steps, curve = _quantile_curve(scores, level)
    curve = np.maximum(curve, 1e-3 * typical)
    if len(surrogate.members) == 1:
        return steps, curve, noise, 1.0
    curve = COMMON_SHARE * curve
    ratios = []
    for runs, error, g in zip(groups, errors, factors, strict=True):
        common = np.interp(np.arange(error.shape[1]), steps, curve) * g
        excess = np.sqrt(np.maximum(error**2 - noise**2 - common**2, 0))
        ratios.append(float(np.nanquantile(excess / np.maximum(runs.deviation[..., index], 1e-12 * typical + 1e-300), level)))
    return steps, curve, noise, max(1.0, *ratios)


def _quantile_curve(scores: Sequence[Array], level: float) -> tuple[Array, Array]:
    """Return the quantile of scores (runs, time) in octaves of the time since the start, the larger one of the groups.

    The last quarter of the runs is one bin whose value continues beyond them.
    """
    length = min(score.shape[1] for score in scores)
    edges = [0, 1, 2]
    while 2 * edges[-1] < length // 2:
        edges.append(2 * edges[-1])
    bins = [*itertools.pairwise(edges), (edges[-1], length)]
    values = [max(float(np.nanquantile(score[:, a:b], level)) for score in scores) for a, b in bins]
    knots = [0.5 * (a + b - 1) for a, b in bins[:-1]] + [float(edges[-1])]
    return np.array(knots), np.array(values)


def _level(error: Array) -> float:
    """Return the quantile that covers the next error with 90 %: a little more where few errors are independent.

    Of n independent errors the (n + 1) * 0.9th smallest one is that quantile.
    """
    count = _independent(error)
    return float(min(COVERAGE * (1 + 1 / count), MAX_QUANTILE))


def _independent(error: Array) -> float:
    """Return the number of independent errors in runs that overlap: those of two runs of the length of one, at least 2."""
    return float(max(2.0, 2 * error.shape[1] / _correlation_length(np.nan_to_num(error) ** 2)))


def _correlation_length(values: Array) -> float:
    """Return the number of samples after which the autocorrelation of (runs, time) is below 0.2 for the first time."""
    length = values.shape[1]
    spectrum = np.fft.rfft(values - values.mean(), 2 * length, axis=1)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :length].mean(0)
    below = np.flatnonzero(correlation < 0.2 * correlation[0])
    return float(max(below[0], 1)) if len(below) else float(length)


def _memory(error: Array) -> float:
    """Return the steps after the start at which the rms of scaled errors (runs, time, outputs) has built up."""
    power = np.nanmean(np.minimum(error, 1e6) ** 2, axis=(0, 2))
    late = float(np.mean(power[len(power) // 2 :]))
    smooth = np.cumsum(power) / np.arange(1, len(power) + 1)
    reached = np.flatnonzero(smooth >= BUILT_UP**2 * late)
    return float(np.clip(reached[0] + 1 if len(reached) else MAX_MEMORY, MIN_MEMORY, MAX_MEMORY))


def _luck_of_choice(surrogate: Surrogate) -> float:
    """Return the median validation error of all restarts over that of the best kept one, between 1 and `MAX_LUCK`.

    The validation error of the best of several fits is a minimum, and smaller than its error elsewhere; that of a typical one
    is not.
    """
    errors, kept = surrogate.record.get("validation") or [], surrogate.record.get("kept") or []
    finite = [float(error) for error in errors if error is not None and np.isfinite(error)]
    own = [float(errors[i]) for i in kept if i < len(errors) and errors[i] is not None and np.isfinite(errors[i])]
    if not own or not min(own) > 0:
        return 1.0
    return float(np.clip(np.median(finite) / min(own), 1.0, MAX_LUCK))


def _other_drive(surrogate: Surrogate) -> Tensor:
    """Return the expected error under drives of another kind: the difference of restarts under a probe drive."""
    differences, kept = surrogate.record.get("disagreement") or [], surrogate.record.get("kept") or []
    known = [float(differences[i]) for i in kept if i < len(differences) and differences[i]]
    # Without an equally good restart, the nearest of the others.
    nearest = min((float(value) for value in differences if value), default=0.0)
    return max(known, default=nearest) * surrogate.scales.output_scale
