"""Multiple shooting of many devices side by side: Levenberg-Marquardt over a dimension of devices.

The devices have weights of their own and one layout. One call of the rollout kernel runs all of their windows, the equations
of each come from the shooting kernel, and elimination, factorisation and trial steps are batched. Each device has a damping, a
count of idle steps and an end of its own; those that have ended cost nothing more.

Source: as `spinode.surrogates.neural_ode.fitting.shooting` and `.levenberg_marquardt`, whose step for one device this is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ....dynamics.layout import Layout
from ....dynamics.rollout import native_rollout
from ..fitting.levenberg_marquardt import MAX_DAMPING, MIN_DAMPING
from ..fitting.native_shooting import equations
from ..fitting.samples import Samples


@dataclass
class StackState:
    """Weights, initial states and progress of all devices.

    Attributes:
        theta: Weights and feedthrough, shape (devices, theta).
        shifts: Corrections of the initial states, shape (devices, windows, state).
        cost: Mean squared residual with prior and ridge, shape (devices,); infinite where a run was not finite.
        damping: Shape (devices,).
        idle: Steps in a row that gained next to nothing, shape (devices,).
        steps: Accepted steps, shape (devices,).
        states: Free runs, shape (devices, windows, steps + 1, state).
        residuals: Weighted residuals, shape (devices, windows, steps, compared).
    """

    theta: Tensor
    shifts: Tensor
    cost: Tensor
    damping: Tensor
    idle: Tensor
    steps: Tensor
    states: Tensor
    residuals: Tensor


class StackedShooting:
    """Residuals and normal equations of many devices with windows at the same samples.

    Args:
        samples: Embedded recordings, one of each device, all of one length.
        layout: Layout of the field, for one device.
        ratios: Ratios of its chain, the same for all devices, shape (state - rates,).
        length: Steps per window.
        starts: First sample of each window, shape (windows,).
        weights: Weight of each state value in the residual, shape (devices, state); zero leaves it out, for all devices alike.
        prior: Standard deviation of the initial states over that of a residual, shape (devices, state); None keeps them.
        ridge: Penalty on each of theta, shape (theta,).
    """

    def __init__(
        self,
        samples: Sequence[Samples],
        layout: Layout,
        ratios: Tensor,
        length: int,
        starts: Tensor,
        weights: Tensor,
        prior: Tensor | None,
        ridge: Tensor,
    ) -> None:
        self.layout, self.ratios, self.ridge = layout, ratios, ridge
        self.compared = weights[0].nonzero()[:, 0]
        self.weights, self.prior = weights, prior
        steps = starts[:, None] + torch.arange(length)
        self.stages = torch.stack([each.stages[steps] for each in samples])
        self.jacobian = torch.stack([each.feedthrough_jacobian[starts[:, None] + torch.arange(length + 1)] for each in samples])
        self.first = torch.stack([each.states[starts] for each in samples])
        self.targets = torch.stack([each.states[steps + 1] for each in samples])[..., self.compared]
        self.target_jacobian = self.jacobian[:, :, 1:, self.compared]
        self.count = length * len(starts)

    def begin(self, theta: Tensor) -> StackState:
        """Return the state before the first step, from weights of shape (devices, theta)."""
        devices = len(theta)
        shifts = torch.zeros_like(self.first)
        cost, states, residuals = self._run(theta, shifts, torch.arange(devices))
        count = torch.zeros(devices, dtype=torch.long)
        damping = torch.full((devices,), 1e-3, dtype=theta.dtype)
        return StackState(theta, shifts, cost, damping, count, count.clone(), states, residuals)

    def minimise(self, state: StackState, *, iterations: int, tolerance: float = 1e-3, patience: int = 2) -> StackState:
        """Take damped Gauss-Newton steps until each device has ended: after its iterations, or a few idle steps.

        Args:
            state: From `begin`.
            iterations: Largest number of accepted steps of a device.
            tolerance: Relative gain below which a step counts as idle.
            patience: Idle steps in a row that end a device.
        """
        now = replace(state, **{name: value.clone() for name, value in vars(state).items()})
        ended = ~now.cost.isfinite()
        while True:
            active = (~ended & (now.steps < iterations) & (now.idle < patience)).nonzero()[:, 0]
            if not len(active):
                return now
            ended[self._step(now, active, tolerance)] = True

    def _step(self, now: StackState, active: Tensor, tolerance: float) -> Tensor:
        """Take one step of the active devices, in place; return those for which no step lowers the cost."""
        matrix, gradient, inverse, coupling, pull = self._normal_equations(now, active)
        diagonal = matrix.diagonal(dim1=1, dim2=2)
        floor = 1e-6 * diagonal.mean(1, keepdim=True)
        pending = torch.arange(len(active))  # numbers among the active ones
        stuck = []
        while len(pending):
            device = active[pending]
            shifted = matrix[pending] + torch.diag_embed(now.damping[device, None] * (diagonal + floor)[pending])
            factor, failed = torch.linalg.cholesky_ex(shifted)
            factor[failed != 0] = torch.eye(len(self.ridge), dtype=factor.dtype)
            move = torch.cholesky_solve(-gradient[pending, :, None], factor)[..., 0]
            shifts = now.shifts[device]
            if inverse is not None:
                inner = pull[pending] + torch.einsum("mwip,mp->mwi", coupling[pending], move)
                shifts = shifts - torch.einsum("mwij,mwj->mwi", inverse[pending], inner)
            theta = now.theta[device] + move
            cost, states, residuals = self._run(theta, shifts, device)
            before = now.cost[device]
            accepted = (cost < before) & (failed == 0)
            index = device[accepted]
            idle = before - cost < tolerance * before
            now.idle[index] = torch.where(idle, now.idle[device] + 1, 0)[accepted]
            now.damping[index] = (now.damping[index] / 5).clamp_min(MIN_DAMPING)
            now.steps[index] += 1
            now.theta[index], now.shifts[index], now.cost[index] = theta[accepted], shifts[accepted], cost[accepted]
            now.states[index], now.residuals[index] = states[accepted], residuals[accepted]
            pending = pending[~accepted]
            now.damping[active[pending]] = (4 * now.damping[active[pending]]).clamp_min(1e-8)
            hopeless = now.damping[active[pending]] >= MAX_DAMPING
            stuck.append(active[pending[hopeless]])
            pending = pending[~hopeless]
        return torch.cat(stuck)

    def _run(self, theta: Tensor, shifts: Tensor, devices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return cost, states and weighted residuals of some devices."""
        layout, finite = self.layout, theta.isfinite().all(1)
        theta = torch.where(finite[:, None], theta, 0)
        through = theta[:, layout.weights :]
        first = self.first[devices] + torch.einsum("mwsf,mf->mws", self.jacobian[devices, :, 0], through) + shifts
        states = native_rollout(
            replace(layout, members=len(devices)),
            theta[:, : layout.weights].contiguous(),
            self.ratios,
            first,
            self.stages[devices],
        )
        direct = torch.einsum("mwlcf,mf->mwlc", self.target_jacobian[devices], through)
        errors = states[:, :, 1:, self.compared] - direct - self.targets[devices]
        residuals = errors * self.weights[devices][:, None, None, self.compared]
        cost = residuals.square().sum((1, 2, 3)) / self.count + theta.square() @ self.ridge
        if self.prior is not None:
            cost = cost + (shifts / self.prior[devices][:, None]).square().sum((1, 2)) / self.count
        return torch.where(finite & cost.isfinite(), cost, torch.inf), states, residuals

    def _normal_equations(self, now: StackState, active: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor]:
        """Return the equations in theta with the initial states eliminated, and what these follow from."""
        states, residuals = now.states[active], now.residuals[active]
        full = torch.zeros(*residuals.shape[:3], self.layout.state, dtype=residuals.dtype)
        full[..., self.compared] = residuals
        weights = self.layout.weights
        sums = [
            equations(
                self.layout,
                now.theta[device, :weights],
                self.ratios,
                self.stages[device],
                states[place],
                self.jacobian[device],
                full[place],
                self.weights[device],
                free=self.prior is not None,
            )
            for place, device in enumerate(active.tolist())
        ]
        matrix, gradient = torch.stack([each.matrix for each in sums]), torch.stack([each.gradient for each in sums])
        coupling, pull = torch.stack([each.coupling for each in sums]), torch.stack([each.pull for each in sums])
        inverse = None
        if self.prior is not None:
            precision = self.prior[active] ** -2
            blocks = torch.stack([each.blocks for each in sums]) + torch.diag_embed(precision)[:, None]
            inverse, failed = torch.linalg.inv_ex(blocks)
            inverse[failed != 0] = 0  # where a window does not determine its initial state, the state is not moved
            pull = pull + now.shifts[active] * precision[:, None]
            solved = (inverse @ coupling).flatten(1, 2)
            matrix = matrix - coupling.flatten(1, 2).mT @ solved
            gradient = gradient - (solved.mT @ pull.flatten(1, 2)[..., None])[..., 0]
        matrix = matrix / self.count + torch.diag(self.ridge)
        return matrix, gradient / self.count + self.ridge * now.theta[active], inverse, coupling, pull
