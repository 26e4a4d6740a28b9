"""The compiled free runs of latent modes; their plain-torch twin is `spinode.surrogates.neural_ode.latent`."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ConfigError
from . import native

#: Slopes are padded to a multiple of this number of columns, the widest register.
PADDING = 8

_MAX_STATE, _MAX_INPUTS = 64, 64


def weight_count(sizes: tuple[int, ...]) -> int:
    """Return the number of weights of a model of (modes, inputs, outputs, drives, hidden, readout, ...)."""
    modes, inputs, outputs, drives, hidden, readout = sizes[:6]
    state = 2 * modes
    potential = 3 * modes + inputs * (state + state * (state + 1) // 2) + hidden * (state + inputs + 2)
    return potential + outputs * (state + readout + drives + 1) + readout * (state + 1)


def run(
    sizes: tuple[int, ...],
    *,
    theta: Tensor,
    core: Tensor,
    state: Tensor,
    stages: Tensor,
    settled: Tensor,
    outputs: Tensor,
    states: Tensor | None = None,
    slopes: Tensor | None = None,
    jacobian: Tensor | None = None,
    limit: float,
) -> bool:
    """Run latent modes freely and write the results in place.

    Args:
        sizes: (modes, inputs, outputs, drives, hidden, readout, substeps).
        theta: Weights, shape (weights,).
        core: Coefficients of the integrator and their slopes, shape (modes, 3, 3, 2).
        state: Initial states, shape (lanes, state); with `slopes`, the state after the last step is written there.
        stages: Inputs at the start and at the end of each step, shape (lanes, steps, 2, inputs).
        settled: Drives to which each sample has responded, shape (lanes, samples, drives).
        outputs: Written, shape (lanes, samples, outputs); samples = steps + 1, or steps with `slopes`.
        states: Written if given, shape (lanes, samples, state).
        slopes: Slopes of the state, continued in place, shape (state, weights + state, padded to a multiple of `PADDING`).
        jacobian: Written with `slopes`, shape (samples, outputs, weights + state); one lane only.
        limit: Magnitude at which state values are clamped; a run with `slopes` ends there.

    Returns:
        False if a run with `slopes` reached the limit.

    Raises:
        ConfigError: shapes or types that the kernel does not take.
    """
    modes, inputs, outs, drives, *_, substeps = sizes
    size, weights = 2 * modes, weight_count(sizes)
    lanes, steps = stages.shape[:2]
    samples, columns = steps + (slopes is None), weights + size
    if min(sizes) < 0 or modes < 1 or outs < 1 or substeps < 1 or size > _MAX_STATE or inputs > _MAX_INPUTS or drives > inputs:
        raise ConfigError(f"the kernel takes at most {_MAX_STATE} state values and {_MAX_INPUTS} inputs; got sizes {sizes}.")
    native.check_tensors(
        torch.float64,
        theta=(theta, (weights,)),
        core=(core, (modes, 3, 3, 2)),
        state=(state, (lanes, size)),
        stages=(stages, (lanes, steps, 2, inputs)),
        settled=(settled, (lanes, samples, drives)),
        outputs=(outputs, (lanes, samples, outs)),
        states=(states, (lanes, samples, size)),
        slopes=(slopes, (size, -(-columns // PADDING) * PADDING)),
        jacobian=(jacobian, (samples, outs, columns)),
    )
    if (slopes is None) != (jacobian is None) or (slopes is not None and lanes != 1):
        raise ConfigError(f"slopes need a Jacobian and one lane; got {lanes} lanes.")
    if slopes is not None and not (state.is_contiguous() and slopes.is_contiguous()):
        raise ConfigError("state and slopes are continued in place; expected contiguous tensors.")
    valid: bool = native.library.latent(
        native.simd(),
        sizes=sizes,
        lanes=lanes,
        steps=steps,
        threads=native.threads(),
        limit=limit,
        theta=_flat(theta),
        core=_flat(core),
        state=_flat(state),
        drive=_flat(stages),
        settled=_flat(settled),
        states=None if states is None else states.view(-1),
        result=outputs.view(-1),
        slopes=None if slopes is None else slopes.view(-1),
        jacobian=None if jacobian is None else jacobian.view(-1),
    )
    return valid


def _flat(value: Tensor) -> Tensor:
    return value.detach().contiguous().view(-1)
