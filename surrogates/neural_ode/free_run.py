"""Free runs along recordings: from the first samples to the last, or a few steps from every sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...dynamics.integrate import STATE_LIMIT
from ...errors import TraceError
from ...traces.held_drives import infer_interpolation
from ...traces.sampling import check_samples, is_uniform, median_interval
from ...traces.trace import Trace, check_trace
from ...typing import Array
from .drive_interpolation import settled_drive
from .embedding import BLOCK_FLOOR
from .member import median_of_members
from .model import SurrogateModel
from .output_map import apply_limits, possible_signs, with_signs
from .ports import check_unit
from .predicted_spread import distances

#: Samples from which an initial state is estimated. The derivative at the edge of a recording is inaccurate; a run through a
#: few samples determines it better.
WARM_UP = 12


@dataclass(frozen=True, eq=False)
class FreeRun:
    """A free run along a recording.

    Attributes:
        time: Instants [s], shape (time,).
        output: Mean response in SI units, shape (time, outputs).
        members: Response of each member, shape (members, time, outputs).
        spread: Calibrated standard deviation of recorded samples around the response, shape (time, outputs).
        outside: True at steps outside the domain of validity, shape (time,).
        diverged_at: Time at which the state reached its numerical limit [s], or None.
        points: States (median over members) and drives in deviations, shape (time, state + drive).
    """

    time: Tensor
    output: Tensor
    members: Tensor
    spread: Tensor
    outside: Tensor
    diverged_at: float | None
    points: Tensor | None = None


class _Embedded(NamedTuple):
    """A recording as one member sees it, in deviations.

    Attributes:
        states: Measured states, shape (time - lookahead, state).
        stages: What the vector field sees of the drive in each step, shape (time - 1, 3, inputs).
        settled: Drives to which the samples have responded, shape (time, drives).
        outputs: Recorded outputs, shape (time, outputs).
    """

    states: Tensor
    stages: Tensor
    settled: Tensor
    outputs: Tensor


def run_along(surrogate: SurrogateModel, trace: Trace, *, from_rest: bool = False, solver: str = "rk4") -> FreeRun:
    """Run a surrogate freely along a recording, started from its first samples.

    Args:
        surrogate: The model.
        trace: Recording on the surrogate's sample interval (see `spinode.resample`), with its drives under the names in
            `surrogate.ports` (`spinode.surrogates.neural_ode.evaluation.matching.match_channels` renames).
        from_rest: Start from the resting state even if the trace contains outputs. Without outputs it always starts there.
        solver: As in `Surrogate.simulate`.

    Raises:
        TraceError: another sample interval, missing channels, NaN.
        DomainError: no resting state to start from.
    """
    check_trace(trace)
    _check_interval(surrogate, trace)
    drive, interpolation = _columns(surrogate, trace, "drive"), _interpolation(surrogate, trace)
    starts = None
    if not from_rest and all(name in trace.output for name in surrogate.ports.output):
        members = range(len(surrogate.members))
        starts = torch.stack([estimate_initial_state(surrogate, trace, member=index) for index in members])
    with torch.no_grad():
        outputs, states, outside = surrogate.run_members(
            drive, starts, trace.parameters, interpolation, solver, per_member=True
        )
    escaped = (states.abs() >= STATE_LIMIT).any(-1).any(0)
    # A start that is estimated from noisy samples may lie beyond the limit, from where the run comes back at once.
    diverged = bool(escaped[len(escaped) // 50 :].any())
    time = torch.as_tensor(np.array(trace.time))
    inputs = surrogate.assemble_inputs(drive, trace.parameters, interpolation)[0]
    points = torch.cat([median_of_members(states), surrogate.scales.drive(inputs)], -1)
    return FreeRun(
        time=time,
        output=median_of_members(outputs),
        members=outputs,
        spread=predicted_spread(surrogate, outputs, points, other_drive=has_other_drive(surrogate, trace)),
        outside=outside | escaped,
        diverged_at=float(time[int(escaped.nonzero()[0])]) if diverged else None,
        points=points,
    )


def predicted_spread(surrogate: SurrogateModel, outputs: Tensor, points: Tensor, *, other_drive: bool = False) -> Tensor:
    """Return the calibrated standard deviation of recorded samples around the mean response, shape (time, outputs).

        sqrt(floor^2 + (factor * deviation of the members)^2 + growth^2)

    floor is the measurement noise, growth that part of the error that depends on the time since the start and on the distance
    from the fitted data (`SpreadModel`).

    Args:
        surrogate: The model.
        outputs: Responses of the members, SI units, shape (members, time, outputs).
        points: States and drives of the run, in deviations, shape (time, state + drive).
        other_drive: The drive runs otherwise between samples than in the fit.
    """
    members = outputs.std(0) * surrogate.spread_factor if len(outputs) > 1 else torch.zeros_like(outputs[0])
    usual = float(surrogate.spread.distance)
    distance = distances(points, surrogate.domain.points) if usual > 0 else np.zeros(len(points))
    growth = surrogate.spread(distance, float(surrogate.domain.radius), other_drive=other_drive)
    spread: Tensor = (members.square() + surrogate.spread_floor.square() + growth.square()).sqrt()
    return spread


def estimate_initial_state(surrogate: SurrogateModel, trace: Trace, *, member: int = 0) -> Tensor:
    """Estimate the initial state from the first `WARM_UP` samples of a recording.

    Gauss-Newton on the run through them, with the embedded first sample and its uncertainty as the prior. For embedded
    derivatives, which at the edge of a recording are one-sided, that uncertainty is large.

    Args:
        surrogate: The model.
        trace: Recording with outputs, on the surrogate's grid and under its names.
        member: Number of the member of an ensemble.

    Returns:
        State in deviations, shape (state,).
    """
    # The state must not depend on samples later than the embedding of the first ones needs.
    needed = samples_of_start(surrogate, trace, member=member)
    beginning = trace if len(trace) <= needed else trace.between(None, float(trace.time[needed - 1]))
    starts = [
        _fit_initial_state(surrogate, _embed(surrogate, beginning, member, signs), member)
        for signs in possible_signs(surrogate.ports)
    ]
    return min(starts, key=lambda start: start[1])[0]


def samples_of_start(surrogate: SurrogateModel, trace: Trace, *, member: int = 0) -> int:
    """Return how many samples from the beginning of a recording on its initial state is estimated from, at most.

    Args:
        surrogate: The model.
        trace: Recording on the surrogate's grid and under its names.
        member: Number of the member of an ensemble.
    """
    drive, kinds = _columns(surrogate, trace, "drive"), _interpolation(surrogate, trace)
    inputs, interpolation = surrogate.assemble_inputs(drive, trace.parameters, kinds)
    settled = settled_drive(surrogate.scales.drive(inputs), interpolation)[..., : len(surrogate.ports.drive)]
    return surrogate.members[member].samples_of_start(settled)


def _fit_initial_state(surrogate: SurrogateModel, embedded: _Embedded, member: int) -> tuple[Tensor, float]:
    """Return the state from which the run fits the first samples best, and the sum of its squared residuals."""
    measured, count = embedded.states[0], len(surrogate.ports.output)
    steps = min(WARM_UP, len(embedded.states) - 1)
    settled, model = embedded.settled[: steps + 1], surrogate.members[member]
    if surrogate.embedding.recursive:
        # The member has fitted its first state to the samples already, with all that it knows about them.
        run = model.read(model.rollout(measured, embedded.stages[:steps]), settled)
        return measured, float((_within_limits(surrogate, run) - embedded.outputs[: steps + 1]).detach().square().sum())
    noise = (surrogate.noise / surrogate.scales.output_scale).square() + BLOCK_FLOOR**2
    prior = torch.full_like(measured, 0.5)
    prior[:count] = noise.sqrt()

    def residuals(state: Tensor) -> Tensor:
        outputs = _within_limits(surrogate, model.read(model.rollout(state, embedded.stages[:steps]), settled))
        return torch.cat([((outputs - embedded.outputs[: steps + 1]) / noise.sqrt()).flatten(), (state - measured) / prior])

    state = measured
    for _ in range(4):
        error = residuals(state).detach()
        jacobian = torch.func.jacrev(residuals)(state).detach()
        trial = state + torch.linalg.lstsq(jacobian, -error[:, None]).solution[:, 0]
        if not bool(residuals(trial).detach().square().sum() < error.square().sum()):
            break
        state = trial.detach()
    return state, float(residuals(state).detach().square().sum())


def short_run_errors(surrogate: SurrogateModel, trace: Trace, steps: int) -> Array:
    """Compute the errors of free runs of a few samples from every measured state (median over members), in deviations.

    Args:
        surrogate: The model.
        trace: As in `run_along`, with outputs.
        steps: Length of the runs, in samples.

    Returns:
        Shape (time - lookahead - steps, outputs); row t is the error at sample t + steps.
    """
    _check_interval(surrogate, trace)
    # Where the sign of a rectified output is not known, the run that fits it better counts.
    runs = torch.stack([_errors_of_short_runs(surrogate, trace, steps, signs) for signs in possible_signs(surrogate.ports)])
    errors: Array = runs.gather(0, runs.abs().argmin(0, keepdim=True))[0].numpy()
    return errors


def _errors_of_short_runs(surrogate: SurrogateModel, trace: Trace, steps: int, signs: Mapping[str, float]) -> Tensor:
    errors = []
    for index, member in enumerate(surrogate.members):
        states, stages, settled, outputs = _embed(surrogate, trace, index, signs)
        count = min(len(states), len(stages)) - steps + 1
        windows = torch.arange(count)[:, None] + torch.arange(steps)
        with torch.no_grad():
            ends = member.rollout(states[:count], stages[windows])[:, -1]
            predicted = member.read(ends, settled[steps : steps + count])
        errors.append(_within_limits(surrogate, predicted) - outputs[steps : steps + count])
    return median_of_members(torch.stack(errors))


def _within_limits(surrogate: SurrogateModel, outputs: Tensor) -> Tensor:
    """Return outputs clipped as the instrument does, both in deviations; signs are kept."""
    if not surrogate.ports.output_map:
        return outputs
    return surrogate.scales.output(apply_limits(surrogate.ports, surrogate.scales.output_si(outputs)))


def _embed(surrogate: SurrogateModel, trace: Trace, member: int, signs: Mapping[str, float]) -> _Embedded:
    drive, recorded = _columns(surrogate, trace, "drive"), _columns(surrogate, trace, "output")
    output = with_signs(surrogate.ports, recorded, signs)
    by_name = _interpolation(surrogate, trace)
    inputs, interpolation = surrogate.assemble_inputs(drive, trace.parameters, by_name)
    u = surrogate.scales.drive(inputs)
    states = surrogate.state_from(output, drive, parameters=trace.parameters, interpolation=by_name, member=member)
    return _Embedded(
        states=states.detach(),
        stages=surrogate.drive_stages(u, interpolation),
        settled=settled_drive(u, interpolation)[..., : len(surrogate.ports.drive)],
        outputs=surrogate.scales.output(output),
    )


def _check_interval(surrogate: SurrogateModel, trace: Trace) -> None:
    check_samples(trace)
    if not is_uniform(trace, surrogate.interval, 0.05):
        raise TraceError(
            f"the trace is sampled every {median_interval(trace):.6g} s, the surrogate steps every {surrogate.interval:.6g} s; "
            f"resample it first: spinode.resample(trace, {surrogate.interval:.6g})."
        )


def _columns(surrogate: SurrogateModel, trace: Trace, role: str) -> Tensor:
    """Return the channels that the surrogate's ports name, shape (time, names)."""
    channels = getattr(trace, role)
    names = getattr(surrogate.ports, role)
    missing = [name for name in names if name not in channels]
    if missing:
        raise TraceError(
            f"the trace has no {role} {missing[0]!r}; its {role} channels are: {', '.join(channels) or 'none'}. "
            "Name the channel that takes its place."
        )
    for name in names:
        check_unit(name, trace.units.get(name), name, surrogate.ports.units.get(name))
    columns = [np.array(channels[name]) for name in names]
    return torch.as_tensor(np.stack(columns, -1) if columns else np.zeros((len(trace), 0)))


def has_other_drive(surrogate: SurrogateModel, trace: Trace) -> bool:
    """Return True if a drive of a recording runs otherwise between its samples (held, smooth) than in the fit."""
    here = _interpolation(surrogate, trace)
    return any(here.get(name, kind) != kind for name, kind in surrogate.ports.interpolation.items())


def _interpolation(surrogate: SurrogateModel, trace: Trace) -> dict[str, str]:
    """Return the interpolation of each drive of a recording, inferred from its samples where the trace does not state it."""
    return {
        name: trace.interpolation.get(name) or infer_interpolation(trace.drive[name])
        for name in surrogate.ports.drive
        if name in trace.drive
    }
