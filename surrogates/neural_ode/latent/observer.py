"""Observer: the states of latent modes along a recording, from its outputs and drives.

The first state is the one from which a run through the first samples fits them best, with the states of the fitted recordings
as the prior. From there on a Kalman filter with the constant gain of the linear core corrects the run at each sample.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import linalg
from torch import Tensor

from ....typing import Array
from .layout import LatentLayout
from .rollout import Slopes, core_table, native_rollout, run_with_slopes

#: Samples per state value that the first state is fitted to: few outputs must show all modes.
WASHOUT = 8

#: Standard deviation that is granted to the model's outputs beyond the noise, in deviations of the output.
MODEL_ERROR = 0.03

#: Standard deviation that a step of the model adds to each state value, in deviations.
STATE_ERROR = 0.02

#: Gauss-Newton steps of the first state.
_ITERATIONS = 6


def first_state(
    layout: LatentLayout,
    theta: Tensor,
    outputs: Tensor,
    pairs: Tensor,
    settled: Tensor,
    noise: Tensor,
    visited: Tensor,
    *,
    substeps: int,
) -> Tensor:
    """Estimate the state at the first sample.

    Args:
        layout: Sizes.
        theta: Weights, shape (weights,).
        outputs: Recorded outputs in deviations, shape (samples, outputs).
        pairs: Inputs at the start and at the end of the step that begins at each sample, shape (samples, 2, inputs).
        settled: Drives to which each sample has responded, shape (samples, drives).
        noise: Deviation of the measurement noise, shape (outputs,).
        visited: States of the fitted recordings, shape (points, state).
        substeps: Steps of the integrator per sample.

    Returns:
        Shape (state,).
    """
    mean = visited.mean(0)
    precision = 1 / ((visited - mean).square().mean(0) + 1e-6)
    weight = 1 / (noise.square() + MODEL_ERROR**2)
    state, lowest, damping = mean, float("inf"), 1e-3
    best = mean
    for _ in range(_ITERATIONS):
        found = run_with_slopes(layout, theta, Slopes.start(layout, state), pairs, settled, substeps=substeps)
        cost = float("inf")
        if found is not None:
            error = found[0] - outputs
            cost = float((error.square() * weight).sum() + ((state - mean).square() * precision).sum())
        if found is None or not cost < lowest:
            damping *= 10
            state = best + (state - best) * 0.25
            continue
        best, lowest, damping = state, cost, damping * 0.3
        slopes = found[1][..., layout.weights :]
        matrix = torch.einsum("toi,o,toj->ij", slopes, weight, slopes) + torch.diag(precision)
        pull = torch.einsum("toi,o,to->i", slopes, weight, error) + precision * (state - mean)
        matrix = matrix + damping * torch.diag(matrix.diagonal())
        state = state - torch.linalg.solve(matrix, pull)
    return best


def observer_gain(layout: LatentLayout, theta: Tensor, noise: Tensor, *, substeps: int) -> Array:
    """Return the constant Kalman gain of the linear core, shape (state, outputs)."""
    arrays = layout.split(theta)
    decay = torch.view_as_complex(core_table(arrays["log_decay"], arrays["frequency"], 1.0)[:, 0, 0].contiguous()).numpy()
    a = np.block([[np.diag(decay.real), -np.diag(decay.imag)], [np.diag(decay.imag), np.diag(decay.real)]])
    c = arrays["read_matrix"].numpy()
    process = STATE_ERROR**2 * np.eye(len(a))
    measured = np.diag(noise.numpy() ** 2 + MODEL_ERROR**2)
    covariance = linalg.solve_discrete_are(a.T, c.T, process, measured)
    gain: Array = np.linalg.solve(c @ covariance @ c.T + measured, c @ covariance).T
    return gain


def filtered_states(
    layout: LatentLayout,
    theta: Tensor,
    start: Tensor,
    outputs: Tensor,
    pairs: Tensor,
    settled: Tensor,
    noise: Tensor,
    *,
    substeps: int,
) -> Tensor:
    """Run along a recording with a correction at each sample after the first.

    Args:
        layout: Sizes.
        theta: Weights, shape (weights,).
        start: State at the first sample, shape (state,).
        outputs: Recorded outputs in deviations, shape (samples, outputs).
        pairs: Inputs at the start and at the end of each step, shape (samples - 1, 2, inputs).
        settled: Drives to which each sample has responded, shape (samples, drives).
        noise: Deviation of the measurement noise, shape (outputs,).
        substeps: Steps of the integrator per sample.

    Returns:
        States after the correction, shape (samples, state).
    """
    gain = torch.as_tensor(observer_gain(layout, theta, noise, substeps=substeps))
    states = start.new_empty(len(outputs), layout.state)
    states[0] = start
    for t in range(len(outputs) - 1):
        after, read = native_rollout(
            layout, theta, states[t : t + 1], pairs[None, t : t + 1], settled[None, t : t + 2], substeps=substeps
        )
        states[t + 1] = after[0, 1] + gain @ (outputs[t + 1] - read[0, 1])
    return states
