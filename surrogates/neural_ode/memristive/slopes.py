"""Slopes of runs of a memristive member in its weights and states."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, jacrev, vmap

from ....dynamics.field import MLPField
from ....dynamics.integrate import rk4_step
from ....dynamics.rollout import rollout


class Conductor(Protocol):
    """What runs and their slopes need of a member."""

    @property
    def field(self) -> MLPField:
        """Network f(x, u)."""

    @property
    def conductance(self) -> MLPField:
        """Network g(x, u)."""

    def voltage(self, settled: Tensor) -> Tensor:
        """Return v of each output."""

    def read(self, state: Tensor, settled: Tensor) -> Tensor:
        """Return the outputs c + v g(x, u)."""


def step_slopes(member: Conductor, states: Tensor, stages: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slopes of single steps.

    Args:
        member: The model.
        states: State before each step, shape (steps, state).
        stages: Drives in each step, shape (steps, 3, inputs).

    Returns:
        In the state, shape (steps, state, state), and in the weights of f, shape (steps, state, weights).
    """
    field = member.field
    weights = {name: value.detach() for name, value in field.named_parameters()}

    def step(state: Tensor, drives: Tensor, values: dict[str, Tensor]) -> Tensor:
        return rk4_step(lambda x, u: functional_call(field, values, (x, u)), state, drives, 1.0)

    in_state, in_weights = vmap(jacrev(step, argnums=(0, 2)), (0, 0, None))(states, stages, weights)
    return in_state, torch.cat([value.flatten(2) for value in in_weights.values()], -1)


def read_slopes(member: Conductor, states: Tensor, settled: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slopes of the outputs in the state, (samples, outputs, state), and in the weights of g and c.

    Args:
        member: The model.
        states: Shape (samples, state).
        settled: Drives to which each sample has responded, shape (samples, drives).
    """
    network = member.conductance
    weights = {name: value.detach() for name, value in network.named_parameters()}

    def conductance(state: Tensor, drive: Tensor, values: dict[str, Tensor]) -> Tensor:
        result: Tensor = functional_call(network, values, (state, drive))
        return result

    in_state, in_weights = vmap(jacrev(conductance, argnums=(0, 2)), (0, 0, None))(states, settled, weights)
    voltage = member.voltage(settled).unsqueeze(-1)
    constant = torch.eye(voltage.shape[1], dtype=states.dtype).expand(len(states), -1, -1)
    of_weights = torch.cat([value.flatten(2) for value in in_weights.values()], -1)
    return voltage * in_state, torch.cat([voltage * of_weights, constant], -1)


def run_states(member: Conductor, start: Tensor, stages: Tensor) -> Tensor:
    """Return the states of a free run, shape (steps + 1, state)."""
    with torch.no_grad():
        return rollout(member.field, start, stages) if len(stages) else start[None]


def run_slopes(states: Tensor, in_state: Tensor, in_weights: Tensor) -> Tensor:
    """Return d state / d (weights of f, first state) at every sample of a run, shape (steps + 1, state, weights + state).

    Args:
        states: States of the run, shape (steps + 1, state).
        in_state: From `step_slopes`.
        in_weights: From `step_slopes`.
    """
    size, count = states.shape[-1], in_weights.shape[-1]
    slopes = np.zeros((len(states), size, count + size), dtype=in_state.numpy().dtype)
    slopes[0, :, count:] = np.eye(size)
    for t, (step, own) in enumerate(zip(in_state.numpy(), in_weights.numpy(), strict=True)):
        np.matmul(step, slopes[t], out=slopes[t + 1])
        slopes[t + 1, :, :count] += own
    return torch.as_tensor(slopes)
