"""Which vector fields the kernels integrate, and their weights as one vector."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as _module

from ..errors import ConfigError
from .field import ACTIVATIONS, ChainField, MemberLinear, MLPField

_PLAIN = (ChainField, MLPField, MemberLinear, nn.Linear)

#: Widest layer and deepest network that the kernels were tested with.
WIDEST, DEEPEST = 1024, 16


@dataclass(frozen=True)
class Layout:
    """An `MLPField`, alone or on top of a `ChainField`, as plain numbers.

    Attributes:
        state: Number of state values.
        drive: Number of drive values.
        rates: Number of rates that the network gives; the state - rates values before them form the chain.
        hidden: Width of each hidden layer.
        activation: Name of the activation.
        skip: Whether there is the linear path.
        members: Number of sets of weights, None for one without a dimension of its own.
    """

    state: int
    drive: int
    rates: int
    hidden: tuple[int, ...]
    activation: str
    skip: bool
    members: int | None = None

    @property
    def sets(self) -> int:
        """Number of sets of weights."""
        return 1 if self.members is None else self.members

    @property
    def weights(self) -> int:
        """Length of theta."""
        widths = [self.state + self.drive, *self.hidden, self.rates]
        total = sum(b * (a + 1) for a, b in itertools.pairwise(widths))
        return total + self.rates * (widths[0] + 1) if self.skip else total

    def encode(self) -> list[int]:
        """As the operators take it."""
        activation = list(ACTIVATIONS).index(self.activation)
        return [self.state, self.drive, self.rates, activation, int(self.skip), *self.hidden]

    @classmethod
    def decode(cls, numbers: list[int], members: int) -> Layout:
        """Inverse of `encode`."""
        state, drive, rates, activation, skip, *hidden = numbers
        return cls(state, drive, rates, tuple(hidden), list(ACTIVATIONS)[activation], bool(skip), members)

    def field(self, theta: Tensor, ratios: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """The field in plain torch as a function of its weights.

        Args:
            theta: Weights, shape (members, weights).
            ratios: Ratios of the chain, shape (state - rates,).

        Returns:
            f(x, u) for shapes (members, lanes, state) and (members, lanes, drive).
        """
        widths = [self.state + self.drive, *self.hidden, self.rates]
        shapes = list(itertools.pairwise(widths)) + ([(widths[0], self.rates)] if self.skip else [])
        pieces = theta.split([b * (a + 1) for a, b in shapes], -1)
        layers = [(p[:, : a * b].unflatten(-1, (b, a)), p[:, None, a * b :]) for p, (a, b) in zip(pieces, shapes, strict=True)]
        act = ACTIVATIONS[self.activation]

        def f(state: Tensor, drive: Tensor) -> Tensor:
            z = values = torch.cat([state, drive], -1)
            for weight, bias in layers[: len(self.hidden)]:
                values = act(torch.baddbmm(bias, values, weight.mT))
            rates = torch.baddbmm(layers[len(self.hidden)][1], values, layers[len(self.hidden)][0].mT)
            if self.skip:
                rates = rates + torch.baddbmm(layers[-1][1], z, layers[-1][0].mT)
            return torch.cat([state[..., self.rates :] * ratios, rates], -1)

        return f


def _linears(top: MLPField) -> list[Any]:
    return [*top.layers, top.out] if top.skip is None else [*top.layers, top.out, top.skip]


def describe(field: object) -> Layout | str:
    """Layout of a field, or why the kernels do not take it.

    Raises:
        ConfigError: an `MLPField` whose layers do not fit together, or not the chain above them.
    """
    layout = layout_of(field)
    return layout if isinstance(layout, str) else beyond(layout, field) or layout


def beyond(layout: Layout, field: object) -> str:
    """Why the kernels do not reach as far as a field of that layout, "" if they do."""
    if max(layout.hidden) > WIDEST or len(layout.hidden) > DEEPEST:
        return f"hidden={layout.hidden} is wider than {WIDEST} or deeper than {DEEPEST}"
    if isinstance(field, ChainField) and field.ratios.requires_grad:
        return "the ratios of its chain are trained"
    return ""


def layout_of(field: object) -> Layout | str:
    """Layout of an `MLPField` or a `ChainField` over one, of any size, or why there is none; raises as `describe`."""
    top, ratios = (field.top, field.ratios) if type(field) is ChainField else (field, None)
    if type(top) is MLPField and top.activation not in ACTIVATIONS:
        raise ConfigError(f"the activation of the field is {top.activation!r}; expected one of {', '.join(ACTIVATIONS)}.")
    if type(top) is not MLPField:
        return f"{type(top).__name__} is no MLPField, nor a ChainField over one"
    linears = _linears(top)
    for module in (top, *linears) if field is top else (field, top, *linears):
        if type(module) not in _PLAIN:
            return f"a layer is a {type(module).__name__}"
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
            return f"{type(module).__name__} has hooks"
        if "forward" in vars(module):
            return f"the forward of a {type(module).__name__} was replaced"
    if _module._global_forward_hooks or _module._global_forward_pre_hooks:
        return "hooks are registered for all modules"
    # Not `layer.weight`, which asks three dictionaries: this runs with every rollout.
    held = [(layer._parameters.get("weight"), layer._parameters.get("bias")) for layer in linears]
    if any(value is None for pair in held for value in pair):
        return "a layer has no bias, or no parameters of its own"
    shapes = [(weight.shape, bias.shape) for weight, bias in held]
    depth = len(linears) - 1 - (top.skip is not None)
    rows = [weight[-2] for weight, _ in shapes[: depth + 1]]
    inputs, rates = shapes[0][0][-1], rows[depth]
    leading = () if top.members is None else (top.members,)
    for pair, row, column in zip(shapes, (*rows, rates), (inputs, *rows[:depth], inputs), strict=False):
        expected = ((*leading, row, column), (*leading, row))
        if pair != expected:
            raise ConfigError(
                f"the layers of the field do not fit together: one has weights {tuple(pair[0])} and a bias {tuple(pair[1])}; "
                f"expected {expected[0]} and {expected[1]}."
            )
    state = rates + (0 if ratios is None else ratios.numel())
    if inputs < state:
        raise ConfigError(f"the network of the field takes {inputs} values, fewer than the {state} of its state.")
    return Layout(state, inputs - state, rates, tuple(rows[:depth]), top.activation, top.skip is not None, top.members)


def parameters_of(field: object) -> list[Tensor]:
    """Weights and biases of a field that has a layout, in the order of `Layout.field`."""
    top = field.top if isinstance(field, ChainField) else field
    assert isinstance(top, MLPField)
    return [layer._parameters[name] for layer in _linears(top) for name in ("weight", "bias")]


def weights_of(field: object, layout: Layout) -> Tensor:
    """The same as one tensor, shape (members, weights)."""
    return torch.cat([value.reshape(layout.sets, -1) for value in parameters_of(field)], -1)


def ratios_of(field: object, weights: Tensor) -> Tensor:
    """Ratios of the chain, empty without one, shape (state - rates,)."""
    return field.ratios.to(weights.dtype) if isinstance(field, ChainField) else torch.empty(0, dtype=weights.dtype)
