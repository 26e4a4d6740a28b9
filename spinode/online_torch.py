"""The updates of `spinode.online` in plain torch: the oracle of the compiled ones, and what runs where nothing was compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .online import OnlineBGD, OnlineMESU, OnlineRule, OnlineSGD


def learn(
    rule: OnlineRule, state: dict[str, Tensor], inputs: Tensor, labels: Tensor, noise: Tensor | None
) -> tuple[Tensor, int]:
    """Learn sample after sample, in place.

    Returns:
        Loss of each step, and the step at which it was not finite, where learning ended; the number of steps if there is none.
    """
    from .online import OnlineBGD, OnlineMESU, OnlineSGD

    losses = inputs.new_zeros(len(inputs))
    for step, (x, label) in enumerate(zip(inputs, labels.tolist(), strict=True)):
        if isinstance(rule, OnlineSGD):
            losses[step], gradients = point_gradients(state["weight0"], state["weight1"], x, label)
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
    """Mean loss over the draws, and its gradients in mean and sigma of the first layer, then of the second.

    At a fixed noise (samples, hidden + classes) they are the derivatives of what is computed here; a standard deviation of a
    pre-activation that is zero counts as constant.
    """
    hidden = len(mean0)
    squares = sigma1.square()
    sd0 = (sigma0.square() @ x.square()).sqrt()
    a = mean0 @ x + sd0 * noise[:, :hidden]
    h = a.relu()
    sd1 = (h.square() @ squares.T).sqrt()
    z = h @ mean1.T + sd1 * noise[:, hidden:]
    loss = (z.logsumexp(1) - z[:, label]).mean()
    delta = z.softmax(1)
    delta[:, label] -= 1
    delta /= len(noise)
    spread = delta * noise[:, hidden:] * _inverse(sd1)
    back = (delta @ mean1 + h * (spread @ squares)) * (a > 0)
    pull = (back * noise[:, :hidden]).sum(0) * _inverse(sd0)
    return loss, [
        torch.outer(back.sum(0), x),
        torch.outer(pull, x.square()) * sigma0,
        delta.T @ h,
        (spread.T @ h.square()) * sigma1,
    ]


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
