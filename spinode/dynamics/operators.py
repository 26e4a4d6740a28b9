"""The rollout kernels as operators of torch: one node for `torch.compile` and `torch.export`, differentiable, with `vmap`.

Shapes: theta (members, weights), state (members, lanes, state), stages (members, lanes, steps, 3, drive), noise (members,
lanes, steps, state), states (members, lanes, steps + 1, state), or (members, lanes, steps, state) if `initial` is False.
Layout and method are numbers, see `spinode.kernels.field_encoding`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError
from ..kernels import native
from .integrate import STEPS, torch_rollout
from .layout import Layout

assert set(native.METHODS) == set(STEPS)

#: Largest number of values of a tape. Writing and reading a longer one takes more time than evaluating the stages again.
MAX_TAPE = 4_000_000


# Defined by schema: `torch.library.custom_op` adds a tenth of a millisecond to every call.
torch.library.define(
    "spinode::rollout",
    "(Tensor theta, Tensor state, Tensor stages, Tensor? noise, Tensor ratios, int[] layout, int method, float dt, "
    "float limit, bool initial, bool keep) -> (Tensor, Tensor)",
)
torch.library.define(
    "spinode::rollout_backward",
    "(Tensor grad, Tensor theta, Tensor state, Tensor stages, Tensor? noise, Tensor ratios, Tensor states, Tensor tape, "
    "int[] layout, int method, float dt, float limit, bool initial, bool[] needed) -> (Tensor, Tensor, Tensor, Tensor)",
)
rollout = torch.ops.spinode.rollout.default
rollout_backward = torch.ops.spinode.rollout_backward.default


@torch.library.impl("spinode::rollout", "CPU")
def _forward(
    theta: Tensor,
    state: Tensor,
    stages: Tensor,
    noise: Tensor | None,
    ratios: Tensor,
    layout: list[int],
    method: int,
    dt: float,
    limit: float,
    initial: bool,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """Return the states of a free run, see `spinode.rollout`, and a tape for the gradient.

    The tape is empty if `keep` is False or if it would be too long.
    """
    states, tape = _empty_results(state, stages, layout, method, initial, keep)
    native.run_rollout(layout, ratios, method, dt, limit, theta.contiguous(), state, stages, noise, states, tape, initial)
    return states, tape


def _empty_results(
    state: Tensor, stages: Tensor, layout: list[int], method: int, initial: bool, keep: bool
) -> tuple[Tensor, Tensor]:
    members, lanes, steps = stages.shape[:3]
    length = 0
    # Only the compiled code knows the length of a tape; where sizes are symbols (`torch.export`), there is none.
    if keep and all(isinstance(size, int) for size in (members, lanes, steps)):
        length = native.tape_length(layout, method, state.dtype == torch.float64, (members, lanes, steps))
    states = state.new_empty(members, steps + initial, state.shape[-1], lanes).permute(0, 3, 1, 2)
    return states, state.new_empty(length if length <= MAX_TAPE else 0)


@torch.library.register_fake("spinode::rollout")
def _(theta, state, stages, noise, ratios, layout, method, dt, limit, initial, keep):  # type: ignore[no-untyped-def]
    return _empty_results(state, stages, layout, method, initial, keep)


@torch.library.impl("spinode::rollout_backward", "CPU")
def _gradient(
    grad: Tensor,
    theta: Tensor,
    state: Tensor,
    stages: Tensor,
    noise: Tensor | None,
    ratios: Tensor,
    states: Tensor,
    tape: Tensor,
    layout: list[int],
    method: int,
    dt: float,
    limit: float,
    initial: bool,
    needed: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the exact gradient of the discrete run; empty tensors where it is not needed."""
    results = _empty_gradients(theta, state, stages, noise, needed)
    theta = theta.contiguous()
    native.run_rollout(layout, ratios, method, dt, limit, theta, state, stages, noise, states, tape, initial, (grad, *results))
    return results


def _empty_gradients(
    theta: Tensor, state: Tensor, stages: Tensor, noise: Tensor | None, needed: list[bool]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    members, lanes, steps, _, drive = stages.shape
    size = state.shape[-1]
    empty = [state.new_empty(0) for _ in range(4)]
    return (
        theta.new_empty(theta.shape) if needed[0] else empty[0],
        state.new_empty(members, size, lanes).permute(0, 2, 1) if needed[1] else empty[1],
        stages.new_empty(members, steps, 3, drive, lanes).permute(0, 4, 1, 2, 3) if needed[2] else empty[2],
        state.new_empty(members, steps, size, lanes).permute(0, 3, 1, 2) if needed[3] and noise is not None else empty[3],
    )


@torch.library.register_fake("spinode::rollout_backward")
def _(grad, theta, state, stages, noise, ratios, states, tape, layout, method, dt, limit, initial, needed):  # type: ignore[no-untyped-def]
    return _empty_gradients(theta, state, stages, noise, needed)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    theta, state, stages, noise, ratios, *ctx.settings, _ = inputs
    ctx.save_for_backward(theta, state, stages, noise, ratios, *output)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grad: Tensor | None, _: Tensor | None, operator: Any = rollout_backward) -> tuple[Any, ...]:
    if grad is None:
        return (None,) * 11
    needed = list(ctx.needs_input_grad[:4])
    results = operator(grad, *ctx.saved_tensors, *ctx.settings, needed)
    gradients = [value if keep else None for value, keep in zip(results, needed, strict=True)]
    return (*gradients, *[None] * 7)


torch.library.register_autograd("spinode::rollout", _backward, setup_context=_save)


def _save_twice(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    grad, theta, state, stages, noise, ratios, _, _, *ctx.settings = inputs
    ctx.save_for_backward(grad, theta, state, stages, noise, ratios)


def _backward_twice(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
    """Return the second derivatives, by torch's own differentiation of the plain run."""
    *settings, needed = ctx.settings
    grad, theta, state, stages, noise, ratios = ctx.saved_tensors
    inputs = (theta, state, stages) if noise is None else (theta, state, stages, noise)

    def run(theta: Tensor, state: Tensor, stages: Tensor, noise: Tensor | None = None) -> Tensor:
        return rollout_twin(theta, state, stages, noise, ratios, *settings)

    def first(grad: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        pull: Any = torch.func.vjp(run, *inputs)[1]
        return tuple(value for value, keep in zip(pull(grad), needed, strict=False) if keep)

    pull: Any = torch.func.vjp(first, grad, *inputs)[1]
    pairs = [(g, v) for g, v, keep in zip(gradients, inputs, needed, strict=False) if keep]
    second = pull(tuple(torch.zeros_like(v) if g is None else g for g, v in pairs))
    return (*second, *([None] if noise is None else []), *[None] * 9)


torch.library.register_autograd("spinode::rollout_backward", _backward_twice, setup_context=_save_twice)


def rollout_twin(
    theta: Tensor,
    state: Tensor,
    stages: Tensor,
    noise: Tensor | None,
    ratios: Tensor,
    layout: list[int],
    method: int,
    dt: float,
    limit: float,
    initial: bool,
) -> Tensor:
    """Run the field in plain torch: the twin of `rollout`."""
    field = Layout.decode(layout, len(theta)).field(theta, ratios)
    return torch_rollout(field, state, stages, method=native.METHODS[method], dt=dt, noise=noise, limit=limit, initial=initial)


def _batch_first(value: Tensor | None, dim: int | None, size: int) -> Tensor | None:
    """Move the batched dimension to the front; expand a tensor that has none."""
    if value is None:
        return None
    return value.expand(size, *value.shape) if dim is None else value.movedim(dim, 0)


def _vmap(info: Any, in_dims: Any, theta, state, stages, noise, ratios, *settings, operator: Any = rollout):  # type: ignore[no-untyped-def]
    settings = (*settings[:-1], False)  # without a tape: its tiles are not numbered like the batch
    if in_dims[4] is not None:
        raise ConfigError("torch.func.vmap over the ratios of a chain is not supported; use spinode.kernels.use('torch').")
    size = info.batch_size
    batched = zip((state, stages, noise), in_dims[1:4], strict=True)
    state, stages, noise = (_batch_first(value, dim, size) for value, dim in batched)
    if in_dims[0] is None:
        # One set of weights: the batch joins the lanes.
        lanes = state.shape[2]
        folded = [None if v is None else v.transpose(0, 1).flatten(1, 2) for v in (state, stages, noise)]
        states, tape = operator(theta, *folded, ratios, *settings)
        return (states.unflatten(1, (size, lanes)), tape), (1, None)
    theta = theta.movedim(in_dims[0], 0)
    members = theta.shape[1]
    theta = theta.flatten(0, 1)
    folded = [None if v is None else v.flatten(0, 1) for v in (state, stages, noise)]
    states, tape = operator(theta, *folded, ratios, *settings)
    return (states.unflatten(0, (size, members)), tape), (0, None)


def _vmap_backward(info: Any, in_dims: Any, *args: Any, operator: Any = rollout_backward) -> Any:
    """Run each element of the batch as a member, which has its own gradient in the weights."""
    ratios, tape, settings = args[5], args[7], args[8:]
    tensors = [_batch_first(value, dim, info.batch_size) for value, dim in zip(args[:7], in_dims[:7], strict=True)]
    members = tensors[1].shape[1]  # type: ignore[union-attr]
    folded = [None if v is None else v.flatten(0, 1) for v in tensors]
    gradients = operator(*folded[:5], ratios, folded[6], tape.new_empty(0), *settings)
    split = tuple(v.unflatten(0, (info.batch_size, members)) if v.numel() else v for v in gradients)
    return split, tuple(0 if v.numel() else None for v in gradients)


class RolloutFunction(torch.autograd.Function):
    """`rollout` for the transforms of `torch.func`, which do not accept an operator with a registered gradient."""

    @staticmethod
    def forward(*args: Any) -> Any:
        """Call `rollout`."""
        return rollout(*args)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save the tensors that the gradient needs."""
        _save(ctx, inputs, output)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Any, tape: Any) -> Any:
        """Compute the gradient by `rollout_backward`."""
        return _backward(ctx, grad, tape, operator=RolloutBackwardFunction.apply)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """Fold the batch into the members or the lanes."""
        return _vmap(info, in_dims, *args, operator=RolloutFunction.apply)


class RolloutBackwardFunction(torch.autograd.Function):
    """`rollout_backward` for the transforms of `torch.func`."""

    @staticmethod
    def forward(*args: Any) -> Any:
        """Call `rollout_backward`."""
        return rollout_backward(*args)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save the tensors that the second derivatives need."""
        _save_twice(ctx, inputs, output)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Compute second derivatives in plain torch."""
        return _backward_twice(ctx, *grads)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """Fold the batch into the members."""
        return _vmap_backward(info, in_dims, *args, operator=RolloutBackwardFunction.apply)


if hasattr(
    torch.library, "register_vmap"
):  # from torch 2.5 on; before that, torch.func.vmap reports that the operator has no rule
    torch.library.register_vmap("spinode::rollout", _vmap)
    torch.library.register_vmap("spinode::rollout_backward", _vmap_backward)
