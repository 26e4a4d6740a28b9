"""Loss and gradients of one sample in the two-layer perceptron, in plain torch: the oracle of the compiled loop."""

from __future__ import annotations

import torch
from torch import Tensor


def point_gradients(first: Tensor, second: Tensor, x: Tensor, label: int) -> tuple[Tensor, list[Tensor]]:
    """Return the loss and its gradients with respect to the weights of both layers.

    Args:
        first: Weights of the hidden layer, shape (hidden, features).
        second: Weights of the output layer, shape (classes, hidden).
        x: One sample, shape (features,).
        label: Its class.
    """
    a = first @ x
    h = a.relu()
    z = second @ h
    delta = z.softmax(0)
    loss = z.logsumexp(0) - z[label]
    delta[label] -= 1
    back = (second.T @ delta) * (a > 0)
    return loss, [torch.outer(back, x), torch.outer(delta, h)]


def sampled_gradients(
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
    """Return the mean loss over draws of the weights and its gradients, by local reparameterisation.

    At fixed noise the gradients are the derivatives of what is computed here; a gate uses its straight-through derivative. A
    standard deviation of a pre-activation that is zero counts as constant.

    Args:
        mean0: Means of the hidden layer's weights, shape (hidden, features).
        variance0: Their variances.
        mean1: Means of the output layer's weights, shape (classes, hidden).
        variance1: Their variances.
        x: One sample, shape (features,).
        label: Its class.
        noise: Standard normal numbers, shape (samples, hidden + classes).
        gate: Use the gate as activation instead of ReLU, see `OnlineBiMU`.
        normalise: Normalise the pre-activations of each layer over its units.

    Returns:
        The loss; gradients with respect to the means and twice those with respect to the variances, hidden layer first.
    """
    hidden = len(mean0)
    sd0 = (variance0 @ x.square()).sqrt()
    a, scale0 = _layer_norm(mean0 @ x + sd0 * noise[:, :hidden], normalise)
    size = a.abs()
    # A gate opens outside of -1 .. 1; its derivative points there from either side, around each edge.
    h, slope = ((size > 1).to(a), a.sign() * ((size > 0.5) & (size < 1.5))) if gate else (a.relu(), (a > 0).to(a))
    sd1 = (h.square() @ variance1.T).sqrt()
    z, scale1 = _layer_norm(h @ mean1.T + sd1 * noise[:, hidden:], normalise)
    loss = (z.logsumexp(1) - z[:, label]).mean()
    delta = z.softmax(1)
    delta[:, label] -= 1
    delta = _layer_norm_backward(delta / len(noise), z, scale1)
    delta_sd1 = delta * noise[:, hidden:] * _inverse_or_zero(sd1)
    back = _layer_norm_backward((delta @ mean1 + h * (delta_sd1 @ variance1)) * slope, a, scale0)
    delta_sd0 = (back * noise[:, :hidden]).sum(0) * _inverse_or_zero(sd0)
    return loss, [torch.outer(back.sum(0), x), torch.outer(delta_sd0, x.square()), delta.T @ h, delta_sd1.T @ h.square()]


def _layer_norm(a: Tensor, enabled: bool) -> tuple[Tensor, Tensor | None]:
    """Return layer-normalised values, without parameters, and their scale; `a` and None if not enabled."""
    if not enabled:
        return a, None
    a = a - a.mean(1, keepdim=True)
    scale = (a.square().mean(1, keepdim=True) + 1e-5).rsqrt()
    return a * scale, scale


def _layer_norm_backward(back: Tensor, a: Tensor, scale: Tensor | None) -> Tensor:
    """Return the gradient before the normalisation, given that after it and the normalised values `a`."""
    if scale is None:
        return back
    return scale * (back - back.mean(1, keepdim=True) - a * (back * a).mean(1, keepdim=True))


def _inverse_or_zero(sd: Tensor) -> Tensor:
    return torch.where(sd > 0, 1 / sd, 0)
