"""Runs along recordings: from the first samples to the last, or a few steps from every sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...dynamics.integrate import STATE_LIMIT
from ...dynamics.rollout import rollout
from ...errors import TraceError
from ...traces.held_drives import infer_interpolation
from ...traces.sampling import check_samples, is_uniform, median_interval
from ...traces.trace import Trace
from .drive_interpolation import settled_drive
from .embedding import BLOCK_FLOOR
from .model import SurrogateModel

#: Samples from which an initial state is estimated. The derivative at the edge of a recording is poor; a run through a few
#: samples tells it better.
WARM_UP = 12

#: Samples that the smoothing of a noisy beginning may look at.
BEGINNING = 200


@dataclass(frozen=True, eq=False)
class FreeRun:
    """A free run along a recording.

    Attributes:
        time: Instants [s], shape (time,).
        output: Mean response in SI units, shape (time, outputs).
        members: Response of each member, shape (members, time, outputs).
        spread: Calibrated standard deviation of the response, shape (time, outputs).
        outside: Steps outside the domain of validity, shape (time,), bool.
        diverged_at: Time at which the state left any reasonable bound [s], or None.
    """

    time: Tensor
    output: Tensor
    members: Tensor
    spread: Tensor
    outside: Tensor
    diverged_at: float | None


def run_along(surrogate: SurrogateModel, trace: Trace, *, from_rest: bool = False, solver: str = "rk4") -> FreeRun:
    """Free run along a recording, started from its first samples.

    Args:
        surrogate: The model.
        trace: Recording on the surrogate's sample interval (`spinode.traces.resample.resample` makes one), with its drives under
            the names in `surrogate.ports`; `spinode.surrogates.neural_ode.evaluation.matching.match_channels` renames.
        from_rest: Start from the resting state although the trace holds outputs. Without outputs it starts there anyway.
        solver: As in `Surrogate.simulate`.

    Raises:
        TraceError: another sample interval, missing channels, NaN.
        DomainError: no resting state to start from.
    """
    _check_interval(surrogate, trace)
    drive, kinds = _columns(surrogate, trace, "drive"), _kinds_of(surrogate, trace)
    starts = None
    if not from_rest and all(name in trace.output for name in surrogate.ports.output):
        starts = torch.stack([initial_state(surrogate, trace, member=index) for index in range(len(surrogate.members))])
    with torch.no_grad():
        outputs, states, outside = surrogate.run_members(drive, starts, trace.parameters, kinds, solver, per_member=True)
    escaped = (states.abs() >= STATE_LIMIT).any(-1).any(0)
    time = torch.as_tensor(np.array(trace.time))
    spread = outputs.std(0) * surrogate.spread_factor if len(outputs) > 1 else torch.zeros_like(outputs[0])
    return FreeRun(
        time=time,
        output=outputs.mean(0),
        members=outputs,
        spread=(spread.square() + surrogate.spread_floor.square()).sqrt(),
        outside=outside | escaped,
        diverged_at=float(time[int(escaped.nonzero()[0])]) if bool(escaped.any()) else None,
    )


def initial_state(surrogate: SurrogateModel, trace: Trace, *, member: int = 0) -> Tensor:
    """Initial state from the first `WARM_UP` samples of a recording.

    Gauss-Newton on the run through them, with the embedded first sample and its uncertainty as the prior; for the embedded
    derivatives, which at the edge of a recording rest on one side only, that uncertainty is large.

    Args:
        surrogate: The model.
        trace: Recording with outputs, on its grid and under its names.
        member: Which member of an ensemble.

    Returns:
        State in deviations, shape (state,).
    """
    # Nothing later than what an embedding of the first samples needs may tell on the start of a run.
    beginning = trace if len(trace) <= BEGINNING else trace.between(None, float(trace.time[BEGINNING - 1]))
    states, stages, settled, target = _teacher(surrogate, beginning, member)
    measured, count = states[0], len(surrogate.ports.output)
    steps = min(WARM_UP, len(states) - 1)
    through = settled[: steps + 1] @ surrogate.members[member].feedthrough.detach().T
    field = surrogate.members[member].field
    noise = (surrogate.noise / surrogate.scales.output_scale).square() + BLOCK_FLOOR**2
    prior = torch.full_like(measured, 0.5)
    prior[:count] = noise.sqrt()

    def misfit(state: Tensor) -> Tensor:
        read = rollout(field, state, stages[:steps])[:, :count] + through
        return torch.cat([((read - target[: steps + 1]) / noise.sqrt()).flatten(), (state - measured) / prior])

    best = measured
    for _ in range(4):
        error = misfit(best).detach()
        slope = torch.func.jacrev(misfit)(best).detach()
        trial = best + torch.linalg.lstsq(slope, -error[:, None]).solution[:, 0]
        if not bool(misfit(trial).detach().square().sum() < error.square().sum()):
            break
        best = trial.detach()
    return best


def short_run_errors(surrogate: SurrogateModel, trace: Trace, steps: int) -> np.ndarray:
    """Errors of free runs of a few samples from every measured state (mean over members), in deviations.

    Args:
        surrogate: The model.
        trace: As in `run_along`, with outputs.
        steps: Length of the runs, in samples.

    Returns:
        Shape (time - lookahead - steps, outputs); row t is the error at sample t + steps.
    """
    _check_interval(surrogate, trace)
    errors = []
    for index, member in enumerate(surrogate.members):
        states, stages, settled, target = _teacher(surrogate, trace, index)
        count = min(len(states), len(stages)) - steps + 1
        windows = torch.arange(count)[:, None] + torch.arange(steps)
        with torch.no_grad():
            ends = rollout(member.field, states[:count], stages[windows])[:, -1]
            read = ends[:, : len(surrogate.ports.output)] + settled[steps : steps + count] @ member.feedthrough.T
        errors.append(read - target[steps : steps + count])
    return torch.stack(errors).mean(0).numpy()


def _teacher(surrogate: SurrogateModel, trace: Trace, member: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Measured states, stages of the drive, drives that the samples answered to, and outputs, in deviations."""
    drive, output = _columns(surrogate, trace, "drive"), _columns(surrogate, trace, "output")
    kinds = _kinds_of(surrogate, trace)
    inputs, order = surrogate.assemble_inputs(drive, trace.parameters, kinds)
    u = surrogate.scales.drive(inputs)
    states = surrogate.state_from(output, drive, parameters=trace.parameters, interpolation=kinds, member=member)
    settled = settled_drive(u, order)[..., : len(surrogate.ports.drive)]
    return states.detach(), surrogate.drive_stages(u, order), settled, surrogate.scales.output(output)


def _check_interval(surrogate: SurrogateModel, trace: Trace) -> None:
    check_samples(trace)
    if not is_uniform(trace, surrogate.interval, 0.05):
        raise TraceError(
            f"the trace is sampled every {median_interval(trace):.6g} s, the surrogate steps every {surrogate.interval:.6g} s; "
            f"resample it first: spinode.resample(trace, {surrogate.interval:.6g})."
        )


def _columns(surrogate: SurrogateModel, trace: Trace, role: str) -> Tensor:
    channels = getattr(trace, role)
    names = getattr(surrogate.ports, role)
    missing = [name for name in names if name not in channels]
    if missing:
        raise TraceError(
            f"the trace has no {role} {missing[0]!r}; its {role} channels are: {', '.join(channels) or 'none'}. "
            f"Name the channel that takes its place."
        )
    columns = [np.array(channels[name]) for name in names]
    return torch.as_tensor(np.stack(columns, -1) if columns else np.zeros((len(trace), 0)))


def _kinds_of(surrogate: SurrogateModel, trace: Trace) -> dict[str, str]:
    """How each drive of a recording runs between its samples."""
    return {
        name: trace.interpolation.get(name) or infer_interpolation(trace.drive[name])
        for name in surrogate.ports.drive
        if name in trace.drive
    }
