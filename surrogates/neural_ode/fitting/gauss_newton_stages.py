"""One restart by Gauss-Newton: through all stages of multiple shooting, each resumable."""

from __future__ import annotations

import torch
from torch import Tensor

from ....errors import ConfigError
from ..member import Member
from .checkpoint import Checkpoint
from .config import FitConfig
from .gauss_newton import Damping, Iterate, ParameterVector, Samples, Shooting, minimise
from .prepare import Prepared
from .stages import (
    FEEDTHROUGH_RIDGE,
    FREE_FROM,
    Builder,
    Candidate,
    Progress,
    compare_weights,
    free_run_error,
    new_member,
    stage_lengths,
)

#: Most weights that Gauss-Newton takes: their matrix is in memory several times.
MOST_WEIGHTS = 6000


def fit_gauss_newton(
    prepared: Prepared,
    config: FitConfig,
    build: Builder,
    restart: int,
    note: Checkpoint,
    say: Progress,
) -> Candidate:
    """One restart: Gauss-Newton through all stages; the stage that validates best is kept."""
    member = new_member(prepared, build, config.seed * 1000 + restart)
    samples = prepared.samples
    through = member.feedthrough if samples.feedthrough_jacobian.shape[-1] else member.feedthrough[:, :0]
    layout = ParameterVector(member.field, through)
    if len(layout.start) > MOST_WEIGHTS:
        raise ConfigError(
            f"the vector field has {len(layout.start)} weights; Gauss-Newton builds a matrix of that size squared and takes "
            f"up to {MOST_WEIGHTS}. Use a smaller network, such as hidden=(16, 16), or method='adam'."
        )
    best: tuple[float, Tensor] = (float("inf"), layout.start)
    theta, history = layout.start, []
    lengths = stage_lengths(config.windows, samples)
    for stage, length in enumerate(lengths):
        done = note.finished(restart, stage)
        if done is None:
            theta = _run_stage(samples, layout, theta, length, config, (restart, stage), note, say, len(lengths))
            _put(member, layout, theta)
            score = free_run_error(member, prepared, prepared.validation)
            entry = {"restart": restart, "stage": stage, "window": length, "validation": score, **note.last_entry}
            note.finish(restart, stage, theta, entry)
        else:
            theta, entry = done
        history.append(entry)
        if entry["validation"] <= best[0]:
            best = (entry["validation"], theta)
    _put(member, layout, best[1])
    say(f"restart {restart + 1}/{config.restarts}: validation NRMSE {best[0]:.4f}")
    return Candidate(member, best[0], history)


def _put(member: Member, layout: ParameterVector, theta: Tensor) -> None:
    layout.write(theta)
    _, through = layout.split(theta)
    with torch.no_grad():
        if through.numel():
            member.feedthrough.copy_(through.reshape(member.feedthrough.shape))


def _run_stage(
    samples: Samples,
    layout: ParameterVector,
    theta: Tensor,
    length: int,
    config: FitConfig,
    where: tuple[int, int],
    note: Checkpoint,
    say: Progress,
    stages: int,
) -> Tensor:
    problem = stage_problem(samples, layout, theta, length, config, seed=where[0] * 100 + where[1])
    shifts, damping = problem.no_shifts(), Damping()
    start = problem.evaluate(theta, shifts).cost
    resumed = note.unfinished(*where)
    if resumed is not None:
        theta, shifts, damping = resumed

    def after(point: Iterate, damping: Damping) -> None:
        note.progress(*where, point.theta, point.shifts, damping)
        say(
            f"restart {where[0] + 1}/{config.restarts}  stage {where[1] + 1}/{stages} (window {length})  "
            f"step {damping.iteration}/{config.iterations}  residual {point.cost**0.5:.3e}"
        )

    point = minimise(problem, theta, shifts, iterations=config.iterations, damping=damping, after=after)
    note.last_entry = {"residual": point.cost**0.5, "steps": damping.iteration, "start": start**0.5}
    return point.theta


def stage_problem(
    samples: Samples, layout: ParameterVector, theta: Tensor, length: int, config: FitConfig, seed: int
) -> Shooting:
    """The shooting problem of one stage.

    Early stages look at a part of the data: they only have to find the basin of the later ones.
    """
    free = length >= FREE_FROM
    budget = config.max_samples if free else config.max_samples // (8 if length == 1 else 4)
    starts = samples.windows(length)
    most = max(8, budget // length)
    if len(starts) > most:
        generator = torch.Generator().manual_seed(config.seed * 7919 + seed)
        starts = starts[torch.randperm(len(starts), generator=generator)[:most].sort().values]
    weights = compare_weights(samples, free)
    ridge = torch.full_like(layout.start, config.ridge)
    ridge[len(ridge) - samples.feedthrough_jacobian.shape[-1] :] *= FEEDTHROUGH_RIDGE
    if not free:
        return Shooting(samples, layout, length, starts, weights, None, ridge)
    fixed = Shooting(samples, layout, length, starts, weights, None, ridge)
    residual = fixed.evaluate(theta, fixed.no_shifts()).cost ** 0.5
    prior = samples.state_noise / max(min(residual, 0.1), 1e-6)
    return Shooting(samples, layout, length, starts, weights, prior, ridge)
