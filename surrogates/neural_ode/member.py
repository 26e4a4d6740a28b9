"""`Member`: one model of a surrogate: a vector field with its read-out and its time stepping."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...dynamics.integrate import rk4_step
from ...dynamics.rollout import rollout, rollouts

#: Samples from the beginning of a recording that are embedded to estimate an initial state.
START_SAMPLES = 200


class Member(nn.Module):
    """One vector field of a surrogate, with the read-out y = b_0 + D u and one fourth-order Runge-Kutta step per sample.

    An embedding whose state is not read from outputs overrides read-out and time stepping.

    Args:
        vector_field: Module f(x, u) in deviations and samples: (..., state), (..., drive) -> (..., state).
        feedthrough: D in y = b_0 + D u, in deviations per deviation, shape (outputs, drives).
    """

    field: nn.Module
    feedthrough: nn.Parameter

    def __init__(self, vector_field: nn.Module, feedthrough: Tensor) -> None:
        super().__init__()
        self.field = vector_field
        self.feedthrough = nn.Parameter(feedthrough.detach().clone())

    def read(self, state: Tensor, settled: Tensor) -> Tensor:
        """Compute the outputs of a state, in deviations.

        Args:
            state: Shape (..., state).
            settled: Drives to which the sample has responded, in deviations, shape (..., drives).

        Returns:
            Shape (..., outputs).
        """
        outputs: Tensor = state[..., : len(self.feedthrough)] + settled @ self.feedthrough.T
        return outputs

    def step(self, state: Tensor, stages: Tensor, dt: float = 1.0) -> Tensor:
        """Take one step.

        Args:
            state: Shape (..., state).
            stages: What the field sees of the drive at the start, middle and end, shape (..., 3, inputs).
            dt: Length in samples.

        Returns:
            Shape (..., state).
        """
        return rk4_step(self.field, state, stages, dt)

    def rollout(self, state: Tensor, stages: Tensor) -> Tensor:
        """Run freely.

        Args:
            state: Initial states, shape (..., state).
            stages: What the field sees of the drive in each step, shape (..., steps, 3, inputs).

        Returns:
            States, shape (..., steps + 1, state).
        """
        return rollout(self.field, state, stages)

    def samples_of_start(self, settled: Tensor) -> int:
        """Return how many samples from the beginning of a recording on its first state is estimated from, at most.

        Args:
            settled: Drives to which each sample has responded, in deviations, shape (samples, drives).
        """
        return min(len(settled), START_SAMPLES)

    def observe(self, outputs: Tensor, stages: Tensor, settled: Tensor, noise: Tensor, visited: Tensor) -> Tensor:
        """Estimate the states along a recording; only where the embedding is recursive.

        Args:
            outputs: Recorded outputs in deviations, shape (samples, outputs).
            stages: Inputs in each step, shape (samples - 1, 3, inputs).
            settled: Drives to which each sample has responded, shape (samples, drives).
            noise: Deviation of the measurement noise, in deviations, shape (outputs,).
            visited: States along the fitted recordings, shape (points, state).

        Returns:
            Shape (samples, state).
        """
        raise NotImplementedError(f"{type(self).__name__} reads its state from embedded outputs")


def roll_members(members: Sequence[Member], states: Tensor, stages: Tensor) -> Tensor:
    """Run all members freely, side by side where one kernel can.

    Args:
        members: The models.
        states: Initial states, shape (members, ..., state).
        stages: What the field sees of the drive in each step, shape (..., steps, 3, inputs).

    Returns:
        States, shape (members, ..., steps + 1, state).
    """
    if all(type(member).rollout is Member.rollout for member in members):
        return rollouts([member.field for member in members], states, stages)
    return torch.stack([member.rollout(state, stages) for member, state in zip(members, states, strict=True)])


def median_of_members(values: Tensor) -> Tensor:
    """Return the median over members, by which one that leaves the others is outvoted; of an even number the mean of the two in
    the middle.

    Args:
        values: Shape (members, ...).

    Example:
        >>> import torch
        >>> median_of_members(torch.tensor([[1.0], [2.0], [4.0], [90.0]]))
        tensor([3.])
    """
    ordered = values.sort(0).values
    count = len(values)
    middle: Tensor = 0.5 * (ordered[(count - 1) // 2] + ordered[count // 2])
    return middle
