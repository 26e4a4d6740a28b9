"""Weights of a network as one NumPy vector, for optimisers of SciPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...typing import Array


def as_tensor(values: Array) -> Tensor:
    """Return an array as a tensor; contiguous arrays share their memory."""
    return torch.from_numpy(np.ascontiguousarray(values))


def flatten(weights: Sequence[Tensor]) -> Array:
    """Return all weights in one vector."""
    return np.concatenate([weight.detach().numpy().ravel() for weight in weights])


def assign(weights: Sequence[Tensor], flat: Array) -> None:
    """Set the weights from a vector, in place."""
    position = 0
    with torch.no_grad():
        for weight in weights:
            weight.copy_(as_tensor(flat[position : position + weight.numel()]).reshape(weight.shape))
            position += weight.numel()


def flat_gradient(weight: Tensor) -> Array:
    """Return the gradient of a weight as a vector; zero if there is none."""
    return np.asarray(weight.grad.numpy().ravel() if weight.grad is not None else np.zeros(weight.numel()))
