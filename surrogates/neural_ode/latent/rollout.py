"""Free runs of latent modes: by the compiled kernel, or step by step in plain torch, differentiable and its test oracle."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ....dynamics.integrate import STATE_LIMIT
from ....kernels import latent as kernel
from .field import LatentField, phi_functions
from .layout import LatentLayout


@dataclass
class Slopes:
    """State of a run and its slopes in all weights and in its initial state; `advance` continues them in place.

    Attributes:
        state: Shape (state,).
        values: d state / d (weights, initial state), shape (state, weights + state, padded to a whole number of registers).
    """

    state: Tensor
    values: Tensor

    @classmethod
    def start(cls, layout: LatentLayout, state: Tensor) -> Slopes:
        """Return the slopes at the initial state."""
        columns = layout.weights + layout.state
        values = state.new_zeros(layout.state, -(-columns // kernel.PADDING) * kernel.PADDING)
        values[:, layout.weights : columns] = torch.eye(layout.state, dtype=state.dtype)
        return cls(state.detach().clone(), values)


def core_table(log_decay: Tensor, frequency: Tensor, h: float) -> Tensor:
    """Return the integrator's coefficients and their slopes, as the kernel takes them.

    Args:
        log_decay: Shape (modes,).
        frequency: Shape (modes,).
        h: Length of a step in samples.

    Returns:
        Value, slope in log g and slope in w of exp(L h), gamma and beta, real and imaginary, shape (modes, 3, 3, 2).
    """
    g, w = log_decay.detach().exp(), frequency.detach()
    z = torch.complex(-g, -w) * h
    decay = torch.exp(z)
    one, two, three = phi_functions(z)
    values = torch.stack([decay, h * one, h * two], -1)
    # phi_1' = phi_1 - phi_2 and phi_2' = phi_2 - 2 phi_3
    slopes = torch.stack([decay, h * (one - two), h * (two - 2 * three)], -1)
    in_log_decay = slopes * (-g * h).unsqueeze(-1)
    return torch.view_as_real(torch.stack([values, in_log_decay, slopes * (-1j * h)], 1)).contiguous()


def run_with_slopes(
    layout: LatentLayout,
    theta: Tensor,
    slopes: Slopes,
    stages: Tensor,
    settled: Tensor,
    *,
    substeps: int = 1,
    limit: float = STATE_LIMIT,
) -> tuple[Tensor, Tensor] | None:
    """Continue a run by the kernel, with the Jacobian of its outputs.

    Args:
        layout: Sizes.
        theta: Weights, shape (weights,).
        slopes: State and slopes at the first sample; continued in place to the sample after the last.
        stages: Inputs at the start and at the end of the step that begins at each sample, shape (samples, 2, inputs).
        settled: Drives to which each sample has responded, shape (samples, drives).
        substeps: Steps of the integrator per sample.
        limit: Magnitude of a state value at which the run ends or is clamped.

    Returns:
        Outputs, shape (samples, outputs), and their Jacobian, shape (samples, outputs, weights + state); None if the state
        left its limit.
    """
    arrays = layout.split(theta)
    samples = len(stages)
    outputs = theta.new_empty(samples, layout.outputs)
    jacobian = theta.new_empty(samples, layout.outputs, layout.weights + layout.state)
    valid = kernel.run(
        _sizes(layout, substeps),
        theta=theta,
        core=core_table(arrays["log_decay"], arrays["frequency"], 1 / substeps),
        state=slopes.state.unsqueeze(0),
        stages=stages.unsqueeze(0),
        settled=settled.unsqueeze(0),
        outputs=outputs.unsqueeze(0),
        slopes=slopes.values,
        jacobian=jacobian,
        limit=limit,
    )
    return (outputs, jacobian) if valid else None


def native_rollout(
    layout: LatentLayout,
    theta: Tensor,
    state: Tensor,
    stages: Tensor,
    settled: Tensor,
    *,
    substeps: int = 1,
    limit: float = STATE_LIMIT,
) -> tuple[Tensor, Tensor]:
    """Run freely by the kernel.

    Args:
        layout: Sizes.
        theta: Weights, shape (weights,).
        state: Initial states, shape (lanes, state).
        stages: Inputs at the start and at the end of each step, shape (lanes, steps, 2, inputs).
        settled: Drives to which each sample has responded, shape (lanes, steps + 1, drives).
        substeps: Steps of the integrator per sample.
        limit: Magnitude of a state value at which the run ends or is clamped.

    Returns:
        States, shape (lanes, steps + 1, state), and outputs, shape (lanes, steps + 1, outputs).
    """
    arrays = layout.split(theta)
    lanes, steps = stages.shape[:2]
    states = theta.new_empty(lanes, steps + 1, layout.state)
    outputs = theta.new_empty(lanes, steps + 1, layout.outputs)
    kernel.run(
        _sizes(layout, substeps),
        theta=theta,
        core=core_table(arrays["log_decay"], arrays["frequency"], 1 / substeps),
        state=state,
        stages=stages,
        settled=settled,
        outputs=outputs,
        states=states,
        limit=limit,
    )
    return states, outputs


def torch_rollout(field: LatentField, state: Tensor, stages: Tensor) -> Tensor:
    """Run freely step by step; differentiable in everything.

    Args:
        field: The modes.
        state: Initial states, shape (..., state).
        stages: Inputs at the start, middle and end of each step, shape (..., steps, 3, inputs).

    Returns:
        Shape (..., steps + 1, state).
    """
    batch = torch.broadcast_shapes(state.shape[:-1], stages.shape[:-3])
    state = state.expand(*batch, state.shape[-1])
    states = [state]
    for t in range(stages.shape[-3]):
        state = field.step(state, stages[..., t, :, :]).clamp(-STATE_LIMIT, STATE_LIMIT)
        states.append(state)
    return torch.stack(states, -2)


def _sizes(layout: LatentLayout, substeps: int) -> tuple[int, ...]:
    return (layout.modes, layout.inputs, layout.outputs, layout.drives, layout.hidden, layout.readout, substeps)
