"""The updates of `spinode.training.online.learn` in plain torch: the oracle of the compiled ones, and what runs where nothing was compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .learn import OnlineBGD, OnlineBiMU, OnlineMESU, OnlineRule, OnlineSGD


def learn(
    rule: OnlineRule, state: dict[str, Tensor], inputs: Tensor, labels: Tensor, noise: Tensor | None
) -> tuple[Tensor, int]:
    """Learn sample after sample, in place.

    Returns:
        Loss of each step, and the step at which it was not finite, where learning ended; the number of steps if there is none.
    """
    from .learn import OnlineBGD, OnlineBiMU, OnlineMESU, OnlineSGD

    losses = inputs.new_zeros(len(inputs))
    for step, (x, label) in enumerate(zip(inputs, labels.tolist(), strict=True)):
        if isinstance(rule, OnlineSGD):
            losses[step], gradients = point_gradients(state["weight0"], state["weight1"], x, label)
        elif isinstance(rule, OnlineBiMU):
            assert noise is not None
            losses[step], gradients = binary_gradients(rule, state["lambda0"], state["lambda1"], x, label, noise[step])
        else:
            assert noise is not None
            losses[step], gradients = gaussian_gradients(*_gaussian(state), x, label, noise[step])
        if not bool(losses[step].isfinite()):
            return losses, step
        if isinstance(rule, OnlineSGD):
            _descend(rule, state, gradients)
        elif isinstance(rule, OnlineMESU):
            _mesu(rule, state, gradients)
        elif isinstance(rule, OnlineBGD):
            _bgd(rule, state, gradients)
        elif isinstance(rule, OnlineBiMU):
            _bimu(rule, state, gradients)
    return losses, len(inputs)


def _gaussian(state: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return state["mean0"], state["sigma0"], state["mean1"], state["sigma1"]


def point_gradients(first: Tensor, second: Tensor, x: Tensor, label: int) -> tuple[Tensor, list[Tensor]]:
    """Loss and its gradients in both layers of plain weights."""
    a = first @ x
    h = a.relu()
    z = second @ h
    delta = z.softmax(0)
    loss = z.logsumexp(0) - z[label]
    delta[label] -= 1
    back = (second.T @ delta) * (a > 0)
    return loss, [torch.outer(back, x), torch.outer(delta, h)]


def gaussian_gradients(
    mean0: Tensor, sigma0: Tensor, mean1: Tensor, sigma1: Tensor, x: Tensor, label: int, noise: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Mean loss over the draws, and its gradients in mean and sigma of the first layer, then of the second."""
    loss, (first, spread0, second, spread1) = drawn_gradients(mean0, sigma0.square(), mean1, sigma1.square(), x, label, noise)
    return loss, [first, spread0 * sigma0, second, spread1 * sigma1]


def binary_gradients(
    rule: OnlineBiMU, lambda0: Tensor, lambda1: Tensor, x: Tensor, label: int, noise: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Mean loss over the draws, and its gradients in the lambda of both layers; no gradients where all are zero."""
    moments = [(relaxed_moments if rule.relaxed else binary_moments)(value) for value in (lambda0, lambda1)]
    loss, found = drawn_gradients(
        *moments[0][:2], *moments[1][:2], x, label, noise, gate=rule.activation == "gate", normalise=rule.normalise
    )
    if not any(bool(part.any()) for part in found):
        return loss, []
    return loss, [found[2 * i] * moments[i][2] + found[2 * i + 1] * moments[i][3] for i in (0, 1)]


def binary_moments(value: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean and variance of binary weights; derivatives in lambda of the mean and of half the variance."""
    t = value.tanh()
    q = 1 - t.square()
    return t, q, q, -t * q


def relaxed_moments(value: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same of tanh(lambda + logit(u) / 2) with u uniform; kernels/online_rules.hpp derives them.

    H = (E - 1/3) / t^2 takes its series where dividing by t^4 would cost digits.
    """
    t = value.tanh()
    square = t.square()
    q = (1 - square).clamp(min=0)
    single = value.dtype == torch.float32
    most, start, terms = (8.0, 0.5, 18) if single else (20.0, 0.25, 24)
    series = torch.full_like(t, 1 / (2 * terms + 3))
    for k in range(terms - 2, -1, -1):
        series = series * square + 1 / (2 * k + 5)
    small = square < start
    inverse = 1 / torch.where(small, 1, t)
    h = torch.where(small, series, ((value.clamp(-most, most) * inverse - 1) * inverse.square() - 1 / 3) * inverse.square())
    e = square * h + 1 / 3
    shrink = q * e
    variance = (q * (1 - (2 + square * e) * shrink)).clamp(min=0)
    return t * (1 - shrink), variance, 2 * shrink, q * t * (3 * (h - e) + 2 * shrink * e)


def drawn_gradients(
    mean0: Tensor,
    variance0: Tensor,
    mean1: Tensor,
    variance1: Tensor,
    x: Tensor,
    label: int,
    noise: Tensor,
    *,
    gate: bool = False,
    normalise: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    """Mean loss over the draws; its gradients in the means and twice those in the variances, first layer, then second.

    At a fixed noise (samples, hidden + classes) they are the derivatives of what is computed here (a gate taken by its
    straight-through derivative); a standard deviation of a pre-activation that is zero counts as constant.
    """
    hidden = len(mean0)
    sd0 = (variance0 @ x.square()).sqrt()
    a, scale0 = _normalised(mean0 @ x + sd0 * noise[:, :hidden], normalise)
    size = a.abs()
    # A gate opens outside of -1 .. 1; its derivative points there from either side, around each edge.
    h, slope = ((size > 1).to(a), a.sign() * ((size > 0.5) & (size < 1.5))) if gate else (a.relu(), (a > 0).to(a))
    sd1 = (h.square() @ variance1.T).sqrt()
    z, scale1 = _normalised(h @ mean1.T + sd1 * noise[:, hidden:], normalise)
    loss = (z.logsumexp(1) - z[:, label]).mean()
    delta = z.softmax(1)
    delta[:, label] -= 1
    delta = _through(delta / len(noise), z, scale1)
    spread = delta * noise[:, hidden:] * _inverse(sd1)
    back = _through((delta @ mean1 + h * (spread @ variance1)) * slope, a, scale0)
    pull = (back * noise[:, :hidden]).sum(0) * _inverse(sd0)
    return loss, [torch.outer(back.sum(0), x), torch.outer(pull, x.square()), delta.T @ h, spread.T @ h.square()]


def _normalised(a: Tensor, wanted: bool) -> tuple[Tensor, Tensor | None]:
    """Layer normalisation without parameters, and its scale."""
    if not wanted:
        return a, None
    a = a - a.mean(1, keepdim=True)
    scale = (a.square().mean(1, keepdim=True) + 1e-5).rsqrt()
    return a * scale, scale


def _through(back: Tensor, a: Tensor, scale: Tensor | None) -> Tensor:
    """A gradient in normalised values `a` as one in those before."""
    if scale is None:
        return back
    return scale * (back - back.mean(1, keepdim=True) - a * (back * a).mean(1, keepdim=True))


def _inverse(sd: Tensor) -> Tensor:
    return torch.where(sd > 0, 1 / sd, 0)


def _descend(rule: OnlineSGD, state: dict[str, Tensor], gradients: list[Tensor]) -> None:
    for layer, gradient in enumerate(gradients):
        weight = state[f"weight{layer}"]
        change = gradient
        if rule.penalty:
            importance, anchor = state[f"importance{layer}"], state[f"anchor{layer}"]
            change = gradient + rule.penalty * importance * (weight - anchor)
            if rule.stream_decay is not None:
                importance.mul_(rule.stream_decay).add_(gradient.square())
                anchor.copy_(weight)
        change = -rule.rate * change
        weight += change
        if f"fisher{layer}" in state:
            state[f"fisher{layer}"] += gradient.square()
        if f"path{layer}" in state:
            state[f"path{layer}"] -= gradient * change


def _mesu(rule: OnlineMESU, state: dict[str, Tensor], gradients: list[Tensor]) -> None:
    forget = 1 / (rule.memory * rule.prior_sigma**2)
    for layer in (0, 1):
        mean, sigma = state[f"mean{layer}"], state[f"sigma{layer}"]
        slopes = gradients[2 * layer : 2 * layer + 2]
        if rule.clamp:
            most = rule.clamp / sigma.abs()
            slopes = [slope.clamp(-most, most) for slope in slopes]
        square = sigma.square()
        mean += rule.mean_rate * square * (forget * (rule.prior_mean - mean) - slopes[0])
        sigma += 0.5 * rule.sigma_rate * (forget * sigma * (rule.prior_sigma**2 - square) - square * slopes[1])


def _bgd(rule: OnlineBGD, state: dict[str, Tensor], gradients: list[Tensor]) -> None:
    for layer in (0, 1):
        mean, sigma = state[f"mean{layer}"], state[f"sigma{layer}"]
        mean -= rule.mean_rate * sigma.square() * gradients[2 * layer]
        u = 0.5 * sigma * gradients[2 * layer + 1]
        root = (1 + u.square()).sqrt()
        # For u > 0 the difference root - u loses what its reciprocal root + u keeps.
        sigma *= 2 - u - root if rule.published_code else torch.where(u > 0, 1 / (root + u.abs()), root - u)


def _bimu(rule: OnlineBiMU, state: dict[str, Tensor], gradients: list[Tensor]) -> None:
    for layer, gradient in enumerate(gradients):
        value = state[f"lambda{layer}"]
        mean = value.tanh()
        g = rule.likelihood * gradient
        s = rule.divergence * (1 - mean.square())
        value -= (rule.rate * g + s * value / rule.memory) / (s + 2 * g * mean + 2 * g.abs() + 1 / rule.largest_rate)
