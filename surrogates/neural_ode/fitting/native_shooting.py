"""Gauss-Newton equations of multiple shooting by the compiled kernels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ....dynamics.layout import Layout
from ....errors import ConfigError
from ....kernels import native

#: Largest number of state values that the kernel takes.
MAX_STATE = 64


@dataclass(frozen=True)
class Equations:
    """Sums over all residuals r, with A = d r / d (weights, feedthrough) and B = d r / d initial state of the window.

    Attributes:
        matrix: A' A, shape (size, size).
        gradient: A' r, shape (size,).
        blocks: B' B of each window, shape (windows, state, state); no windows without free initial states.
        coupling: B' A of each window, shape (windows, state, size).
        pull: B' r of each window, shape (windows, state).
    """

    matrix: Tensor
    gradient: Tensor
    blocks: Tensor
    coupling: Tensor
    pull: Tensor


def equations(
    layout: Layout,
    theta: Tensor,
    ratios: Tensor,
    stages: Tensor,
    states: Tensor,
    feedthrough_jacobian: Tensor,
    residuals: Tensor,
    weights: Tensor,
    *,
    free: bool,
    method: str = "rk4",
) -> Equations:
    """Compute the sums by the kernel, in double precision, with one step of a method per sample.

    Args:
        layout: Layout of the field.
        theta: Weights of the field, shape (weights,).
        ratios: Ratios of its chain, from `chain_ratios`.
        stages: Drives, shape (windows, steps, 3, drive).
        states: States of the free runs, shape (windows, steps + 1, state).
        feedthrough_jacobian: d measured state / d feedthrough, shape (windows, steps + 1, state, feedthrough).
        residuals: Weighted residuals, shape (windows, steps, state); read where a weight is not zero.
        weights: Weight of each state value in the residual, shape (state,).
        free: True if the initial states are unknowns.
        method: "rk4", "heun" or "euler".

    Raises:
        ConfigError: shapes or types that the kernel does not take.
    """
    windows, steps = stages.shape[:2]
    state, through = states.shape[-1], feedthrough_jacobian.shape[-1]
    size = layout.weights + through
    native.check_tensors(
        torch.float64,
        theta=(theta, (layout.weights,)),
        ratios=(ratios, (layout.state - layout.rates,)),
        stages=(stages, (windows, steps, 3, layout.drive)),
        states=(states, (windows, steps + 1, layout.state)),
        feedthrough_jacobian=(feedthrough_jacobian, (windows, steps + 1, state, through)),
        residuals=(residuals, (windows, steps, state)),
        weights=(weights, (state,)),
    )
    if layout.members is not None or state > MAX_STATE:
        raise ConfigError(
            f"the field has {state} state values and members={layout.members}; expected at most {MAX_STATE} and one member."
        )
    theta = theta.contiguous()
    results = Equations(
        theta.new_empty(size, size),
        theta.new_empty(size),
        theta.new_empty(windows if free else 0, state, state),
        theta.new_empty(windows if free else 0, state, size),
        theta.new_empty(windows if free else 0, state),
    )
    native.library.shooting(
        native.simd(),
        layout=layout.encode(),
        method=native.METHODS.index(method),
        ratios=ratios.tolist(),
        threads=native.threads(),
        theta=theta.detach(),
        stages=stages.detach(),
        states=states.detach(),
        jacobian=feedthrough_jacobian.detach(),
        residuals=residuals.detach(),
        weights=weights.tolist(),
        matrix=results.matrix,
        gradient=results.gradient,
        blocks=results.blocks if free else None,
        coupling=results.coupling if free else None,
        pull=results.pull if free else None,
    )
    results.matrix.copy_(results.matrix.tril() + results.matrix.tril(-1).T)
    return results
