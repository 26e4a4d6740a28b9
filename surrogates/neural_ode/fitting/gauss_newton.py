"""The Gauss-Newton route: fits that climb through the stages of multiple shooting, each of which can be resumed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ....errors import ConfigError
from ....typing import Progress
from ..member import Member
from .checkpoint import Checkpoint
from .config import MAX_WEIGHTS, FitConfig
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
    network_of,
    new_member,
    stage_lengths,
)


class Climb:
    """One fit on its way through stages of growing windows; the stage that validates best is kept.

    Args:
        prepared: Embedded recordings.
        config: Settings; ridge, iterations and number of samples may be changed between stages.
        build: Builds the learned part of the vector field.
        number: Number of this fit, from which its seed follows and under which the checkpoint stores its stages.
        checkpoint: Checkpoint of the whole fit.
        start: Member of the same embedding whose linear part and feedthrough are the first iterate; random weights if None.

    Attributes:
        member: Vector field and feedthrough, at the weights of the best stage.
        error: NRMSE of its free runs over the validation segments; infinite before the first stage.
        history: One entry per stage, in plain JSON.
        earlier: Those of the fits that this one goes on from.

    Raises:
        ConfigError: a field with too many weights, or one that `torch.func` cannot differentiate.
    """

    def __init__(
        self,
        prepared: Prepared,
        config: FitConfig,
        build: FieldBuilder,
        number: int,
        checkpoint: Checkpoint,
        *,
        start: Member | None = None,
    ) -> None:
        self.prepared, self.config, self.number, self.checkpoint = prepared, config, number, checkpoint
        self.build = build
        self.member = new_member(prepared, build, config.seed * 1000 + number)
        if start is not None:
            start_linear(self.member, start)
        jacobian = prepared.samples.feedthrough_jacobian
        feedthrough = self.member.feedthrough if jacobian.shape[-1] else self.member.feedthrough[:, :0]
        self.layout = ParameterVector(self.member.field, feedthrough)
        if len(self.layout.start) > (most := MAX_WEIGHTS["gauss-newton"]):
            raise ConfigError(
                f"the vector field has {len(self.layout.start)} weights; Gauss-Newton builds a matrix of that size squared and "
                f"takes up to {most}. Use a smaller network, such as hidden=(16, 16), or method='adam'."
            )
        self.theta = self.best_theta = self.layout.start
        self.error = float("inf")
        self.history: list[dict[str, Any]] = []
        self.earlier: list[dict[str, Any]] = []

    def stage(self, window: int, progress: Progress) -> float:
        """Run one stage, or load it from the checkpoint, and return the lowest validation error so far.

        Raises:
            FitError: the first free run is not finite.
        """
        place = (self.number, len(self.history))
        stored = self.checkpoint.load_stage(*place)
        if stored is None:
            theta, figures = _run_stage(
                self.prepared.samples, self.layout, self.theta, window, self.config, place, self.checkpoint, progress
            )
            self.write(theta)
            error = free_run_error(self.member, self.prepared, self.prepared.validation)
            entry = {"restart": place[0], "stage": place[1], "window": window, "validation": error, **figures}
            self.checkpoint.save_stage(*place, theta, entry)
        else:
            theta, entry = stored
        self.theta = theta
        self.history.append(entry)
        if entry["validation"] <= self.error:
            self.error, self.best_theta = entry["validation"], theta
        self.write(self.best_theta)
        return self.error

    def continued(self, prepared: Prepared, number: int) -> Climb:
        """Return another fit that starts from the weights of the best stage.

        Args:
            prepared: Recordings in the same embedding and scales.
            number: Number of the other fit.
        """
        other = Climb(prepared, self.config, self.build, number, self.checkpoint)
        other.go_on_from(self)
        return other

    def go_on_from(self, other: Climb) -> None:
        """Start from the weights of the best stage of another fit."""
        self.theta = self.best_theta = other.best_theta
        self.earlier = [*other.earlier, *other.history]

    @property
    def candidate(self) -> Candidate:
        """The member with its validation error and history."""
        return Candidate([self.member], self.error, self.history, [self.prepared])

    def write(self, theta: Tensor) -> None:
        """Copy weights and feedthrough into the member."""
        self.layout.write(theta)
        _, feedthrough = self.layout.split(theta)
        with torch.no_grad():
            if feedthrough.numel():
                self.member.feedthrough.copy_(feedthrough.reshape(self.member.feedthrough.shape))


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
    climb = Climb(prepared, config, build, restart, checkpoint)
    lengths = stage_lengths(config.first_windows, prepared.samples)
    for stage, length in enumerate(lengths):
        header = f"restart {restart + 1}/{config.restarts}  stage {stage + 1}/{len(lengths)} (window {length})"
        climb.stage(length, _with_header(progress, header))
    progress(f"restart {restart + 1}/{config.restarts}: validation NRMSE {climb.error:.4f}")
    return climb.candidate


def start_linear(member: Member, linear: Member) -> None:
    """Start a network from a linear model: copy its linear path and feedthrough, and let the network add nothing at first."""
    target, source = network_of(member.field), network_of(linear.field)
    if target is None or source is None or target.skip is None or source.skip is None:
        return
    with torch.no_grad():
        target.skip.weight.copy_(source.skip.weight)
        target.skip.bias.copy_(source.skip.bias + source.out.bias)
        target.out.weight.zero_()
        target.out.bias.zero_()
        member.feedthrough.copy_(linear.feedthrough)


def _with_header(progress: Progress, header: str) -> Progress:
    return lambda line: progress(f"{header}  {line}")


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
        progress(f"step {damping.iteration}/{config.first_iterations}  residual {point.cost**0.5:.3e}")

    point = minimise(problem, theta, shifts, iterations=config.first_iterations, damping=damping, after=after)
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
    ridge = torch.full_like(layout.start, config.first_ridge)
    ridge[len(ridge) - samples.feedthrough_jacobian.shape[-1] :] *= FEEDTHROUGH_RIDGE
    measured_starts = Shooting(samples, layout, length, starts, weights, None, ridge)
    if not free:
        return measured_starts
    residual = measured_starts.evaluate(theta, measured_starts.no_shifts()).cost ** 0.5
    prior = samples.state_noise / max(min(residual, 0.1), 1e-6)
    return Shooting(samples, layout, length, starts, weights, prior, ridge)
