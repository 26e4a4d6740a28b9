"""One step of Adam on metaplastic weights, in place: the hidden weights of binary and quantised networks that do not forget."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ... import kernels
from ...errors import ConfigError

__all__ = ["level", "metaplastic_adam"]


def metaplastic_adam(
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
    interval: tuple[float, int] | None = None,
    binary: Tensor | None = None,
) -> None:
    """Adam, with updates damped that push a hidden weight to where what the network sees of it would change.

        g = gradient + decay weight;  a <- a + (1 - b1) (g - a);  q <- b2 q + (1 - b2) g^2
        weight <- weight - rate / (1 - b1^t) f a / (sqrt(q / (1 - b2^t)) + eps)
        f = 1 - tanh(m x)^2  where x a > 0, else 1

    x is the distance of the weight from the nearest such place: the weight itself for a sign; its distance from the nearest
    transition between two levels of a quantiser. At m = 0 this is `torch.optim.Adam` (whose eps stands where it does here; the
    code of the paper adds it before the correction of q).

    Compiled for tensors on the CPU (see `spinode.kernels.use`), in one pass over them.

    Args:
        weight: Hidden weights, float32 or float64; changed in place.
        gradient: Of the loss, in what the network sees of the weights. Same shape, as all tensors.
        exp_avg: Running average a of the gradients; changed in place.
        exp_avg_sq: Running average q of their squares; changed in place.
        step: Number t of this step, from 1.
        rate: Learning rate.
        betas: Decay rates b1, b2 of the averages.
        eps: Added to the root.
        decay: L2 penalty, on the hidden weight.
        m: Metaplasticity.
        interval: None for a sign. (spacing, levels): a uniform quantiser with levels spacing (k - (levels - 1) / 2), for
            k = 0 .. levels - 1, and transitions half way between; at two levels the only transition is zero. (For quantised
            weights the form of f is our reading of D'Agostino et al., AICAS (2023), who do not give it.)
        binary: Receives what the network sees after the step: the sign of each weight, 1 for zero; with `interval` its level.

    Raises:
        ConfigError: tensors of another shape or type; settings out of range.

    Source: Laborieux et al., Nat. Commun. 12, 2549 (2021), Methods.
    """
    _check(weight, gradient, exp_avg, exp_avg_sq, binary)
    if not (step >= 1 and rate >= 0 and eps >= 0 and decay >= 0 and m >= 0 and all(0 <= beta < 1 for beta in betas)):
        raise ConfigError(
            f"step {step}, rate {rate}, betas {betas}, eps {eps}, decay {decay}, m {m}; expected a step of at least 1, betas "
            "from 0 to below 1, and nothing below 0."
        )
    spacing, levels = interval or (1.0, 0)
    if interval and not (0 < spacing < math.inf and levels >= 2):
        raise ConfigError(f"interval is {interval}; expected (spacing above 0, at least 2 levels).")
    scaled = rate / (1 - betas[0] ** step)
    root_scale = 1 / math.sqrt(1 - betas[1] ** step)
    tensors = (weight, gradient, exp_avg, exp_avg_sq) if binary is None else (weight, gradient, exp_avg, exp_avg_sq, binary)
    with torch.no_grad():
        if all(value.device.type == "cpu" and value.is_contiguous() for value in tensors) and kernels.available():
            from ...kernels.metaplastic import update

            update(tensors, betas, (scaled, root_scale, eps, decay, m), spacing, levels)
        else:
            _plain(weight, gradient, exp_avg, exp_avg_sq, betas, scaled, root_scale, eps, decay, m, spacing, levels)
            if binary is not None:
                binary.copy_(_level(weight, spacing, levels))


def _check(weight: Tensor, *others: Tensor | None) -> None:
    for value in (weight, *others):
        if value is None:
            continue
        if value.shape != weight.shape or value.dtype != weight.dtype or value.device != weight.device:
            raise ConfigError(
                f"a tensor is {value.dtype} of shape {tuple(value.shape)} on {value.device}; expected that of the weight, "
                f"{weight.dtype} of shape {tuple(weight.shape)} on {weight.device}."
            )
    if weight.dtype not in (torch.float32, torch.float64):
        raise ConfigError(f"the weight is {weight.dtype}; expected float32 or float64.")


def _plain(
    weight: Tensor,
    gradient: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    betas: tuple[float, float],
    rate: float,
    root_scale: float,
    eps: float,
    decay: float,
    m: float,
    spacing: float,
    levels: int,
) -> None:
    """The twin of the kernel in plain torch."""
    g = gradient + decay * weight if decay else gradient
    exp_avg.lerp_(g, 1 - betas[0])
    exp_avg_sq.mul_(betas[1]).addcmul_(g, g, value=1 - betas[1])
    push = exp_avg
    if m:
        x = _distance(weight, spacing, levels)
        # 1 - tanh(m x)^2, with full precision where it is small
        e = (-2 * m * x.abs()).exp()
        push = torch.where(x * exp_avg > 0, 4 * e / (1 + e).square(), 1) * exp_avg
    weight.addcdiv_(push, exp_avg_sq.sqrt().mul_(root_scale).add_(eps), value=-rate)


def _distance(weight: Tensor, spacing: float, levels: int) -> Tensor:
    """From the nearest transition."""
    if not levels:
        return weight
    middle = (levels - 2) / 2
    return weight - spacing * ((weight * (1 / spacing) + middle).clamp(0, levels - 2).round() - middle)


def level(weight: Tensor, interval: tuple[float, int] | None = None) -> Tensor:
    """What a network sees of hidden weights: the sign, 1 for zero, or the nearest level.

    Args:
        weight: Hidden weights, any shape.
        interval: None for a sign; (spacing, levels) as in `metaplastic_adam`.
    """
    return _level(weight, *(interval or (1.0, 0)))


def _level(weight: Tensor, spacing: float, levels: int) -> Tensor:
    """What the network sees."""
    if not levels:
        return (weight >= 0).to(weight.dtype).mul_(2).sub_(1)  # several times as fast as where()
    middle = (levels - 1) / 2
    return spacing * ((weight * (1 / spacing) + middle).clamp(0, levels - 1).round() - middle)
