"""`rollout`: the free run of a vector field, in a compiled kernel where it supports the field and in plain torch otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .. import kernels
from ..errors import ConfigError
from ..tensors import all_finite, has_values
from ..validation import number, one_of
from .field import ChainField
from .integrate import STATE_LIMIT, STEPS, Field, torch_rollout
from .layout import Layout, chain_ratios, field_layout, field_parameters, kernel_limits, packed_weights


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
    """Run dx/dt = f(x, u) freely, with one step per sample; states are confined to +-`limit`.

    An `MLPField`, alone or as the top of a `ChainField`, is integrated by a compiled kernel on the CPU in single or double
    precision (see `spinode.kernels.info` and `spinode.kernels.use`), any other field by a loop in torch. Both are
    differentiable in weights, state, drive and noise. The kernel's gradient is the exact gradient of the discrete run; it
    needs the memory of the states, and up to 4 million values more for short runs. Do not change the result in place while
    it is differentiated. NaN in state, drive or noise stay NaN, as in torch.

    Args:
        field: f(x, u). The shapes below begin with the members of a field that has some.
        state: x at the first sample, shape (..., state).
        stages: Drives, shape (..., steps, 3, drive), from `zero_order_hold` or `linear_interpolation` of samples.
        method: "rk4" (classical), "euler" or "heun".
        dt: Length of a step, in the time unit of the field: samples, for the field of a surrogate.
        noise: Increments of the noise in each step, shape (..., steps, state), of standard deviation sigma sqrt(dt): the
            Euler-Maruyama scheme with "euler", the Stratonovich scheme with "heun"; with "rk4" they are added after the step.
        limit: Bound on the magnitude of every state after a step; `float("inf")` for none.
        initial: Begin the result with the initial state. Without it, one step of a million devices returns only their new
            states.

    Returns:
        x at every sample, shape (..., steps + 1, state), or (..., steps, state) if `initial` is False; not always contiguous.

    Raises:
        ConfigError: shapes or types that do not fit together, no steps, weights that are NaN or infinite, an unknown method,
            or the mode "native" for a field that the kernels do not support.

    Example:
        >>> from spinode import zero_order_hold
        >>> drive = torch.zeros(2, 1, dtype=torch.float64)
        >>> decay = rollout(lambda x, u: -x, torch.ones(1, dtype=torch.float64), zero_order_hold(drive), dt=0.1)
        >>> decay.squeeze(-1)  # 1, exp(-0.1), exp(-0.2)
        tensor([1.0000, 0.9048, 0.8187], dtype=torch.float64)
    """
    one_of("method", method, STEPS)
    dt = number("dt", dt)
    limit = number("limit", limit, 0, above=True, finite=False)
    layout = field_layout(field)
    members = layout.members if isinstance(layout, Layout) else None
    state, stages, noise = _broadcast(state, stages, noise, members)
    settings: dict[str, Any] = {"method": method, "dt": dt, "limit": limit, "initial": bool(initial)}
    if isinstance(layout, Layout):
        _check_field(layout, field, state, stages)
        reason = kernel_limits(layout, field) or _unsupported(state)
        if not reason and kernels.available():
            theta = packed_weights(field, layout)
            return native_rollout(layout, theta, chain_ratios(field, theta), state, stages, noise, **settings)
    else:
        reason = layout
    if reason and kernels.mode() == "native":
        raise ConfigError(f"the compiled kernels do not take this run: {reason}. Use spinode.kernels.use('auto') or 'torch'.")
    _check_weights(field)
    checked = field if isinstance(layout, Layout) else _with_checked_rates(field)
    return torch_rollout(checked, state, stages, noise=noise, **settings)


def rollouts(fields: Sequence[Field], state: Tensor, stages: Tensor) -> Tensor:
    """Run several fields freely, as `rollout` with its defaults; in one call of the kernel if they have one layout.

    Args:
        fields: Vector fields f(x, u).
        state: x at the first sample, shape (fields, ..., state).
        stages: Drives, the same for all fields, shape (..., steps, 3, drive).

    Returns:
        x at every sample, shape (fields, ..., steps + 1, state).

    Raises:
        ConfigError: as `rollout`.
    """
    layout = field_layout(fields[0])
    if isinstance(layout, Layout) and layout.members is None and not _unsupported(state) and kernels.available():
        alike = [field for field in fields if field_layout(field) == layout and not kernel_limits(layout, field)]
        theta = [packed_weights(field, layout) for field in alike]
        ratios = [chain_ratios(field, theta[0]) for field in fields] if len(theta) == len(fields) else []
        if ratios and all(has_values(other) and torch.equal(other, ratios[0]) for other in ratios[1:]):
            state, expanded, _ = _broadcast(state, stages.expand(*state.shape[:-1], *stages.shape[-3:]), None, len(fields))
            for field in fields:
                _check_field(layout, field, state, expanded)
            return native_rollout(replace(layout, members=len(fields)), torch.cat(theta), ratios[0], state, expanded)
    return torch.stack([rollout(field, first, stages) for field, first in zip(fields, state, strict=True)])


def _broadcast(
    state: Tensor, stages: Tensor, noise: Tensor | None, members: int | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Check state, stages and noise, and expand them over one batch."""
    for name, value, dimensions in (("state", state, 1), ("stages", stages, 3), ("noise", noise, 2)):
        if value is None:
            continue
        if not isinstance(value, Tensor) or not value.dtype.is_floating_point:
            got = f"of type {value.dtype}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise ConfigError(f"{name} is {got}; expected a floating-point tensor, e.g. {name}.double().")
        if value.layout != torch.strided or value.is_nested:
            raise ConfigError(f"{name} is sparse or nested ({value.layout}); expected a plain tensor, e.g. {name}.to_dense().")
        if value.ndim < dimensions:
            raise ConfigError(f"{name} has shape {tuple(value.shape)}; expected at least {dimensions} dimension(s).")
        if value.dtype != state.dtype or value.device != state.device:
            raise ConfigError(
                f"{name} is {value.dtype} on {value.device}, the state {state.dtype} on {state.device}; expected the same, "
                f"e.g. {name}.to(state)."
            )
    if stages.shape[-2] != 3 or stages.shape[-3] < 1:
        raise ConfigError(
            f"stages have shape {tuple(stages.shape)}; expected (..., steps, 3, drive) with at least one step: the drive at "
            "the start, middle and end of each. Pass spinode.zero_order_hold(drive) or spinode.linear_interpolation(drive)."
        )
    if noise is not None and noise.shape[-2:] != (stages.shape[-3], state.shape[-1]):
        raise ConfigError(
            f"noise has shape {tuple(noise.shape)}; expected (..., {stages.shape[-3]}, {state.shape[-1]}): one increment per "
            "state and step."
        )
    leading = [stages.ndim - 3] + ([] if noise is None else [noise.ndim - 2])
    if members is not None and any(count not in (0, state.ndim - 1) for count in leading):
        raise ConfigError(
            f"the field has {members} members, the state shape {tuple(state.shape)} and the stages {tuple(stages.shape)}; "
            "expected both to begin with the members and to have the same dimensions after them (of length 1 where all share a "
            "value), or neither, so that members and batch cannot be confused."
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
    for value in field_parameters(field):
        if value.dtype != state.dtype or value.device != state.device:
            raise ConfigError(
                f"the field is {value.dtype} on {value.device}, the state {state.dtype} on {state.device}; expected the same, "
                "e.g. field.to(state)."
            )


def _unsupported(state: Tensor) -> str:
    """Return the reason why the kernels do not take a run from this state, "" if they do."""
    if state.device.type != "cpu":
        return f"it is on {state.device}"
    if state.dtype not in (torch.float32, torch.float64):
        return f"its type is {state.dtype}"
    if torch.autograd.forward_ad._current_level >= 0:
        return "it is differentiated in forward mode"
    return ""


def _with_checked_rates(field: Field) -> Field:
    """Return the field with a check of its rates: rates of another width would be broadcast over the states silently.

    Raises:
        ConfigError: the field cannot be called.
    """
    if not callable(field):
        raise ConfigError(f"the field is a {type(field).__name__}; expected a module or function of (state, drive).")

    def checked(state: Tensor, drive: Tensor) -> Tensor:
        rates = field(state, drive)
        if not isinstance(rates, Tensor) or rates.shape[-1:] != state.shape[-1:]:
            got = f"shape {tuple(rates.shape)}" if isinstance(rates, Tensor) else f"a {type(rates).__name__}"
            raise ConfigError(
                f"the field returned {got} for a state of shape {tuple(state.shape)}; expected one rate per state."
            )
        return rates

    return checked


def _check_weights(field: Field) -> None:
    """Raise a `ConfigError` for weights that are NaN or infinite, as far as they can be seen."""
    if not isinstance(field, nn.Module):
        return
    ratios = [("ratios", field.ratios)] if isinstance(field, ChainField) else []
    for name, value in (*field.named_parameters(), *ratios):
        if not all_finite(value):
            raise ConfigError(
                f"the field's weights contain NaN or infinite values ({name}): a diverged fit, or a damaged file?"
            )


def native_rollout(
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
    """Run the compiled kernel.

    Args:
        layout: Layout of the field.
        theta: Its weights, shape (members, weights).
        ratios: Ratios of its chain, shape (state - rates,).
        state: Shape (..., state), beginning with the members if the layout has them.
        stages: Shape (..., steps, 3, drive), of the same batch as the state.
        noise: Shape (..., steps, state), of the same batch as the state.
        method: As for `rollout`.
        dt: As for `rollout`.
        limit: As for `rollout`.
        initial: As for `rollout`.
    """
    from ..kernels import native
    from . import operators as ops

    batch = state.shape[:-1]
    steps = stages.shape[-3]
    sets = layout.weight_sets

    def lanes(value: Tensor, inner_dims: int) -> Tensor:
        inner = value.shape[value.ndim - inner_dims :]
        return value.reshape(sets, math.prod(batch) // sets, *inner)

    # No tape in compiled or exported programs: its length depends on the machine, and is unknown where sizes are symbols.
    differentiated = (
        torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and any(value is not None and value.requires_grad for value in (theta, state, stages, noise))
    )
    run: Any = ops.rollout if torch._C._functorch.maybe_current_level() is None else ops.RolloutFunction.apply
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
