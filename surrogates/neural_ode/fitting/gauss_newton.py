"""The Gauss-Newton route: one restart through all stages of multiple shooting, each of which can be resumed."""

from __future__ import annotations

import torch
from torch import Tensor

from ....errors import ConfigError
from ....typing import Progress
from ..member import Member
from .checkpoint import Checkpoint
from .config import FitConfig
from .levenberg_marquardt import Damping, minimise
from .prepare import Prepared
from .samples import Samples
from .shooting import Iterate, ParameterVector, Shooting
from .stages import (
    FEEDTHROUGH_RIDGE,
    MIN_FREE_WINDOW,
    Candidate,
    FieldBuilder,
    compare_weights,
    free_run_error,
    new_member,
    stage_lengths,
)

#: Largest number of weights that Gauss-Newton takes: it stores several matrices of that size squared.
MAX_WEIGHTS = 6000


def fit_gauss_newton(
    prepared: Prepared,
    config: FitConfig,
    build: FieldBuilder,
    restart: int,
    checkpoint: Checkpoint,
    progress: Progress,
) -> Candidate:
    """Run one restart through all stages and keep the stage that validates best.

    Args:
        prepared: Embedded recordings.
        config: Settings.
        build: Builds the learned part of the vector field.
        restart: Number of this restart, counted from zero.
        checkpoint: Checkpoint of the whole fit.
        progress: Receives one line of text after each step.

    Returns:
        The member, its validation error and one history entry per stage.

    Raises:
        ConfigError: a field with too many weights, or one that `torch.func` cannot differentiate.
        FitError: the first free run is not finite.
    """
    member = new_member(prepared, build, config.seed * 1000 + restart)
    samples = prepared.samples
    feedthrough = member.feedthrough if samples.feedthrough_jacobian.shape[-1] else member.feedthrough[:, :0]
    layout = ParameterVector(member.field, feedthrough)
    if len(layout.start) > MAX_WEIGHTS:
        raise ConfigError(
            f"the vector field has {len(layout.start)} weights; Gauss-Newton builds a matrix of that size squared and takes "
            f"up to {MAX_WEIGHTS}. Use a smaller network, such as hidden=(16, 16), or method='adam'."
        )
    lowest_error, best_theta = float("inf"), layout.start
    theta, history = layout.start, []
    lengths = stage_lengths(config.windows, samples)
    for stage, length in enumerate(lengths):
        stored = checkpoint.load_stage(restart, stage)
        if stored is None:
            header = f"restart {restart + 1}/{config.restarts}  stage {stage + 1}/{len(lengths)} (window {length})"
            report = _with_header(progress, header)
            theta, figures = _run_stage(samples, layout, theta, length, config, (restart, stage), checkpoint, report)
            _write_weights(member, layout, theta)
            error = free_run_error(member, prepared, prepared.validation)
            entry = {"restart": restart, "stage": stage, "window": length, "validation": error, **figures}
            checkpoint.save_stage(restart, stage, theta, entry)
        else:
            theta, entry = stored
        history.append(entry)
        if entry["validation"] <= lowest_error:
            lowest_error, best_theta = entry["validation"], theta
    _write_weights(member, layout, best_theta)
    progress(f"restart {restart + 1}/{config.restarts}: validation NRMSE {lowest_error:.4f}")
    return Candidate(member, lowest_error, history)


def _with_header(progress: Progress, header: str) -> Progress:
    return lambda line: progress(f"{header}  {line}")


def _write_weights(member: Member, layout: ParameterVector, theta: Tensor) -> None:
    layout.write(theta)
    _, feedthrough = layout.split(theta)
    with torch.no_grad():
        if feedthrough.numel():
            member.feedthrough.copy_(feedthrough.reshape(member.feedthrough.shape))


def _run_stage(
    samples: Samples,
    layout: ParameterVector,
    theta: Tensor,
    length: int,
    config: FitConfig,
    place: tuple[int, int],
    checkpoint: Checkpoint,
    progress: Progress,
) -> tuple[Tensor, dict[str, float]]:
    """Run one stage, resumed where it was interrupted; return the weights and the figures of its history entry."""
    problem = stage_problem(samples, layout, theta, length, config, seed=place[0] * 100 + place[1])
    shifts, damping = problem.no_shifts(), Damping()
    first_cost = problem.evaluate(theta, shifts).cost
    interrupted = checkpoint.load_progress(*place)
    if interrupted is not None:
        theta, shifts, damping = interrupted

    def after(point: Iterate, damping: Damping) -> None:
        checkpoint.save_progress(*place, point.theta, point.shifts, damping)
        progress(f"step {damping.iteration}/{config.iterations}  residual {point.cost**0.5:.3e}")

    point = minimise(problem, theta, shifts, iterations=config.iterations, damping=damping, after=after)
    return point.theta, {"residual": point.cost**0.5, "steps": damping.iteration, "start": first_cost**0.5}


def stage_problem(
    samples: Samples, layout: ParameterVector, theta: Tensor, length: int, config: FitConfig, seed: int
) -> Shooting:
    """Set up the shooting problem of one stage.

    Early stages use a part of the data: they only have to find the basin of attraction of the later ones.

    Args:
        samples: Embedded recordings.
        layout: Layout of the trained numbers.
        theta: Weights and feedthrough at the start of the stage.
        length: Steps per window.
        config: Settings.
        seed: Seed of the choice of windows, together with that of `config`.
    """
    free = length >= MIN_FREE_WINDOW
    max_samples = config.max_samples if free else config.max_samples // (8 if length == 1 else 4)
    starts = samples.windows(length)
    max_windows = max(8, max_samples // length)
    if len(starts) > max_windows:
        generator = torch.Generator().manual_seed(config.seed * 7919 + seed)
        starts = starts[torch.randperm(len(starts), generator=generator)[:max_windows].sort().values]
    weights = compare_weights(samples, free)
    ridge = torch.full_like(layout.start, config.ridge)
    ridge[len(ridge) - samples.feedthrough_jacobian.shape[-1] :] *= FEEDTHROUGH_RIDGE
    measured_starts = Shooting(samples, layout, length, starts, weights, None, ridge)
    if not free:
        return measured_starts
    residual = measured_starts.evaluate(theta, measured_starts.no_shifts()).cost ** 0.5
    prior = samples.state_noise / max(min(residual, 0.1), 1e-6)
    return Shooting(samples, layout, length, starts, weights, prior, ridge)
