"""Integration of dx/dt = f(x, u(t)) over sampled drives; time is counted in samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .errors import ConfigError, DomainError

Field = Callable[[Tensor, Tensor], Tensor]

#: Deviations from the fitted mean at which a state is confined, so that a run that escapes stays finite and is flagged.
STATE_LIMIT = 30.0

ADAPTIVE = ("dopri5", "dopri8", "bosh3", "adaptive_heun")


def rk4_step(field: Field, state: Tensor, stages: Tensor, dt: Tensor | float = 1.0) -> Tensor:
    """One classical Runge-Kutta step of fourth order.

    Args:
        field: f(x, u).
        state: x at the start of the step, shape (..., state).
        stages: u at the start, middle and end of the step, shape (..., 3, drive).
        dt: Length of the step, in samples.

    Returns:
        x at the end of the step, shape (..., state).
    """
    start, middle, end = stages.unbind(-2)
    k1 = field(state, start)
    k2 = field(state + 0.5 * dt * k1, middle)
    k3 = field(state + 0.5 * dt * k2, middle)
    k4 = field(state + dt * k3, end)
    return state + (dt / 6) * (k1 + 2 * (k2 + k3) + k4)


def rollout(field: Field, state: Tensor, stages: Tensor) -> Tensor:
    """Free run with one Runge-Kutta step per sample; states are confined to +-`STATE_LIMIT` deviations.

    Args:
        field: f(x, u).
        state: x at the first sample, shape (..., state).
        stages: Drives, shape (..., steps, 3, drive).

    Returns:
        x at every sample, shape (..., steps + 1, state).
    """
    states = [state]
    for drive in stages.unbind(-3):
        states.append(rk4_step(field, states[-1], drive).clamp(-STATE_LIMIT, STATE_LIMIT))
    return torch.stack(states, -2)


def adaptive_rollout(
    field: Field, state: Tensor, stages: Tensor, *, method: str = "dopri5", rtol: float = 1e-7, atol: float = 1e-9
) -> Tensor:
    """Free run with an adaptive solver of torchdiffeq; between samples the drive is the parabola through its stages.

    The solver restarts at every sample, so that held drives (a jump at each sample) cost accuracy nowhere.

    Args:
        field: f(x, u).
        state: x at the first sample, shape (..., state).
        stages: Drives, shape (..., steps, 3, drive).
        method: One of torchdiffeq's adaptive methods.
        rtol: Relative tolerance.
        atol: Absolute tolerance, in deviations.

    Returns:
        x at every sample, shape (..., steps + 1, state).

    Raises:
        ConfigError: an unknown method.
        DomainError: the solver cannot proceed (its step underflows): the field has a singularity there.
    """
    from torchdiffeq import odeint

    if method not in ADAPTIVE:
        raise ConfigError(f"solver {method!r} is unknown; expected 'rk4' or one of {', '.join(ADAPTIVE)}.")
    # Its end is a `step_t` below: else torchdiffeq steps past it and interpolates back, which costs a hundredfold error.
    times = torch.tensor([0.0, 1.0], dtype=state.dtype, device=state.device)
    states = [state]
    for index, drive in enumerate(stages.unbind(-3)):
        start, middle, end = drive.unbind(-2)

        def rate(t: Tensor, x: Tensor, a: Tensor = start, b: Tensor = middle, c: Tensor = end) -> Tensor:
            u = a * (1 - t) * (1 - 2 * t) + b * 4 * t * (1 - t) + c * t * (2 * t - 1)
            return field(x, u.expand(*x.shape[:-1], u.shape[-1]))

        try:
            step = odeint(rate, states[-1], times, method=method, rtol=rtol, atol=atol, options={"step_t": times[1:]})[-1]
        except AssertionError as error:
            raise DomainError(
                f"the solver {method!r} stopped in step {index} ({error}); the state there is "
                f"{states[-1].detach().reshape(-1)[:4].tolist()}. Use solver='rk4', or looser tolerances."
            ) from None
        states.append(step.clamp(-STATE_LIMIT, STATE_LIMIT))
    return torch.stack(states, -2)
