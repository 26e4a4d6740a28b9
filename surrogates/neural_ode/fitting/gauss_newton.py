"""Multiple shooting by Gauss-Newton: the second-order fit of small vector fields.

The nets of a device surrogate have some hundred weights and the recordings some ten thousand samples, so the exact
Gauss-Newton matrix is cheap and ends in tens of iterations where first-order methods need tens of thousands. The residuals
of a window are those of a free run through it. Their sensitivity to the weights follows from the Jacobians of the single
Runge-Kutta steps, which are independent of each other and computed in batches,

    S_{t+1} = (dPhi/dx)_t S_t + (dPhi/dtheta)_t,

and the unknown initial state of each window is eliminated by its Schur complement, with a prior of the embedding's own
noise around the measured state.

Source: Bock & Plitt, IFAC Proc. 17, 1603 (1984) (multiple shooting); Levenberg (1944), Marquardt (1963).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .... import kernels
from ....dynamics.integrate import rk4_step, torch_rollout
from ....dynamics.layout import Layout, chain_ratios, kernel_layout
from ....dynamics.rollout import native_rollout
from ....errors import ConfigError, FitError
from ....kernels import native
from .native_shooting import MOST_STATE, equations

#: Unknowns up to which the algebra between two kernels is too small for several threads.
SMALL = 1500

#: Step Jacobians computed at once: the batch that stays in the processor's cache.
BATCH = 512


@dataclass(frozen=True)
class Samples:
    """Embedded samples of all recordings, end to end, in deviations.

    Attributes:
        states: Measured states for zero feedthrough, shape (samples, state).
        stages: Drive at the start, middle and end of the step that begins at each sample, shape (samples, 3, inputs).
        feedthrough_jacobian: d state / d feedthrough at each sample, shape (samples, state, feedthrough); no columns without feedthrough.
        state_noise: Deviation of the measured states, shape (state,).
        segments: First and last sample of each contiguous stretch that a window may not leave.
        outputs: Number of outputs, which are the first values of a state.
    """

    states: Tensor
    stages: Tensor
    feedthrough_jacobian: Tensor
    state_noise: Tensor
    segments: tuple[tuple[int, int], ...]
    outputs: int

    def windows(self, length: int) -> Tensor:
        """First samples of the windows that tile the segments, shape (windows,); shorter segments have none."""
        starts = [torch.arange(first, last - length + 1, length) for first, last in self.segments if last - first >= length]
        return torch.cat(starts) if starts else torch.zeros(0, dtype=torch.long)


class ParameterVector:
    """The trained numbers as one vector: weights of the field, then the feedthrough."""

    def __init__(self, field: nn.Module, feedthrough: Tensor) -> None:
        self.field = field
        self.shapes = {name: value.shape for name, value in field.named_parameters() if value.requires_grad}
        self.sizes = [shape.numel() for shape in self.shapes.values()]
        self.feedthrough_size = feedthrough.numel()
        first = [dict(field.named_parameters())[name].detach().reshape(-1) for name in self.shapes]
        self.start = torch.cat([*first, feedthrough.detach().reshape(-1)]).to(torch.float64)

    @property
    def weights(self) -> int:
        """Number of weights in the field."""
        return sum(self.sizes)

    def split(self, theta: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Weights by name, and the feedthrough as a vector."""
        parts = theta[: self.weights].split(self.sizes)
        named = {name: part.reshape(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}
        return named, theta[self.weights :]

    def write(self, theta: Tensor) -> None:
        """Put the weights into the module."""
        named, _ = self.split(theta)
        with torch.no_grad():
            for name, value in self.field.named_parameters():
                if name in named:
                    value.copy_(named[name])


@dataclass(frozen=True)
class Iterate:
    """An iterate: weights, corrections of the windows' initial states, cost and what the cost was computed from."""

    theta: Tensor
    shifts: Tensor
    cost: float
    states: Tensor
    residuals: Tensor


class Shooting:
    """Residuals and normal equations of free runs through windows of one length.

    Args:
        samples: Embedded samples.
        theta: Layout of the trained numbers.
        length: Steps per window.
        starts: First sample of each window.
        weights: Weight of each compared state value, shape (state,); zero leaves it out.
        prior: Deviation of each initial state around the measured one, over the deviation of a residual; None keeps the
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
        self.targets = samples.states[steps + 1][..., self.compared]
        self.target_jacobian = samples.feedthrough_jacobian[steps + 1][..., self.compared, :]
        self.count = length * len(starts)
        layout = kernel_layout(theta.field)
        #: What the compiled kernels need to know, if they take the field.
        self.layout: Layout | None = None
        if (
            isinstance(layout, Layout)
            and layout.members is None
            and layout.weights == theta.weights
            and layout.state <= MOST_STATE
        ):
            self.layout = layout if samples.states.dtype == torch.float64 and kernels.available() else None
        if self.layout is not None:
            return
        self._jacobian = torch.func.vmap(
            torch.func.jacrev(self._step, argnums=(0, 1)), in_dims=(None, 0, 0), randomness="error"
        )
        self._check_field()

    def _check_field(self) -> None:
        """Refuse a field that cannot be taken sample by sample, in words, before it fails in the depths of `torch.func`.

        Raises:
            ConfigError: control flow or updates in place that depend on data, random numbers, statistics over a batch.
        """
        named, _ = self.theta.split(self.theta.start)
        states, stages = self.samples.states[self.starts[:2]], self.stages[:2, 0]
        try:
            self._jacobian(named, states, stages)
            alone = torch.func.vmap(self._step, in_dims=(None, 0, 0))(named, states, stages)
            together = self._step(named, states, stages)
        except Exception as error:  # whatever a field of the user's may raise
            reason = str(error).strip().split("\n")[0]
        else:
            if torch.allclose(alone, together, rtol=1e-4, atol=1e-6, equal_nan=True):
                return
            reason = "it answers a sample differently alone and in a batch"
        raise ConfigError(
            "this field cannot be differentiated by torch.func.vmap, which Gauss-Newton needs "
            f"({reason}). Use method='adam', which takes any field."
        )

    def _step(self, named: dict[str, Tensor], state: Tensor, stages: Tensor) -> Tensor:
        return rk4_step(lambda x, u: torch.func.functional_call(self.theta.field, named, (x, u)), state, stages)

    def no_shifts(self) -> Tensor:
        """Zero corrections of the initial states, shape (windows, state)."""
        return torch.zeros(len(self.starts), self.samples.states.shape[-1], dtype=self.samples.states.dtype)

    def evaluate(self, theta: Tensor, shifts: Tensor) -> Iterate:
        """Free runs through all windows."""
        with torch.no_grad():
            if not bool(torch.isfinite(theta).all()):
                return Iterate(theta, shifts, float("inf"), self.targets, self.targets)
            named, through = self.theta.split(theta)
            first = self.samples.states[self.starts] + self.samples.feedthrough_jacobian[self.starts] @ through + shifts
            if self.layout is not None:
                states = native_rollout(self.layout, theta[None, : self.theta.weights], self._ratios(), first, self.stages)
            else:
                call = torch.func.functional_call
                states = torch_rollout(lambda x, u: call(self.theta.field, named, (x, u)), first, self.stages)
            read = states[:, 1:][..., self.compared] - self.target_jacobian @ through
            residuals = (read - self.targets) * self.weights
            cost = float(residuals.square().sum()) / self.count
            if self.prior is not None:
                cost += float((shifts / self.prior).square().sum()) / self.count
            return Iterate(theta, shifts, cost + float(self.ridge @ theta.square()), states, residuals)

    def normal_equations(self, point: Iterate) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
        """Gauss-Newton matrix and gradient in theta with the initial states eliminated, and what recovers them.

        Returns:
            Matrix (theta, theta), gradient (theta,), and per chunk of windows (inverse block, coupling, gradient).
        """
        if self.layout is not None:
            matrix, gradient, blocks = self._compiled(point)
            return matrix / self.count + torch.diag(self.ridge), gradient / self.count + self.ridge * point.theta, blocks
        size = len(point.theta)
        matrix = torch.zeros(size, size, dtype=point.theta.dtype)
        gradient = torch.zeros(size, dtype=point.theta.dtype)
        blocks = []
        for part in torch.arange(len(self.starts)).split(max(1, BATCH // self.length)):
            slopes, initial = self._sensitivities(point, part)
            rows = slopes.reshape(-1, size)
            errors = point.residuals[part].reshape(len(part), -1)
            matrix.addmm_(rows.T, rows)
            gradient += rows.T @ errors.reshape(-1)
            if self.prior is not None:
                back = initial.transpose(1, 2)
                pull = (back @ errors[..., None])[..., 0]
                blocks.append(self._eliminate(matrix, gradient, back @ initial, back @ slopes, pull, point.shifts[part]))
        return (
            matrix / self.count + torch.diag(self.ridge),
            gradient / self.count + self.ridge * point.theta,
            blocks,
        )

    def _eliminate(
        self, matrix: Tensor, gradient: Tensor, block: Tensor, coupling: Tensor, pull: Tensor, shifts: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Take the initial states of some windows out of the equations; returns what recovers them."""
        assert self.prior is not None
        inverse, failed = torch.linalg.inv_ex(block + torch.diag(self.prior**-2))
        # Where a window cannot tell its initial state, the state stays where it is.
        inverse[failed != 0] = 0
        pull = pull + shifts / self.prior**2
        solved = inverse @ coupling
        matrix.addmm_(coupling.flatten(0, 1).T, solved.flatten(0, 1), alpha=-1)
        gradient -= torch.einsum("wip,wi->p", solved, pull)
        return inverse, coupling, pull

    def _ratios(self) -> Tensor:
        return chain_ratios(self.theta.field, self.samples.states)

    def _compiled(self, point: Iterate) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
        """The sums of `normal_equations` by the compiled kernels."""
        assert self.layout is not None
        width = self.samples.states.shape[-1]
        weights = torch.zeros(width, dtype=point.theta.dtype).index_put_((self.compared,), self.weights)
        residuals = torch.zeros(*point.residuals.shape[:2], width, dtype=point.theta.dtype)
        residuals[..., self.compared] = point.residuals
        steps = self.starts[:, None] + torch.arange(self.length + 1)
        found = equations(
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
        blocks = []
        if self.prior is not None:
            blocks.append(self._eliminate(found.matrix, found.gradient, found.blocks, found.coupling, found.pull, point.shifts))
        return found.matrix, found.gradient, blocks

    def _sensitivities(self, point: Iterate, part: Tensor) -> tuple[Tensor, Tensor]:
        """Slopes of the residuals in theta (windows, rows, theta) and in the initial states (windows, rows, state)."""
        named, _ = self.theta.split(point.theta)
        width = self.samples.states.shape[-1]
        states = point.states[part, :-1].reshape(-1, width)
        stages = self.stages[part].flatten(0, 1)
        in_weights, in_states = [], []
        for x, u in zip(states.split(BATCH), stages.split(BATCH), strict=True):
            by_name, by_state = self._jacobian(named, x, u)
            in_weights.append(torch.cat([value.reshape(len(x), width, -1) for value in by_name.values()], -1))
            in_states.append(by_state)
        shape = (len(part), self.length)
        push = torch.cat(in_weights).reshape(*shape, width, -1)
        carry = torch.cat(in_states).reshape(*shape, width, width)
        weights = self.theta.weights
        slope = torch.zeros(len(part), width, len(point.theta), dtype=point.theta.dtype)
        slope[..., weights:] = self.samples.feedthrough_jacobian[self.starts[part]]
        start = torch.eye(width, dtype=slope.dtype).expand(len(part), width, width)
        slopes, initial = [], []
        for t in range(self.length):
            slope = carry[:, t] @ slope
            slope[..., :weights] += push[:, t]
            read = slope[:, self.compared]
            read[..., weights:] -= self.target_jacobian[part, t]
            slopes.append(read * self.weights[:, None])
            if self.prior is not None:
                start = carry[:, t] @ start
                initial.append(start[:, self.compared] * self.weights[:, None])
        stacked = torch.stack(slopes, 1).flatten(1, 2)
        return stacked, torch.stack(initial, 1).flatten(1, 2) if initial else stacked[..., :0]


@dataclass
class Damping:
    """Marquardt's damping and the count of steps that gained next to nothing: with a `Iterate`, all a resumed run needs."""

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
    """Levenberg-Marquardt iterations on a shooting problem.

    Args:
        problem: What is minimised.
        theta: First weights.
        shifts: First corrections of the initial states.
        iterations: Bound on the number of accepted steps, counted from `damping.iteration`.
        damping: Where an interrupted run stood.
        tolerance: Relative gain of a step that counts as idle.
        patience: Idle steps in a row that end the run.
        after: Called after each accepted step; may save a checkpoint.

    Returns:
        The last accepted point; its cost never exceeds that of the first.

    Raises:
        FitError: the first point has no finite cost.
    """
    with native.reserve_threads(problem.layout is not None and len(theta) <= SMALL):
        return _minimise(problem, theta, shifts, iterations, damping or Damping(), tolerance, patience, after)


def _minimise(
    problem: Shooting,
    theta: Tensor,
    shifts: Tensor,
    iterations: int,
    state: Damping,
    tolerance: float,
    patience: int,
    after: Callable[[Iterate, Damping], None] | None,
) -> Iterate:
    point = problem.evaluate(theta, shifts)
    if not point.cost < float("inf"):
        raise FitError("the first free run through the windows is not finite; try another seed, or shorter windows.")
    while state.iteration < iterations and state.idle < patience:
        matrix, gradient, blocks = problem.normal_equations(point)
        trial = _step_down(problem, point, matrix, gradient, blocks, state)
        if trial is None:
            break
        state.idle = state.idle + 1 if point.cost - trial.cost < tolerance * point.cost else 0
        state.value = max(state.value / 5, 1e-9)
        state.iteration += 1
        point = trial
        if after is not None:
            after(point, state)
    return point


def _step_down(
    problem: Shooting,
    point: Iterate,
    matrix: Tensor,
    gradient: Tensor,
    blocks: list[tuple[Tensor, Tensor, Tensor]],
    damping: Damping,
) -> Iterate | None:
    """The first damped step that lowers the cost, or None if none does at any damping."""
    diagonal = matrix.diagonal()
    floor = 1e-6 * diagonal.mean()
    while damping.value < 1e6:
        factor, failed = torch.linalg.cholesky_ex(matrix + torch.diag(damping.value * (diagonal + floor)))
        if not bool(failed):
            move = torch.cholesky_solve(-gradient[:, None], factor)[:, 0]
            shifts = point.shifts
            if blocks:
                shifts = shifts + torch.cat(
                    [-(block @ (pull + coupling @ move)[..., None])[..., 0] for block, coupling, pull in blocks]
                )
            trial = problem.evaluate(point.theta + move, shifts)
            if trial.cost < point.cost:
                return trial
        damping.value = max(4 * damping.value, 1e-8)
    return None
