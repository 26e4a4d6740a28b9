"""`rollout`: the free run of a vector field, by the fastest path that takes it."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import kernels
from ..errors import ConfigError
from .field import ChainField
from .integrate import STATE_LIMIT, STEPS, Field, loop
from .layout import Layout, beyond, layout_of, parameters_of, ratios_of, weights_of


def rollout(
    field: Field,
    state: Tensor,
    stages: Tensor,
    *,
    method: str = "rk4",
    dt: float = 1.0,
    noise: Tensor | None = None,
    limit: float = STATE_LIMIT,
    initial: bool = True,
) -> Tensor:
    """Free run of dx/dt = f(x, u) with one step per sample; states are confined to +-`limit` deviations.

    An `MLPField`, alone or on top of a `ChainField`, on the CPU in single or double precision is integrated by a compiled
    kernel (see `spinode.kernels.info` and `spinode.kernels.use`), any other field by a loop in torch. Both are
    differentiable in weights, state, drive and noise; the kernel's gradient is the exact one of the discrete run, and its
    memory that of the states (for short windows at most 4 million values more). The result of a kernel cannot be changed in
    place while it is differentiated. NaN in state, drive or noise stay NaN, as in torch.

    Args:
        field: f(x, u). A field with `members` leads every shape below with them.
        state: x at the first sample, shape (..., state).
        stages: Drives, shape (..., steps, 3, drive); `zero_order_hold` and `linear_interpolation` make them of samples.
        method: "rk4" (classical), "euler" or "heun".
        dt: Length of a step, in the time unit of the field: samples, where it belongs to a surrogate.
        noise: Increments of the noise that each step adds, shape (..., steps, state), of deviation sigma sqrt(dt): the
            scheme of Euler and Maruyama with "euler", the one of Stratonovich with "heun"; with "rk4" they are added after
            the step.
        limit: Bound on the magnitude of every state after a step; `float("inf")` for none.
        initial: Whether the result begins with the initial state. Without it, one step of a million devices returns
            nothing but their new states.

    Returns:
        x at every sample, shape (..., steps + 1, state), or (..., steps, state) without the initial one. Its memory need
        not be contiguous.

    Raises:
        ConfigError: shapes or types that do not belong together, no steps, weights that are NaN or infinite, an unknown
            method; or the mode "native" for a field that the kernels do not take.
    """
    if not isinstance(method, str) or method not in STEPS:
        raise ConfigError(f"method {method!r} is unknown; expected one of {', '.join(STEPS)}.")
    if not (isinstance(dt, (int, float, np.number)) and abs(dt) <= sys.float_info.max):
        raise ConfigError(f"dt is {dt!r}; expected a finite number, e.g. float(dt).")
    if not (isinstance(limit, (int, float, np.number)) and limit > 0):
        raise ConfigError(f"limit is {limit!r}; expected a positive number, float('inf') for none.")
    layout = layout_of(field)
    members = layout.members if isinstance(layout, Layout) else None
    state, stages, noise = _together(state, stages, noise, members)
    bound = float(limit) if limit < sys.float_info.max else math.inf
    settings: dict[str, Any] = {"method": method, "dt": float(dt), "limit": bound, "initial": bool(initial)}
    if isinstance(layout, Layout):
        _check_field(layout, field, state, stages)
        reason = beyond(layout, field) or _unfit(state)
        if not reason and kernels.available():
            theta = weights_of(field, layout)
            return many(layout, theta, ratios_of(field, theta), state, stages, noise, **settings)
    else:
        reason = layout
    if reason and kernels.mode() == "native":
        raise ConfigError(f"the compiled kernels do not take this run: {reason}. Use spinode.kernels.use('auto') or 'torch'.")
    _check_weights(field)
    answer = field if isinstance(layout, Layout) else _answering(field)
    return loop(answer, state, stages, noise=noise, **settings)


def rollouts(fields: Sequence[Field], state: Tensor, stages: Tensor) -> Tensor:
    """Free runs of several fields, as `rollout` with its defaults: in one call of the kernel where they are built alike.

    Args:
        fields: Each f(x, u).
        state: x at the first sample, shape (fields, ..., state).
        stages: Drives of all, shape (..., steps, 3, drive).

    Returns:
        x at every sample, shape (fields, ..., steps + 1, state).

    Raises:
        ConfigError: as `rollout`.
    """
    layout = layout_of(fields[0])
    if isinstance(layout, Layout) and layout.members is None and not _unfit(state) and kernels.available():
        theta = [weights_of(field, layout) for field in fields if layout_of(field) == layout and not beyond(layout, field)]
        ratios = [ratios_of(field, theta[0]) for field in fields] if len(theta) == len(fields) else []
        if ratios and all(torch.equal(other, ratios[0]) for other in ratios):
            state, wide, _ = _together(state, stages.expand(*state.shape[:-1], *stages.shape[-3:]), None, len(fields))
            for field in fields:
                _check_field(layout, field, state, wide)
            return many(replace(layout, members=len(fields)), torch.cat(theta), ratios[0], state, wide)
    return torch.stack([rollout(field, first, stages) for field, first in zip(fields, state, strict=True)])


def _together(state: Tensor, stages: Tensor, noise: Tensor | None, members: int | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """The three over one batch, checked."""
    for name, value, least in (("state", state, 1), ("stages", stages, 3), ("noise", noise, 2)):
        if value is None:
            continue
        if not isinstance(value, Tensor) or not value.dtype.is_floating_point:
            what = f"of type {value.dtype}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise ConfigError(f"{name} is {what}; expected a floating-point tensor, e.g. {name}.double().")
        if value.layout != torch.strided or value.is_nested:
            raise ConfigError(f"{name} is sparse or nested ({value.layout}); expected a plain tensor, e.g. {name}.to_dense().")
        if value.ndim < least:
            raise ConfigError(f"{name} has shape {tuple(value.shape)}; expected at least {least} dimension(s).")
        if value.dtype != state.dtype or value.device != state.device:
            raise ConfigError(
                f"{name} is {value.dtype} on {value.device}, the state {state.dtype} on {state.device}; expected the same, "
                f"e.g. {name}.to(state)."
            )
    if stages.shape[-2] != 3 or stages.shape[-3] < 1:
        raise ConfigError(
            f"stages have shape {tuple(stages.shape)}; expected (..., steps, 3, drive) with at least one step: the drive at "
            "the start, middle and end of each. `spinode.zero_order_hold` and `spinode.linear_interpolation` make them of samples."
        )
    if noise is not None and noise.shape[-2:] != (stages.shape[-3], state.shape[-1]):
        raise ConfigError(
            f"noise has shape {tuple(noise.shape)}; expected (..., {stages.shape[-3]}, {state.shape[-1]}): one increment of "
            "each state for each step of the drive."
        )
    leading = [stages.ndim - 3] + ([] if noise is None else [noise.ndim - 2])
    if members is not None and any(count not in (0, state.ndim - 1) for count in leading):
        raise ConfigError(
            f"the field has {members} members, the state shape {tuple(state.shape)} and the stages {tuple(stages.shape)}; "
            "expected both to lead with the members and the same dimensions after them (of length 1 where all share a value), "
            "or none at all, so that members and batch cannot be taken for each other."
        )
    batches = [state.shape[:-1], stages.shape[:-3], state.shape[:-1] if noise is None else noise.shape[:-2]]
    if batches[0] == batches[1] == batches[2]:
        return state, stages, noise
    try:
        batch = torch.broadcast_shapes(*batches)
    except RuntimeError:
        raise ConfigError(
            f"state, stages and noise are for batches of {', '.join(str(tuple(b)) for b in batches)}; expected shapes that "
            "broadcast together."
        ) from None
    return (
        state.expand(*batch, state.shape[-1]),
        stages.expand(*batch, *stages.shape[-3:]),
        None if noise is None else noise.expand(*batch, *noise.shape[-2:]),
    )


def _check_field(layout: Layout, field: Field, state: Tensor, stages: Tensor) -> None:
    if (state.shape[-1], stages.shape[-1]) != (layout.state, layout.drive):
        raise ConfigError(
            f"the state has {state.shape[-1]} and the drive {stages.shape[-1]} values; the field takes {layout.state} and "
            f"{layout.drive}."
        )
    if layout.members is not None and (state.ndim < 2 or state.shape[0] != layout.members):
        raise ConfigError(
            f"the field has {layout.members} members, the state shape {tuple(state.shape)}; expected ({layout.members}, ..., "
            f"{layout.state})."
        )
    for value in parameters_of(field):
        if value.dtype != state.dtype or value.device != state.device:
            raise ConfigError(
                f"the field is {value.dtype} on {value.device}, the state {state.dtype} on {state.device}; expected the same, "
                "e.g. field.to(state)."
            )


def _unfit(state: Tensor) -> str:
    """Why the kernels do not take a run from a state, "" if they do."""
    if state.device.type != "cpu":
        return f"it is on {state.device}"
    if state.dtype not in (torch.float32, torch.float64):
        return f"its type is {state.dtype}"
    if torch.autograd.forward_ad._current_level >= 0:
        return "it is differentiated in forward mode"
    return ""


def _answering(field: Field) -> Field:
    """A field whose answers are checked: one of the wrong width would be broadcast over the states in silence.

    Raises:
        ConfigError: the field cannot be called.
    """
    if not callable(field):
        raise ConfigError(f"the field is a {type(field).__name__}; expected a module or function of (state, drive).")

    def answer(state: Tensor, drive: Tensor) -> Tensor:
        rates = field(state, drive)
        if not isinstance(rates, Tensor) or rates.shape[-1:] != state.shape[-1:]:
            what = f"shape {tuple(rates.shape)}" if isinstance(rates, Tensor) else f"a {type(rates).__name__}"
            raise ConfigError(f"the field returned {what} for a state of shape {tuple(state.shape)}; expected as many rates.")
        return rates

    return answer


def _check_weights(field: Field) -> None:
    """Refuse weights that are NaN or infinite, where they can be looked at."""
    transformed = torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is not None
    if transformed or not isinstance(field, nn.Module):
        return
    ratios = [("ratios", field.ratios)] if isinstance(field, ChainField) else []
    for name, value in (*field.named_parameters(), *ratios):
        if not value.is_meta and not bool(torch.isfinite(value).all()):
            raise ConfigError(f"the field's weights hold NaN or infinite values ({name}): a diverged fit, or a damaged file?")


def many(
    layout: Layout,
    theta: Tensor,
    ratios: Tensor,
    state: Tensor,
    stages: Tensor,
    noise: Tensor | None = None,
    *,
    method: str = "rk4",
    dt: float = 1.0,
    limit: float = STATE_LIMIT,
    initial: bool = True,
) -> Tensor:
    """The compiled kernel on weights (members, weights); state (members, ..., state) leads with them if there are several."""
    from ..kernels import native
    from . import operators as ops

    batch = state.shape[:-1]
    steps = stages.shape[-3]
    sets = layout.sets

    def lanes(value: Tensor, kept: int) -> Tensor:
        inner = value.shape[value.ndim - kept :]
        return value.reshape(sets, math.prod(batch) // sets, *inner)

    # No tape in compiled or exported programs: how long it is depends on the machine, and where sizes are symbols nobody knows.
    differentiated = (
        torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and any(value is not None and value.requires_grad for value in (theta, state, stages, noise))
    )
    run: Any = ops.rollout if torch._C._functorch.maybe_current_level() is None else ops.Run.apply
    states: Tensor = run(
        theta,
        lanes(state, 1),
        lanes(stages, 3),
        None if noise is None else lanes(noise, 2),
        ratios,
        layout.encode(),
        native.METHODS.index(method),
        dt,
        limit,
        initial,
        differentiated,
    )[0]
    return states.reshape(*batch, steps + initial, layout.state)
