"""Integration of dx/dt = f(x, u(t)) under sampled drives; time is counted in samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import ConfigError, DomainError
from ..validation import one_of

Field = Callable[[Tensor, Tensor], Tensor]

#: Bound on the magnitude of a state, in standard deviations: a run that diverges stays finite and is reported as outside the
#: domain.
STATE_LIMIT = 30.0

#: Adaptive solvers of torchdiffeq that `adaptive_rollout` takes.
ADAPTIVE = ("dopri5", "dopri8", "bosh3", "adaptive_heun")


def zero_order_hold(drive: Tensor) -> Tensor:
    """Return the stages of a drive that keeps each sample for one step.

    Args:
        drive: Samples, shape (..., steps, drive).

    Returns:
        The drive at the start, middle and end of each step: a view of shape (..., steps, 3, drive).

    Raises:
        ConfigError: not a tensor, or a tensor without dimensions for steps and drive.

    Example:
        >>> zero_order_hold(torch.tensor([[1.0], [2.0]])).squeeze(-1)
        tensor([[1., 1., 1.],
                [2., 2., 2.]])
    """
    _check_samples(drive)
    return drive.unsqueeze(-2).expand(*drive.shape[:-1], 3, drive.shape[-1])


def linear_interpolation(drive: Tensor) -> Tensor:
    """Return the stages of a drive that is linear between its samples.

    Args:
        drive: Samples, shape (..., steps + 1, drive).

    Returns:
        The drive at the start, middle and end of each step, shape (..., steps, 3, drive).

    Raises:
        ConfigError: not a tensor, or a tensor without dimensions for steps and drive.

    Example:
        >>> linear_interpolation(torch.tensor([[1.0], [2.0]])).squeeze(-1)
        tensor([[1.0000, 1.5000, 2.0000]])
    """
    _check_samples(drive)
    start, end = drive[..., :-1, :], drive[..., 1:, :]
    return torch.stack([start, (start + end) / 2, end], -2)


def _check_samples(drive: Tensor) -> None:
    if not isinstance(drive, Tensor) or drive.ndim < 2:
        got = f"a tensor of shape {tuple(drive.shape)}" if isinstance(drive, Tensor) else f"a {type(drive).__name__}"
        raise ConfigError(f"the drive is {got}; expected a tensor of shape (..., time, drive), e.g. torch.as_tensor(drive).")


def rk4_step(field: Field, state: Tensor, stages: Tensor, dt: Tensor | float = 1.0) -> Tensor:
    """Take one classical fourth-order Runge-Kutta step.

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


def euler_step(field: Field, state: Tensor, stages: Tensor, dt: Tensor | float = 1.0, noise: Tensor | None = None) -> Tensor:
    """Take one step of Euler's method, or with noise of the Euler-Maruyama method.

        x + f(x, u_0) dt + dw

    Args:
        field: f(x, u).
        state: x at the start of the step, shape (..., state).
        stages: u at the start, middle and end of the step, shape (..., 3, drive).
        dt: Length of the step, in samples.
        noise: Increment dw of the noise, shape (..., state).

    Returns:
        x at the end of the step, shape (..., state).
    """
    moved = state + dt * field(state, stages[..., 0, :])
    return moved if noise is None else moved + noise


def heun_step(field: Field, state: Tensor, stages: Tensor, dt: Tensor | float = 1.0, noise: Tensor | None = None) -> Tensor:
    """Take one step of Heun's method; with noise it is the stochastic one, which converges to the Stratonovich solution.

        x' = x + f(x, u_0) dt + dw,     x + (f(x, u_0) + f(x', u_1)) dt / 2 + dw

    Arguments and result are those of `euler_step`.
    """
    dw: Tensor | float = 0.0 if noise is None else noise
    k1 = field(state, stages[..., 0, :])
    k2 = field(state + dt * k1 + dw, stages[..., 2, :])
    return state + (dt / 2) * (k1 + k2) + dw


def _rk4_noise_step(field: Field, state: Tensor, stages: Tensor, dt: float, noise: Tensor | None) -> Tensor:
    moved = rk4_step(field, state, stages, dt)
    return moved if noise is None else moved + noise


#: Fixed-step methods by name.
STEPS: dict[str, Callable[[Field, Tensor, Tensor, float, Tensor | None], Tensor]] = {
    "rk4": _rk4_noise_step,
    "euler": euler_step,
    "heun": heun_step,
}


def torch_rollout(
    field: Field,
    state: Tensor,
    stages: Tensor,
    *,
    method: str = "rk4",
    dt: float = 1.0,
    noise: Tensor | None = None,
    limit: float = STATE_LIMIT,
    initial: bool = True,
) -> Tensor:
    """Run a field freely in plain torch, on any device; arguments as for `spinode.rollout`, not checked."""
    step = STEPS[method]
    states = [state]
    for index, drive in enumerate(stages.unbind(-3)):
        moved = step(field, states[-1], drive, dt, None if noise is None else noise[..., index, :])
        states.append(moved.clamp(-limit, limit))
    return torch.stack(states if initial else states[1:], -2)


def adaptive_rollout(
    field: Field, state: Tensor, stages: Tensor, *, method: str = "dopri5", rtol: float = 1e-7, atol: float = 1e-9
) -> Tensor:
    """Run a field freely with an adaptive solver of torchdiffeq.

    Between samples, the drive is the parabola through its stages. The solver restarts at every sample, so the jumps of a
    held drive do not reduce its accuracy.

    Args:
        field: f(x, u).
        state: x at the first sample, shape (..., state).
        stages: Drives, shape (..., steps, 3, drive).
        method: One of `ADAPTIVE`; "rk4" for the fixed steps of `torch_rollout`.
        rtol: Relative tolerance.
        atol: Absolute tolerance, in standard deviations.

    Returns:
        x at every sample, shape (..., steps + 1, state).

    Raises:
        ConfigError: an unknown method.
        DomainError: the step size of the solver underflows, as at a singularity of the field.
    """
    from torchdiffeq import odeint

    if one_of("solver", method, ("rk4", *ADAPTIVE)) == "rk4":
        return torch_rollout(field, state, stages)
    # The end is also a `step_t` below: otherwise torchdiffeq steps beyond it and interpolates, with a hundred times the error.
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
