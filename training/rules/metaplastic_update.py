"""`metaplastic_update`: one step of Adam on metaplastic hidden weights, compiled in one pass, with its twin in plain torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ... import kernels
from ...errors import ConfigError
from ...validation import number, whole_number
from .levels import Interval, distance_to_transition, nearest_level


def metaplastic_update(
    weight: Tensor,
    gradient: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    step: int,
    rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    decay: float = 0.0,
    m: float = 0.0,
    interval: Interval = None,
    quantised: Tensor | None = None,
) -> None:
    """Update hidden weights by Adam, damping the steps that push a weight towards a change of its quantised value.

        g = gradient + decay weight;  a <- a + (1 - b1) (g - a);  q <- b2 q + (1 - b2) g^2
        weight <- weight - rate / (1 - b1^t) f a / (sqrt(q / (1 - b2^t)) + eps)
        f = 1 - tanh(m x)^2  where x a > 0, else 1

    x is the distance of the weight from the nearest such transition: the weight itself for a sign; else the distance from the
    nearest transition between two levels of the quantiser. At m = 0 this is `torch.optim.Adam` (with eps in the same place;
    the code of the paper adds it before the correction of q).

    Compiled for tensors on the CPU (see `spinode.kernels.use`), in one pass over them.

    Args:
        weight: Hidden weights, float32 or float64; changed in place.
        gradient: Gradient of the loss with respect to the quantised weights. Same shape, as all tensors.
        exp_avg: Running average a of the gradients; changed in place.
        exp_avg_sq: Running average q of their squares; changed in place.
        step: Number t of this step, from 1.
        rate: Learning rate.
        betas: Decay rates b1, b2 of the averages.
        eps: Added to the root.
        decay: L2 penalty on the hidden weight.
        m: Metaplasticity.
        interval: None for a sign. (spacing, levels): the uniform quantiser of `nearest_level`, with transitions half way
            between levels; at two levels the only transition is zero. (For quantised weights the form of f is our reading of
            D'Agostino et al., AICAS (2023), who do not give it.)
        quantised: Receives the quantised weights after the step: the sign of each, 1 for zero; with `interval` its level.

    Raises:
        ConfigError: tensors of another shape or type; settings out of range.

    Source: Laborieux et al., Nat. Commun. 12, 2549 (2021), Methods.
    """
    tensors = (
        (weight, gradient, exp_avg, exp_avg_sq) if quantised is None else (weight, gradient, exp_avg, exp_avg_sq, quantised)
    )
    _check_tensors(*tensors)
    step = whole_number("step", step, 1)
    rate, eps, decay, m = number("rate", rate, 0), number("eps", eps, 0), number("decay", decay, 0), number("m", m, 0)
    betas = (
        number("the first of betas", betas[0], 0, 1, below=True),
        number("the second of betas", betas[1], 0, 1, below=True),
    )
    check_interval(interval)
    scaled_rate = rate / (1 - betas[0] ** step)
    root_scale = 1 / math.sqrt(1 - betas[1] ** step)
    with torch.no_grad():
        if all(value.device.type == "cpu" and value.is_contiguous() for value in tensors) and kernels.available():
            from ...kernels.metaplastic import update

            update(tensors, betas, (scaled_rate, root_scale, eps, decay, m), *(interval or (1.0, 0)))
        else:
            _update_plain(weight, gradient, exp_avg, exp_avg_sq, betas, (scaled_rate, root_scale, eps, decay, m), interval)
            if quantised is not None:
                quantised.copy_(nearest_level(weight, interval))


def check_interval(interval: Interval) -> None:
    """Check the spacing and the number of levels of a quantiser.

    Raises:
        ConfigError: something else than None or (spacing above 0, at least 2 levels).
    """
    if interval is None:
        return
    if not isinstance(interval, (tuple, list)) or len(interval) != 2:
        raise ConfigError(f"interval is {interval!r}; expected (spacing, levels), such as (0.25, 8), or None.")
    number("the spacing of interval", interval[0], 0, above=True)
    whole_number("the number of levels of interval", interval[1], 2)


def _check_tensors(weight: Tensor, *others: Tensor) -> None:
    for value in others:
        if value.shape != weight.shape or value.dtype != weight.dtype or value.device != weight.device:
            raise ConfigError(
                f"a tensor is {value.dtype} of shape {tuple(value.shape)} on {value.device}; expected that of the weight, "
                f"{weight.dtype} of shape {tuple(weight.shape)} on {weight.device}."
            )
    if weight.dtype not in (torch.float32, torch.float64):
        raise ConfigError(f"the weight is {weight.dtype}; expected float32 or float64.")


def _update_plain(
    weight: Tensor,
    gradient: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    betas: tuple[float, float],
    constants: tuple[float, float, float, float, float],
    interval: Interval,
) -> None:
    """Update in plain torch; `constants` are those of the kernel."""
    rate, root_scale, eps, decay, m = constants
    g = gradient + decay * weight if decay else gradient
    exp_avg.lerp_(g, 1 - betas[0])
    exp_avg_sq.mul_(betas[1]).addcmul_(g, g, value=1 - betas[1])
    damped = exp_avg
    if m:
        x = distance_to_transition(weight, interval)
        # 1 - tanh(m x)^2, with full precision where it is small
        e = (-2 * m * x.abs()).exp()
        damped = torch.where(x * exp_avg > 0, 4 * e / (1 + e).square(), 1) * exp_avg
    weight.addcdiv_(damped, exp_avg_sq.sqrt().mul_(root_scale).add_(eps), value=-rate)
