"""Free runs of latent modes along recordings as a least-squares problem, and its Levenberg-Marquardt minimisation."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from .layout import LatentLayout
from .rollout import Slopes, native_rollout, run_with_slopes

#: Samples of which the Jacobian is stored at once.
_CHUNK = 1024

#: Magnitude of a state value, in deviations of the linear model, at which a run counts as diverged.
LIMIT = 1e3

#: Damping beyond which no step is tried, the first and the least one.
_MAX_DAMPING, _FIRST_DAMPING, _MIN_DAMPING = 1e8, 1e-2, 1e-7


@dataclass(frozen=True)
class Run:
    """One recording, or its beginning, in deviations.

    Attributes:
        stages: Inputs at the start and at the end of the step that begins at each sample, shape (samples, 2, inputs); for steps
            of fourth order also in the middle, shape (samples, 3, inputs).
        settled: Drives to which each sample has responded, shape (samples, drives).
        outputs: Recorded outputs, shape (samples, outputs).
        weights: Weight of each residual, zero where nothing was recorded, shape (samples, outputs).
    """

    stages: Tensor
    settled: Tensor
    outputs: Tensor
    weights: Tensor

    def until(self, stop: int) -> Run:
        """Return the beginning of the run."""
        return Run(self.stages[:stop], self.settled[:stop], self.outputs[:stop], self.weights[:stop])


@dataclass(frozen=True)
class Unknowns:
    """All unknowns of a fit.

    Attributes:
        theta: Weights, shape (weights,).
        starts: Initial state of each recording, shape (recordings, state).
    """

    theta: Tensor
    starts: Tensor

    def rescaled(self, layout: LatentLayout, scale: Tensor) -> Unknowns:
        """Return the same model with each mode in units of `scale`, shape (modes,)."""
        both = scale.repeat(2)
        rows, columns = torch.triu_indices(layout.state, layout.state)
        arrays = layout.split(self.theta)
        factors = {"coupling": both[rows] * both[columns]} | dict.fromkeys(("force", "inner", "read_matrix", "look"), both)
        scaled = {name: value * factors.get(name, 1.0) for name, value in arrays.items()}
        scaled["log_scale"] = arrays["log_scale"] - 2 * scale.log()
        return Unknowns(layout.join(scaled), self.starts / both)

    def moved(self, step: Tensor) -> Unknowns:
        """Return the unknowns after a step, shape (weights + recordings * state,)."""
        count = len(self.theta)
        return Unknowns(self.theta + step[:count], self.starts + step[count:].reshape(self.starts.shape))

    def joined(self) -> Tensor:
        """Return all unknowns as one vector."""
        return torch.cat([self.theta, self.starts.reshape(-1)])


class FreeRunProblem(ABC):
    """The mean squared weighted residual of free runs, plus a penalty on weights and initial states.

    Attributes:
        runs: Recordings.
        penalty: Penalty on each squared unknown, shape (weights + recordings * state,).
        centre: Values at which the penalty is zero; zeros if None.
        limit: Magnitude of a state value at which a run counts as diverged.
    """

    runs: Sequence[Run]
    penalty: Tensor
    centre: Tensor | None
    limit: ClassVar[float] = LIMIT

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, int]:
        """Number of weights and of state values."""

    @abstractmethod
    def rollouts(self, unknowns: Unknowns) -> list[tuple[Tensor, Tensor]]:
        """Return states and outputs of the free runs, of shape (samples, state) and (samples, outputs)."""

    @abstractmethod
    def run_equations(self, theta: Tensor, start: Tensor, run: Run) -> tuple[Tensor, Tensor] | None:
        """Return J'J and J'r of one run in its weights and initial state; None if it left its limit."""

    def cost(self, unknowns: Unknowns) -> float:
        """Compute the cost; infinite where a run reaches the limit of a state."""
        total, count = 0.0, 0.0
        for run, (states, outputs) in zip(self.runs, self.rollouts(unknowns), strict=True):
            if not bool(states.abs().max() < self.limit):
                return math.inf
            total += float(((outputs - run.outputs) * run.weights).square().sum())
            count += float((run.weights > 0).sum())
        cost = total / max(count, 1.0) + float((self.penalty * self._deviation(unknowns).square()).sum())
        return cost if math.isfinite(cost) else math.inf

    def equations(self, unknowns: Unknowns) -> tuple[Tensor, Tensor] | None:
        """Return the Gauss-Newton matrix and gradient of half the cost; None if a run left its limit."""
        weights, state = self.sizes
        theta = unknowns.theta
        size = weights + unknowns.starts.numel()
        matrix, gradient = theta.new_zeros(size, size), theta.new_zeros(size)
        count = sum(float((run.weights > 0).sum()) for run in self.runs)
        for index, (run, start) in enumerate(zip(self.runs, unknowns.starts, strict=True)):
            at = weights + index * state
            places = torch.cat([torch.arange(weights), torch.arange(at, at + state)])
            found = self.run_equations(theta, start, run)
            if found is None:
                return None
            matrix[places[:, None], places] += found[0] / count
            gradient[places] += found[1] / count
        matrix.diagonal().add_(self.penalty)
        return matrix, gradient + self.penalty * self._deviation(unknowns)

    def _deviation(self, unknowns: Unknowns) -> Tensor:
        values = unknowns.joined()
        return values if self.centre is None else values - self.centre


@dataclass(frozen=True)
class Problem(FreeRunProblem):
    """Free runs of latent modes as a least-squares problem.

    Attributes:
        layout: Sizes.
        runs: Recordings.
        substeps: Steps of the integrator per sample.
        penalty: Penalty on each squared unknown, shape (weights + recordings * state,).
        centre: Values at which the penalty is zero; zeros if None.
    """

    layout: LatentLayout
    runs: Sequence[Run]
    substeps: int
    penalty: Tensor
    centre: Tensor | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of weights and of state values."""
        return self.layout.weights, self.layout.state

    def rollouts(self, unknowns: Unknowns) -> list[tuple[Tensor, Tensor]]:
        """Return states and outputs of the free runs, of shape (samples, state) and (samples, outputs)."""
        results = []
        for run, start in zip(self.runs, unknowns.starts, strict=True):
            states, outputs = native_rollout(
                self.layout,
                unknowns.theta,
                start[None],
                run.stages[None, :-1],
                run.settled[None],
                substeps=self.substeps,
                limit=LIMIT,
            )
            results.append((states[0], outputs[0]))
        return results

    def run_equations(self, theta: Tensor, start: Tensor, run: Run) -> tuple[Tensor, Tensor] | None:
        """Return J'J and J'r of one run in its weights and initial state; None if it left its limit."""
        slopes = Slopes.start(self.layout, start)
        columns = self.layout.weights + self.layout.state
        matrix, gradient = theta.new_zeros(columns, columns), theta.new_zeros(columns)
        for first in range(0, len(run.stages), _CHUNK):
            part = slice(first, first + _CHUNK)
            found = run_with_slopes(
                self.layout, theta, slopes, run.stages[part], run.settled[part], substeps=self.substeps, limit=LIMIT
            )
            if found is None or not bool(torch.isfinite(found[0]).all()):
                return None
            weights = run.weights[part]
            rows = (found[1] * weights.unsqueeze(-1)).reshape(-1, columns)
            matrix.addmm_(rows.T, rows)
            gradient.addmv_(rows.T, ((found[0] - run.outputs[part]) * weights).reshape(-1))
        return matrix, gradient

    def restricted(self, stops: Sequence[int]) -> Problem:
        """Return the same problem for the beginnings of the runs; those with a stop of 0 have no weight."""
        runs = [
            run.until(stop) if stop > 1 else replace(run.until(2), weights=torch.zeros_like(run.weights[:2]))
            for run, stop in zip(self.runs, stops, strict=True)
        ]
        return replace(self, runs=runs)


@dataclass
class Minimum:
    """State of a minimisation.

    Attributes:
        unknowns: The best so far.
        cost: Their cost.
        damping: Marquardt's damping, relative to the diagonal of the matrix.
        accepted: Number of accepted steps.
        history: Cost after each accepted step.
    """

    unknowns: Unknowns
    cost: float
    damping: float = _FIRST_DAMPING
    accepted: int = 0
    history: list[float] = field(default_factory=list)


def minimise(
    problem: FreeRunProblem,
    unknowns: Unknowns,
    active: Tensor,
    *,
    iterations: int,
    tolerance: float = 3e-3,
    damping: float | None = None,
) -> Minimum:
    """Minimise the cost by Levenberg-Marquardt steps in some of the unknowns.

    Args:
        problem: The problem.
        unknowns: First values.
        active: True for the unknowns that may move, shape (weights + recordings * state,).
        iterations: Largest number of accepted steps.
        tolerance: Relative gain below which, three times in a row, the minimisation ends.
        damping: First damping.

    Source: Levenberg, Q. Appl. Math. 2, 164 (1944); Marquardt, J. SIAM 11, 431 (1963).
    """
    result = Minimum(unknowns, problem.cost(unknowns), damping or _FIRST_DAMPING)
    idle = 0
    while result.accepted < iterations and idle < 3:
        found = problem.equations(result.unknowns)
        if found is None:
            break
        before = result.cost
        if not _step(problem, result, active, *found):
            break
        result.accepted += 1
        result.history.append(result.cost)
        idle = idle + 1 if before - result.cost < tolerance * before else 0
    return result


def _step(problem: FreeRunProblem, result: Minimum, active: Tensor, matrix: Tensor, gradient: Tensor) -> bool:
    """Try steps of growing damping until one lowers the cost."""
    matrix, pull = matrix[active][:, active], gradient[active]
    diagonal = matrix.diagonal().clone()
    # Unknowns without effect would make the matrix singular.
    diagonal = torch.maximum(diagonal, 1e-9 * diagonal.max())
    while result.damping < _MAX_DAMPING:
        damped = matrix + torch.diag(result.damping * diagonal)
        factor, failed = torch.linalg.cholesky_ex(damped)
        if int(failed) == 0:
            step = gradient.new_zeros(len(gradient))
            step[active] = torch.cholesky_solve(-pull[:, None], factor)[:, 0]
            trial = result.unknowns.moved(step)
            cost = problem.cost(trial)
            if cost < result.cost:
                result.unknowns, result.cost = trial, cost
                result.damping = max(_MIN_DAMPING, result.damping / 5)
                return True
        result.damping *= 4
    return False
