"""`fit_read_out`: a linear classifier of features that stay as they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


@torch.enable_grad()
def fit_read_out(
    features: Tensor,
    labels: Tensor,
    classes: int,
    *,
    epochs: int = 50,
    rate: float = 0.1,
    decay: float = 0.9,
    dropout: float = 0.2,
    batch: int = 256,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Fit softmax(W f + b) to labels by Adam on the cross entropy, with dropout of the features.

    Args:
        features: Shape (samples, features), of any floating-point type.
        labels: Classes, shape (samples,).
        classes: Number of classes.
        epochs: Passes over the samples.
        rate: Learning rate of the first pass.
        decay: Factor of the rate after each pass.
        dropout: Share of features that are left out in each step.
        batch: Samples per step.
        generator: Source of initial weights, orders and dropout.

    Returns:
        Weights, shape (classes, features), and biases.

    Example:
        >>> features, labels = torch.eye(3).repeat(20, 1), torch.arange(3).repeat(20)
        >>> generator = torch.Generator().manual_seed(0)
        >>> weight, bias = fit_read_out(features, labels, 3, generator=generator)
        >>> (features @ weight.T + bias).argmax(1).equal(labels)
        True

    Source: the read-out of Liu et al., arXiv:2403.12116 (2024), for one layer.
    """
    limit = features.shape[1] ** -0.5
    weight = nn.Parameter(torch.empty(classes, features.shape[1]).uniform_(-limit, limit, generator=generator))
    bias = nn.Parameter(torch.zeros(classes))
    optimiser = torch.optim.Adam([weight, bias], lr=rate, foreach=True)
    for _ in range(epochs):
        for rows in torch.randperm(len(labels), generator=generator).split(batch):
            inputs = features[rows].float()
            if dropout:
                inputs = inputs * torch.empty_like(inputs).bernoulli_(1 - dropout, generator=generator).div_(1 - dropout)
            loss = functional.cross_entropy(functional.linear(inputs, weight, bias), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        optimiser.param_groups[0]["lr"] *= decay
    return weight.detach(), bias.detach()
