"""Levenberg-Marquardt: damped Gauss-Newton steps on a shooting problem.

Source: Levenberg, Q. Appl. Math. 2, 164 (1944); Marquardt, J. SIAM 11, 431 (1963).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ....errors import FitError
from ....kernels import native
from .shooting import EliminatedStates, Iterate, Shooting

#: Number of unknowns up to which the algebra between two kernels is too small for several threads.
MAX_SINGLE_THREAD = 1500

#: Damping at which the search for a lower cost ends, and the smallest one of an accepted step.
MAX_DAMPING, MIN_DAMPING = 1e6, 1e-9


@dataclass
class Damping:
    """Marquardt's damping and the counts of steps: with an `Iterate`, all that a resumed minimisation needs.

    Attributes:
        value: Damping, relative to the diagonal of the matrix.
        idle: Steps in a row that gained next to nothing.
        iteration: Accepted steps.
    """

    value: float = 1e-3
    idle: int = 0
    iteration: int = 0


def minimise(
    problem: Shooting,
    theta: Tensor,
    shifts: Tensor,
    *,
    iterations: int,
    damping: Damping | None = None,
    tolerance: float = 1e-3,
    patience: int = 3,
    after: Callable[[Iterate, Damping], None] | None = None,
) -> Iterate:
    """Minimise the cost of a shooting problem by Levenberg-Marquardt steps.

    Args:
        problem: Residuals and normal equations.
        theta: First weights and feedthrough.
        shifts: First corrections of the initial states.
        iterations: Largest number of accepted steps, counted from `damping.iteration`.
        damping: That of an interrupted minimisation, to resume it.
        tolerance: Relative gain below which a step counts as idle.
        patience: Idle steps in a row that end the minimisation.
        after: Called after each accepted step; may save a checkpoint.

    Returns:
        The last accepted iterate; its cost never exceeds that of the first.

    Raises:
        FitError: the first iterate has no finite cost.
    """
    with native.reserve_threads(problem.layout is not None and len(theta) <= MAX_SINGLE_THREAD):
        return _minimise(problem, theta, shifts, iterations, damping or Damping(), tolerance, patience, after)


def _minimise(
    problem: Shooting,
    theta: Tensor,
    shifts: Tensor,
    iterations: int,
    damping: Damping,
    tolerance: float,
    patience: int,
    after: Callable[[Iterate, Damping], None] | None,
) -> Iterate:
    point = problem.evaluate(theta, shifts)
    if not point.cost < float("inf"):
        raise FitError("the first free run through the windows is not finite; try another seed, or shorter windows.")
    while damping.iteration < iterations and damping.idle < patience:
        matrix, gradient, eliminated = problem.normal_equations(point)
        trial = _damped_step(problem, point, matrix, gradient, eliminated, damping)
        if trial is None:
            break
        damping.idle = damping.idle + 1 if point.cost - trial.cost < tolerance * point.cost else 0
        damping.value = max(damping.value / 5, MIN_DAMPING)
        damping.iteration += 1
        point = trial
        if after is not None:
            after(point, damping)
    return point


def _damped_step(
    problem: Shooting,
    point: Iterate,
    matrix: Tensor,
    gradient: Tensor,
    eliminated: list[EliminatedStates],
    damping: Damping,
) -> Iterate | None:
    """Return the first damped step that lowers the cost, or None if none does at any damping."""
    diagonal = matrix.diagonal()
    floor = 1e-6 * diagonal.mean()
    while damping.value < MAX_DAMPING:
        factor, failed = torch.linalg.cholesky_ex(matrix + torch.diag(damping.value * (diagonal + floor)))
        if not bool(failed):
            move = torch.cholesky_solve(-gradient[:, None], factor)[:, 0]
            shifts = point.shifts
            if eliminated:
                moves = [-(part.inverse @ (part.gradient + part.coupling @ move)[..., None])[..., 0] for part in eliminated]
                shifts = shifts + torch.cat(moves)
            trial = problem.evaluate(point.theta + move, shifts)
            if trial.cost < point.cost:
                return trial
        damping.value = max(4 * damping.value, 1e-8)
    return None
