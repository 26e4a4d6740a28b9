"""Multiple shooting: residuals of free runs through windows, and their Gauss-Newton equations.

The nets of a device surrogate have some hundred weights and the recordings some ten thousand samples, so the exact
Gauss-Newton matrix is cheap and converges in tens of iterations where first-order methods need tens of thousands. The
residuals of a window are those of a free run through it. Their sensitivity to the weights follows from the Jacobians of the
single Runge-Kutta steps, which are independent of each other and computed in batches,

    S_{t+1} = (dPhi/dx)_t S_t + (dPhi/dtheta)_t,

and the unknown initial state of each window is eliminated by its Schur complement, with a prior of the embedding's own
noise around the measured state.

Source: Bock & Plitt, IFAC Proc. 17, 1603 (1984).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .... import kernels
from ....dynamics.integrate import rk4_step, torch_rollout
from ....dynamics.layout import Layout, chain_ratios, kernel_layout
from ....dynamics.rollout import native_rollout
from ....errors import ConfigError
from .native_shooting import MAX_STATE, equations
from .samples import Samples

#: Number of step Jacobians computed at once: a batch that stays in the processor's cache.
BATCH = 512


class ParameterVector:
    """The trained numbers as one vector: weights of the field, then the feedthrough.

    Args:
        field: Vector field; its weights that require a gradient are trained.
        feedthrough: Trained part of the feedthrough, any shape.

    Attributes:
        start: The numbers at construction, shape (weights + feedthrough,).
    """

    def __init__(self, field: nn.Module, feedthrough: Tensor) -> None:
        self.field = field
        self.shapes = {name: value.shape for name, value in field.named_parameters() if value.requires_grad}
        self.sizes = [shape.numel() for shape in self.shapes.values()]
        named = dict(field.named_parameters())
        values = [named[name].detach().reshape(-1) for name in self.shapes]
        self.start = torch.cat([*values, feedthrough.detach().reshape(-1)]).to(torch.float64)

    @property
    def weights(self) -> int:
        """Number of weights in the field."""
        return sum(self.sizes)

    def split(self, theta: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the weights by name, and the feedthrough as a vector."""
        parts = theta[: self.weights].split(self.sizes)
        named = {name: part.reshape(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}
        return named, theta[self.weights :]

    def write(self, theta: Tensor) -> None:
        """Copy the weights into the module."""
        named, _ = self.split(theta)
        with torch.no_grad():
            for name, value in self.field.named_parameters():
                if name in named:
                    value.copy_(named[name])


@dataclass(frozen=True)
class Iterate:
    """One iterate of the minimisation.

    Attributes:
        theta: Weights and feedthrough, shape (theta,).
        shifts: Corrections of the windows' measured initial states, shape (windows, state).
        cost: Mean squared residual, with prior and ridge.
        states: Free runs, shape (windows, steps + 1, state).
        residuals: Weighted residuals, shape (windows, steps, compared).
    """

    theta: Tensor
    shifts: Tensor
    cost: float
    states: Tensor
    residuals: Tensor


class EliminatedStates(NamedTuple):
    """Quantities from which the step of some windows' initial states follows once the step of theta is known.

    Attributes:
        inverse: Inverse of B' B with the prior, shape (windows, state, state), where B is d residuals / d initial state.
        coupling: B' A, shape (windows, state, theta), where A is d residuals / d theta.
        gradient: B' r with the prior, shape (windows, state).
    """

    inverse: Tensor
    coupling: Tensor
    gradient: Tensor


class Shooting:
    """Residuals and normal equations of free runs through windows of one length.

    Args:
        samples: Embedded samples.
        theta: Layout of the trained numbers.
        length: Steps per window.
        starts: First sample of each window.
        weights: Weight of each compared state value, shape (state,); zero leaves it out.
        prior: Standard deviation of each initial state around the measured one, over that of a residual; None keeps the
            measured one.
        ridge: Penalty on the squared weights, in units of the mean squared residual: a number, or one for each of theta.
    """

    def __init__(
        self,
        samples: Samples,
        theta: ParameterVector,
        length: int,
        starts: Tensor,
        weights: Tensor,
        prior: Tensor | None,
        ridge: float | Tensor,
    ) -> None:
        self.samples, self.theta, self.length, self.starts = samples, theta, length, starts
        self.ridge = torch.as_tensor(ridge, dtype=samples.states.dtype).expand(len(theta.start))
        self.compared = weights.nonzero()[:, 0]
        self.weights = weights[self.compared]
        self.prior = prior
        steps = starts[:, None] + torch.arange(length)
        self.stages = samples.stages[steps]
        self.rows = steps + 1
        self.targets = samples.states[steps + 1][..., self.compared]
        self.target_jacobian = samples.feedthrough_jacobian[steps + 1][..., self.compared, :]
        self.count = length * len(starts)
        #: Layout of the field for the compiled kernels; None if torch sets up the equations.
        self.layout = self._compiled_layout()
        if self.layout is None:
            self._jacobian = torch.func.vmap(
                torch.func.jacrev(self._step, argnums=(0, 1)), in_dims=(None, 0, 0), randomness="error"
            )
            self._check_field()

    def _compiled_layout(self) -> Layout | None:
        layout = kernel_layout(self.theta.field)
        fits = (
            isinstance(layout, Layout)
            and layout.members is None
            and layout.weights == self.theta.weights
            and layout.state <= MAX_STATE
            and self.samples.states.dtype == torch.float64
            and kernels.available()
        )
        return layout if fits and isinstance(layout, Layout) else None

    def _check_field(self) -> None:
        """Refuse a field that cannot be differentiated sample by sample, before it fails inside `torch.func`.

        Raises:
            ConfigError: control flow or in-place updates that depend on data, random numbers, statistics over a batch.
        """
        named, _ = self.theta.split(self.theta.start)
        states, stages = self.samples.states[self.starts[:2]], self.stages[:2, 0]
        try:
            self._jacobian(named, states, stages)
            separate = torch.func.vmap(self._step, in_dims=(None, 0, 0))(named, states, stages)
            together = self._step(named, states, stages)
        except Exception as error:  # whatever a field of the user's own may raise
            reason = str(error).strip().split("\n")[0]
        else:
            if torch.allclose(separate, together, rtol=1e-4, atol=1e-6, equal_nan=True):
                return
            reason = "its result for a sample depends on the batch"
        raise ConfigError(
            "this field cannot be differentiated by torch.func.vmap, which Gauss-Newton needs "
            f"({reason}). Use method='adam', which takes any field."
        )

    def _step(self, named: dict[str, Tensor], state: Tensor, stages: Tensor) -> Tensor:
        return rk4_step(lambda x, u: torch.func.functional_call(self.theta.field, named, (x, u)), state, stages)

    def no_shifts(self) -> Tensor:
        """Return zero corrections of the initial states, shape (windows, state)."""
        return torch.zeros(len(self.starts), self.samples.states.shape[-1], dtype=self.samples.states.dtype)

    def evaluate(self, theta: Tensor, shifts: Tensor) -> Iterate:
        """Run freely through all windows and compute the cost."""
        with torch.no_grad():
            if not bool(torch.isfinite(theta).all()):
                return Iterate(theta, shifts, float("inf"), self.targets, self.targets)
            named, through = self.theta.split(theta)
            first = self.samples.states[self.starts] + self.samples.feedthrough_jacobian[self.starts] @ through + shifts
            if self.layout is not None:
                states = native_rollout(self.layout, theta[None, : self.theta.weights], self._ratios(), first, self.stages)
            else:
                states = torch_rollout(
                    lambda x, u: torch.func.functional_call(self.theta.field, named, (x, u)), first, self.stages
                )
            compared = states[:, 1:][..., self.compared] - self.target_jacobian @ through
            residuals = self.samples.errors(compared - self.targets, self.rows, self.compared) * self.weights
            cost = float(residuals.square().sum()) / self.count
            if self.prior is not None:
                cost += float((shifts / self.prior).square().sum()) / self.count
            return Iterate(theta, shifts, cost + float(self.ridge @ theta.square()), states, residuals)

    def normal_equations(self, point: Iterate) -> tuple[Tensor, Tensor, list[EliminatedStates]]:
        """Compute the Gauss-Newton equations in theta with the initial states eliminated.

        Returns:
            Matrix (theta, theta), gradient (theta,), and the eliminated initial states of each chunk of windows.
        """
        sums = self._sum_by_kernel(point) if self.layout is not None else self._sum_by_torch(point)
        matrix, gradient, eliminated = sums
        return matrix / self.count + torch.diag(self.ridge), gradient / self.count + self.ridge * point.theta, eliminated

    def _sum_by_torch(self, point: Iterate) -> tuple[Tensor, Tensor, list[EliminatedStates]]:
        size = len(point.theta)
        matrix = torch.zeros(size, size, dtype=point.theta.dtype)
        gradient = torch.zeros(size, dtype=point.theta.dtype)
        eliminated = []
        for part in torch.arange(len(self.starts)).split(max(1, BATCH // self.length)):
            in_theta, in_initial = self._sensitivities(point, part)
            rows = in_theta.reshape(-1, size)
            errors = point.residuals[part].reshape(len(part), -1)
            matrix.addmm_(rows.T, rows)
            gradient += rows.T @ errors.reshape(-1)
            if self.prior is not None:
                transposed = in_initial.transpose(1, 2)
                pull = (transposed @ errors[..., None])[..., 0]
                block, coupling = transposed @ in_initial, transposed @ in_theta
                eliminated.append(self._eliminate(matrix, gradient, block, coupling, pull, point.shifts[part]))
        return matrix, gradient, eliminated

    def _sum_by_kernel(self, point: Iterate) -> tuple[Tensor, Tensor, list[EliminatedStates]]:
        assert self.layout is not None
        width = self.samples.states.shape[-1]
        weights = torch.zeros(width, dtype=point.theta.dtype).index_put_((self.compared,), self.weights)
        residuals = torch.zeros(*point.residuals.shape[:2], width, dtype=point.theta.dtype)
        residuals[..., self.compared] = point.residuals
        steps = self.starts[:, None] + torch.arange(self.length + 1)
        sums = equations(
            self.layout,
            point.theta[: self.theta.weights].contiguous(),
            self._ratios(),
            self.stages,
            point.states,
            self.samples.feedthrough_jacobian[steps],
            residuals,
            weights,
            free=self.prior is not None,
        )
        if self.prior is None:
            return sums.matrix, sums.gradient, []
        windows = self._eliminate(sums.matrix, sums.gradient, sums.blocks, sums.coupling, sums.pull, point.shifts)
        return sums.matrix, sums.gradient, [windows]

    def _eliminate(
        self, matrix: Tensor, gradient: Tensor, block: Tensor, coupling: Tensor, pull: Tensor, shifts: Tensor
    ) -> EliminatedStates:
        """Eliminate the initial states of some windows from the equations, in place."""
        assert self.prior is not None
        inverse, failed = torch.linalg.inv_ex(block + torch.diag(self.prior**-2))
        # Where a window does not determine its initial state, the state is not moved.
        inverse[failed != 0] = 0
        pull = pull + shifts / self.prior**2
        solved = inverse @ coupling
        matrix.addmm_(coupling.flatten(0, 1).T, solved.flatten(0, 1), alpha=-1)
        gradient -= torch.einsum("wip,wi->p", solved, pull)
        return EliminatedStates(inverse, coupling, pull)

    def _ratios(self) -> Tensor:
        return chain_ratios(self.theta.field, self.samples.states)

    def _sensitivities(self, point: Iterate, part: Tensor) -> tuple[Tensor, Tensor]:
        """Return d residuals / d theta (windows, rows, theta) and d residuals / d initial states (windows, rows, state)."""
        named, _ = self.theta.split(point.theta)
        width = self.samples.states.shape[-1]
        states = point.states[part, :-1].reshape(-1, width)
        stages = self.stages[part].flatten(0, 1)
        step_in_weights, step_in_state = [], []
        for x, u in zip(states.split(BATCH), stages.split(BATCH), strict=True):
            by_name, by_state = self._jacobian(named, x, u)
            step_in_weights.append(torch.cat([value.reshape(len(x), width, -1) for value in by_name.values()], -1))
            step_in_state.append(by_state)
        shape = (len(part), self.length)
        push = torch.cat(step_in_weights).reshape(*shape, width, -1)
        carry = torch.cat(step_in_state).reshape(*shape, width, width)
        weights = self.theta.weights
        in_theta = torch.zeros(len(part), width, len(point.theta), dtype=point.theta.dtype)
        in_theta[..., weights:] = self.samples.feedthrough_jacobian[self.starts[part]]
        in_initial = torch.eye(width, dtype=in_theta.dtype).expand(len(part), width, width)
        theta_rows, initial_rows = [], []
        for t in range(self.length):
            in_theta = carry[:, t] @ in_theta
            in_theta[..., :weights] += push[:, t]
            compared = in_theta[:, self.compared]
            compared[..., weights:] -= self.target_jacobian[part, t]
            theta_rows.append(compared * self.weights[:, None])
            if self.prior is not None:
                in_initial = carry[:, t] @ in_initial
                initial_rows.append(in_initial[:, self.compared] * self.weights[:, None])
        stacked = torch.stack(theta_rows, 1).flatten(1, 2)
        return stacked, torch.stack(initial_rows, 1).flatten(1, 2) if initial_rows else stacked[..., :0]
