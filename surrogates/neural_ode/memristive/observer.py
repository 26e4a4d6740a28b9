"""Observer: the hidden states of a memristive member along a recording, from its outputs and drives.

The first state is the one from which a run through the first samples fits them best, with the states of the fitted recordings
as the prior. From there on a Kalman filter, linear around the free run from it, corrects the state at each sample: its gain
vanishes where the drive, and with it the information about the state, does.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ....typing import Array
from .slopes import Conductor, read_slopes, run_slopes, run_states, step_slopes

#: Samples away from zero drive that the first state is fitted to, with all before and between them.
WASHOUT = 40

#: Standard deviation that is granted to the model's outputs beyond the noise, in deviations of the output.
MODEL_ERROR = 0.03

#: Standard deviation that a step of the model adds to each state value, in deviations of the state.
STATE_ERROR = 0.02

#: Gauss-Newton steps of the first state.
_ITERATIONS = 6

#: A corrected state stays within the fitted ones, widened by this share of their range.
_BEYOND = 0.5


def first_state(
    member: Conductor, outputs: Tensor, stages: Tensor, settled: Tensor, noise: Tensor, visited: Tensor
) -> tuple[Tensor, Tensor]:
    """Estimate the state at the first sample.

    Args:
        member: The model.
        outputs: Recorded outputs in deviations, shape (samples, outputs).
        stages: Drives in each step, shape (samples - 1, 3, inputs).
        settled: Drives to which each sample has responded, shape (samples, drives).
        noise: Deviation of the measurement noise, shape (outputs,).
        visited: States of the fitted recordings, shape (points, state).

    Returns:
        The state, shape (state,), and its covariance, shape (state, state).
    """
    mean = visited.mean(0)
    precision = torch.diag(1 / ((visited - mean).square().mean(0) + 1e-6))
    weight = 1 / (noise.square() + MODEL_ERROR**2)

    def cost(state: Tensor) -> float:
        with torch.no_grad():
            error = member.read(run_states(member, state, stages), settled) - outputs
        value = float((error.square() * weight).sum() + (state - mean) @ precision @ (state - mean))
        return value if np.isfinite(value) else float("inf")

    state, lowest, covariance = mean, cost(mean), torch.linalg.inv(precision)
    for _ in range(_ITERATIONS):
        states = run_states(member, state, stages)
        in_state, in_weights = step_slopes(member, states[:-1], stages)
        slopes = read_slopes(member, states, settled)[0] @ run_slopes(states, in_state, in_weights[..., :0])
        with torch.no_grad():
            error = member.read(states, settled) - outputs
        matrix = torch.einsum("toi,o,toj->ij", slopes, weight, slopes) + precision
        covariance = torch.linalg.inv(matrix)
        step = covariance @ (torch.einsum("toi,o,to->i", slopes, weight, error) + precision @ (state - mean))
        trials = [state - step * 0.25**k for k in range(4)]
        costs = [cost(trial) for trial in trials]
        best = int(np.argmin(costs))
        if not costs[best] < lowest:
            break
        state, lowest = trials[best], costs[best]
    return state, covariance


def filtered_states(
    member: Conductor,
    start: Tensor,
    covariance: Tensor,
    outputs: Tensor,
    stages: Tensor,
    settled: Tensor,
    noise: Tensor,
    visited: Tensor,
) -> Tensor:
    """Run along a recording with a correction at each sample after the first.

    Args:
        member: The model.
        start: State at the first sample, shape (state,).
        covariance: Its covariance, shape (state, state).
        outputs: Recorded outputs in deviations, shape (samples, outputs).
        stages: Drives in each step, shape (samples - 1, 3, inputs).
        settled: Drives to which each sample has responded, shape (samples, drives).
        noise: Deviation of the measurement noise, shape (outputs,).
        visited: States of the fitted recordings, shape (points, state).

    Returns:
        States after the correction, shape (samples, state).
    """
    free = run_states(member, start, stages)
    moves: Array = step_slopes(member, free[:-1], stages)[0].numpy()
    shows: Array = read_slopes(member, free, settled)[0].numpy()
    with torch.no_grad():
        errors: Array = (outputs - member.read(free, settled)).numpy()
    process = np.diag((STATE_ERROR * visited.std(0).numpy()) ** 2 + 1e-12)
    measured = np.diag(noise.numpy() ** 2 + MODEL_ERROR**2)
    spread, beyond = covariance.numpy(), np.zeros_like(free.numpy())
    for t, move in enumerate(moves):
        show = shows[t + 1]
        spread = move @ spread @ move.T + process
        gain = np.linalg.solve(show @ spread @ show.T + measured, show @ spread).T
        ahead = move @ beyond[t]
        beyond[t + 1] = ahead + gain @ (errors[t + 1] - show @ ahead)
        spread = spread - gain @ show @ spread
    low, high = visited.min(0).values, visited.max(0).values
    margin = _BEYOND * (high - low)
    corrected = torch.maximum(torch.minimum(free + torch.as_tensor(beyond), high + margin), low - margin)
    corrected[0] = start
    return corrected
