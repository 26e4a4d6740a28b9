"""From weights to a surrogate of each device: domain, calibrated spread, and figures for the table of the fleet."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....reporting.remarks import BAD, CARE, GOOD
from ....traces.trace import TraceSet
from ..domain import Domain
from ..evaluation.wording import CLOSE, ROUGH
from ..fitting.calibration import MAX_WIDENING, SMALL_DISTANCE, calibrate_from_runs
from ..fitting.consensus import diverges
from ..fitting.gauss_newton import Climb
from ..fitting.left_out import MAX_LENGTH, MIN_LENGTH, Runs, visited_points
from ..fitting.prepare import Prepared
from ..fitting.recordings import RecordingsOnGrid
from ..member import Member
from ..predicted_spread import distances
from ..surrogate import Surrogate
from .small_signal import small_signal
from .start import FleetStart

#: Points that describe the domain of a device of a fleet. A single fit keeps more; thousands of devices would fill gigabytes.
POINTS = 600

#: Runs on the validation segment and on the fitted part, from which the spread is calibrated.
UNSEEN_RUNS, FITTED_RUNS = 10, 6

#: Names of verdicts in the table.
VERDICTS = {GOOD: "good", CARE: "care", BAD: "bad"}


def finish_device(
    climb: Climb, on_grid: RecordingsOnGrid, start: FleetStart, stages: Sequence[dict[str, Any]], seed: int
) -> tuple[Surrogate, dict[str, Any]]:
    """Return the surrogate of one device and its line of the table.

    Args:
        climb: The fit, at the weights that validate best.
        on_grid: The recording.
        start: What the fleet began with.
        stages: History of the fit, in plain JSON.
        seed: Seed of the probe of divergence.
    """
    member, prepared = climb.member, climb.prepared
    fitted = _thinned(visited_points([member], prepared, prepared.samples.segments))
    unseen = visited_points([member], prepared, prepared.validation)
    surrogate = Surrogate(
        ports=prepared.ports,
        embedding=prepared.embedding,
        interval=prepared.interval,
        scales=prepared.scales,
        members=[member],
        domain=Domain.around(fitted, unseen, constants=len(prepared.ports.parameters)),
        noise=prepared.noise,
        record=_record(climb, on_grid, start, stages),
    )
    runs = [_runs(member, prepared, surrogate.domain.points, segments, count) for segments, count in _parts(prepared)]
    known = [each for each in runs if each is not None]
    if known:
        _widen(surrogate, known[-1])
        calibrate_from_runs(surrogate, known, on_grid)
    away = diverges(member, prepared, seed=seed)
    outside = float(np.mean(known[0].distance > float(surrogate.domain.radius))) if known else math.nan
    return surrogate, _row(surrogate, climb, prepared, away=away, outside=outside)


def _row(surrogate: Surrogate, climb: Climb, prepared: Prepared, *, away: bool, outside: float) -> dict[str, Any]:
    noise = float((prepared.noise / prepared.scales.output_scale).max())
    beyond = math.sqrt(max(climb.error**2 - noise**2, 0.0))
    grade, reason = grade_of(beyond, away)
    figures = small_signal(surrogate)
    row: dict[str, Any] = {
        "verdict": VERDICTS[grade],
        "reason": reason,
        "nrmse": climb.error,
        "beyond_noise": beyond,
        "outside": outside,
        "radius": float(surrogate.domain.radius),
        "samples": len(prepared.samples.states),
        "frequency [Hz]": figures.frequency,
        "damping [1/s]": figures.damping,
    }
    for i, name in enumerate(surrogate.ports.output):
        for j, drive in enumerate(surrogate.ports.drive):
            row[f"d {name} / d {drive}"] = float(figures.sensitivity[i, j])
    for i, name in enumerate(surrogate.ports.output):
        row[f"mean of {name}"] = float(prepared.scales.output_mean[i])
        row[f"deviation of {name}"] = float(prepared.scales.output_scale[i])
        row[f"noise of {name}"] = float(prepared.noise[i])
    return row


def grade_of(beyond: float, away: bool) -> tuple[int, str]:
    """Return the grade of a device and its reason, by the thresholds of the reports.

    Args:
        beyond: Validation NRMSE beyond the measurement noise.
        away: The fit runs away along drives like the recorded ones.

    Example:
        >>> grade_of(0.01, False) == (GOOD, "")
        True
    """
    if away:
        return BAD, "runs away along drives like the recorded one"
    if not beyond <= ROUGH:
        return BAD, f"validation NRMSE {beyond:.3f} beyond the noise"
    if beyond > CLOSE:
        return CARE, f"validation NRMSE {beyond:.3f} beyond the noise"
    return GOOD, ""


def _record(climb: Climb, on_grid: RecordingsOnGrid, start: FleetStart, stages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    trace = on_grid[0]
    bounds = {"start": float(trace.time[0]), "stop": float(trace.time[-1]), "samples": len(trace)}
    return {
        "config": start.config.to_dict(),
        "structure": start.structure,
        "history": [{**entry, "restart": 0, "stage": number} for number, entry in enumerate(stages)],
        "validation": [climb.error],
        "kept": [0],
        "disagreement": [0.0],
        "choice": "fitted beside the other devices of a fleet",
        "splits": 1,
        "sampling": list(on_grid.notes),
        "fingerprint": TraceSet(trace).fingerprint(),
        "data": [{**bounds, "provenance": dict(trace.provenance)}],
        "pilots": list(start.pilots),
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
    }


def _parts(prepared: Prepared) -> list[tuple[tuple[tuple[int, int], ...], int]]:
    return [(prepared.validation, UNSEEN_RUNS), (prepared.samples.segments, FITTED_RUNS)]


def _runs(member: Member, prepared: Prepared, points: Tensor, segments: Sequence[tuple[int, int]], count: int) -> Runs | None:
    """Return free runs from measured states spread over segments, side by side; None if the segments are too short.

    All have the length of the runs on the validation segment, by which the spread is known.
    """
    shortest = min(last - first for first, last in prepared.validation)
    length = min(MAX_LENGTH, max(MIN_LENGTH, shortest // 2), shortest)
    usable = [(first, last) for first, last in segments if last - first >= length]
    if length < 2 or not usable:
        return None
    each = max(1, count // len(usable))
    starts = np.unique(np.concatenate([np.linspace(a, b - length, each).astype(int) for a, b in usable]))
    samples, outputs = prepared.samples, len(prepared.ports.output)
    rows = torch.as_tensor(starts)[:, None] + torch.arange(length)
    through = samples.feedthrough_jacobian @ member.feedthrough.detach().reshape(-1)[: samples.feedthrough_jacobian.shape[-1]]
    with torch.no_grad():
        first = samples.states[rows[:, 0]] + through[rows[:, 0]]
        states = member.rollout(first, samples.stages[rows])[:, :-1]
    errors = states[..., :outputs] - through[rows][..., :outputs] - prepared.outputs[rows]
    at = torch.cat([states, prepared.drive[rows]], -1)
    error = (errors * prepared.scales.output_scale).numpy()
    distance = distances(at.flatten(0, 1), points).reshape(error.shape[:2])
    total = sum(last - first + 1 for first, last in usable)
    error = np.where(np.isfinite(error), error, 1e30)
    return Runs(error, np.zeros_like(error), distance, min(float(len(starts)), total / length))


def _widen(surrogate: Surrogate, fitted: Runs) -> None:
    """Widen the radius of the domain so that runs along the fitted part lie within it, as `widen_domain` does."""
    reached, radius = float(np.quantile(fitted.distance, 0.995)), float(surrogate.domain.radius)
    surrogate.domain.radius.fill_(max(radius, min(1.05 * reached, max(MAX_WIDENING * radius, SMALL_DISTANCE))))


def _thinned(points: Tensor) -> Tensor:
    """Return every n-th point, at most `POINTS` of them."""
    return points[:: math.ceil(len(points) / POINTS)]
