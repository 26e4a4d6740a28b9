"""Laplace approximation of the posterior of the weights in which the network is linear."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ... import kernels
from ...typing import Array
from . import kalman
from .flat_weights import as_tensor
from .state_space_fit import RIDGE, StateFit


def weight_covariance(fit: StateFit) -> Array:
    """Return the posterior covariance of `fit.drift.linear_weights`, everything else fixed, shape (weights, weights)."""
    steps = fit.steps()
    noise = fit.variances(steps)
    columns = last_layer_columns(fit)
    matrix, _ = kalman.information(steps, noise, kalman.run(steps, noise), columns)
    return np.asarray(np.linalg.inv(matrix.sum(0) + RIDGE * np.eye(len(columns))))


def last_layer_columns(fit: StateFit) -> Array:
    """Return the derivatives of each step's drift in the weights in which the network is linear.

    Returns:
        Shape (weights, reads - 1, lanes), in the order of `fit.drift.linear_weights`.
    """
    drift, data = fit.drift, fit.data
    field = drift.field
    hidden: list[Tensor] = []
    inputs: list[Tensor] = []
    hooks = [field.out.register_forward_hook(lambda module, given, result: hidden.append(given[0].detach()))]
    hooks.append(field.skip.register_forward_hook(lambda module, given, result: inputs.append(given[0].detach())))  # type: ignore[union-attr]
    state = as_tensor(fit.reference[:-1])
    lanes = as_tensor(fit.latents[data.group]).expand(*state.shape, -1)
    bias = field.out.bias.detach().clone()
    with torch.no_grad(), kernels.use("torch"):
        fit.changes(state, lanes, as_tensor(fit.first()).expand(state.shape))
        field.out.bias.add_(1e-6)
        above = fit.changes(state, lanes, as_tensor(fit.first()).expand(state.shape))
        field.out.bias.sub_(2e-6)
        below = fit.changes(state, lanes, as_tensor(fit.first()).expand(state.shape))
        field.out.bias.copy_(bias)
    for hook in hooks:
        hook.remove()
    slope = (above - below) / 2e-6
    # The last evaluation of the unshifted call: that of the midpoint, where steps have several pulses.
    index = len(hidden) // 3 - 1
    rows = [hidden[index].reshape(-1, hidden[index].shape[-1]).T, torch.ones(1, slope.numel(), dtype=torch.float64)]
    rows.append(inputs[index].reshape(-1, inputs[index].shape[-1]).T)
    columns = torch.cat(rows).reshape(-1, *slope.shape) * slope
    return np.asarray(columns.numpy())
