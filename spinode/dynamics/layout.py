"""The vector fields that the kernels integrate, described by plain numbers, and their weights as one vector."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as _module

from ..errors import ConfigError
from ..kernels import field_encoding
from ..kernels.field_encoding import MAX_DEPTH, MAX_WIDTH
from .field import ACTIVATIONS, ChainField, MemberLinear, MLPField

_SUPPORTED = (ChainField, MLPField, MemberLinear, nn.Linear)

assert tuple(ACTIVATIONS) == field_encoding.ACTIVATIONS


@dataclass(frozen=True)
class Layout:
    """An `MLPField`, alone or as the top of a `ChainField`, as plain numbers.

    Attributes:
        state: Number of state values.
        drive: Number of drive values.
        rates: Number of rates that the network returns; the state - rates values before them form the chain.
        hidden: Width of each hidden layer.
        activation: Name of the activation.
        skip: True if there is the linear path.
        members: Number of sets of weights; None for one set without a dimension of its own.
    """

    state: int
    drive: int
    rates: int
    hidden: tuple[int, ...]
    activation: str
    skip: bool
    members: int | None = None

    @property
    def weight_sets(self) -> int:
        """Number of sets of weights."""
        return 1 if self.members is None else self.members

    @property
    def weights(self) -> int:
        """Number of weights and biases in a set."""
        return field_encoding.weight_count(self.state, self.drive, self.rates, self.hidden, self.skip)

    def encode(self) -> list[int]:
        """Return the numbers that the operators take, see `spinode.kernels.field_encoding`."""
        activation = field_encoding.ACTIVATIONS.index(self.activation)
        return [self.state, self.drive, self.rates, activation, int(self.skip), *self.hidden]

    @classmethod
    def decode(cls, numbers: list[int], members: int) -> Layout:
        """Return the layout of encoded numbers; the inverse of `encode`."""
        state, drive, rates, activation, skip, *hidden = numbers
        return cls(state, drive, rates, tuple(hidden), field_encoding.ACTIVATIONS[activation], bool(skip), members)

    def field(self, theta: Tensor, ratios: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the field in plain torch, as a function of its weights.

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


def _linear_layers(top: MLPField) -> list[Any]:
    return [*top.layers, top.out] if top.skip is None else [*top.layers, top.out, top.skip]


def kernel_layout(field: object) -> Layout | str:
    """Return the layout of a field, or the reason why the kernels do not take it.

    Raises:
        ConfigError: an `MLPField` whose layers do not fit together, or do not fit the chain.
    """
    layout = field_layout(field)
    return layout if isinstance(layout, str) else kernel_limits(layout, field) or layout


def kernel_limits(layout: Layout, field: object) -> str:
    """Return the reason why the kernels do not take a field of this layout, "" if they do."""
    if max(layout.hidden) > MAX_WIDTH or len(layout.hidden) > MAX_DEPTH:
        return f"hidden={layout.hidden} is wider than {MAX_WIDTH} or deeper than {MAX_DEPTH}"
    if isinstance(field, ChainField) and field.ratios.requires_grad:
        return "the ratios of its chain are trained"
    return ""


def field_layout(field: object) -> Layout | str:
    """Return the layout of an `MLPField` or a `ChainField` over one, of any size, or the reason why there is none.

    Raises:
        ConfigError: layers that do not fit together, or do not fit the chain.
    """
    top, ratios = (field.top, field.ratios) if type(field) is ChainField else (field, None)
    if type(top) is MLPField and top.activation not in ACTIVATIONS:
        raise ConfigError(f"the activation of the field is {top.activation!r}; expected one of {', '.join(ACTIVATIONS)}.")
    if type(top) is not MLPField:
        return f"{type(top).__name__} is not an MLPField, nor a ChainField over one"
    linears = _linear_layers(top)
    for module in (top, *linears) if field is top else (field, top, *linears):
        if type(module) not in _SUPPORTED:
            return f"a layer is a {type(module).__name__}"
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
            return f"{type(module).__name__} has hooks"
        if "forward" in vars(module):
            return f"the forward method of a {type(module).__name__} was replaced"
    if _module._global_forward_hooks or _module._global_forward_pre_hooks:
        return "hooks are registered for all modules"
    # Not `layer.weight`, which searches three dictionaries: this runs with every rollout.
    parameters = [(layer._parameters.get("weight"), layer._parameters.get("bias")) for layer in linears]
    if any(value is None for pair in parameters for value in pair):
        return "a layer has no bias, or no parameters of its own"
    shapes = [(weight.shape, bias.shape) for weight, bias in parameters]
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


def field_parameters(field: object) -> list[Tensor]:
    """Return the weights and biases of a field that has a layout, in the order of `Layout.field`."""
    top = field.top if isinstance(field, ChainField) else field
    assert isinstance(top, MLPField)
    return [layer._parameters[name] for layer in _linear_layers(top) for name in ("weight", "bias")]


def packed_weights(field: object, layout: Layout) -> Tensor:
    """Return the weights and biases of a field as one tensor, shape (members, weights)."""
    return torch.cat([value.reshape(layout.weight_sets, -1) for value in field_parameters(field)], -1)


def chain_ratios(field: object, weights: Tensor) -> Tensor:
    """Return the ratios of the chain, shape (state - rates,), in the type of the weights; empty without a chain."""
    return field.ratios.to(weights.dtype) if isinstance(field, ChainField) else torch.empty(0, dtype=weights.dtype)
