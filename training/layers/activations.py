"""Activations of quantised networks: `SignActivation`, `QuantisedActivation`, and `make_activation` by name or bits."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...validation import is_whole_number, whole_number
from ..rules.levels import nearest_level

#: Largest value of a quantised activation: two standard deviations of normalised pre-activations.
TOP = 2.0
#: Largest number of bits of a quantised activation; more hardly differ from ReLU with a bound.
MAX_BITS = 16


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return nearest_level(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        slope: Tensor = gradients[0] * (x.abs() <= 1)
        return slope


class _Quantised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: float) -> Tensor:
        ctx.save_for_backward(x)
        return (x.clamp(0, TOP) * (1 / step)).round_().mul_(step)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradients[0] * ((x > 0) & (x <= TOP)), None


class SignActivation(nn.Module):
    """sign(x), 1 at zero, with the derivative 1 where |x| <= 1 and 0 elsewhere (hard tanh, straight through)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the sign of a tensor of any shape."""
        return cast(Tensor, _Sign.apply(x))  # type: ignore[no-untyped-call]


class QuantisedActivation(nn.Module):
    """ReLU with a bound of 2, rounded to the nearest of 2^bits evenly spaced levels from 0 on; its derivative is not rounded.

        q(x) = s round(clamp(x, 0, 2) / s),   s = 2 / (2^bits - 1),   dq/dx = 1 where 0 < x <= 2, else 0

    Args:
        bits: Number of bits, 1 .. 16.

    Raises:
        ConfigError: bits out of range.

    Example:
        >>> QuantisedActivation(2)(torch.tensor([-1.0, 0.3, 0.4, 1.2, 5.0])).mul(3).round().tolist()  # in units of 1/3
        [0.0, 0.0, 2.0, 4.0, 6.0]

    Source: Zhou et al., DoReFa-Net, arXiv:1606.06160 (2016), with a bound of 1; ours fits normalised pre-activations.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = whole_number("bits", bits, 1, MAX_BITS)

    def forward(self, x: Tensor) -> Tensor:
        """Return the rounded values of a tensor of any shape."""
        return cast(Tensor, _Quantised.apply(x, TOP / (2**self.bits - 1)))  # type: ignore[no-untyped-call]

    def extra_repr(self) -> str:
        """Return the bits, for `print`."""
        return f"bits={self.bits}"


def make_activation(activation: str | int) -> nn.Module:
    """Return the activation of a name, or of a number of bits.

    Args:
        activation: "relu", "sign", or the bits of a `QuantisedActivation`.

    Raises:
        ConfigError: something else.

    Example:
        >>> make_activation("relu"), make_activation(2)
        (ReLU(), QuantisedActivation(bits=2))
    """
    if is_whole_number(activation):
        return QuantisedActivation(whole_number("activation", activation, 1, MAX_BITS))
    if activation == "relu":
        return nn.ReLU()
    if activation == "sign":
        return SignActivation()
    raise ConfigError(f"activation is {activation!r}; expected 'relu', 'sign', or a whole number of bits such as 2.")
