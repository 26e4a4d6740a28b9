"""Binary and quantised layers: the forward pass uses quantised weights, gradients pass straight through to hidden weights."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from ...validation import number, whole_number
from ..rules.levels import Interval, nearest_level


class _StraightThrough(torch.autograd.Function):
    """Return the quantised weight; pass its gradient to the hidden weight."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, quantised: Tensor) -> Tensor:
        return quantised.clone() if quantised is hidden else quantised

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


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


def straight_through(hidden: Tensor, quantised: Tensor) -> Tensor:
    """Return `quantised`, with the derivative 1 with respect to `hidden`."""
    return cast(Tensor, _StraightThrough.apply(hidden, quantised.detach()))  # type: ignore[no-untyped-call]


class SignActivation(nn.Module):
    """sign(x), 1 at zero, with the derivative 1 where |x| <= 1 and 0 elsewhere (hard tanh, straight through)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the sign of a tensor of any shape."""
        return cast(Tensor, _Sign.apply(x))  # type: ignore[no-untyped-call]


class Quantised(nn.Module):
    """Base of layers whose weights are levels of hidden weights: the parameter `weight`, rounded by `quantised`.

    Attributes:
        interval: (spacing, levels), for `MetaplasticAdam`; None for the two levels -1 and 1.
    """

    weight: nn.Parameter
    interval: Interval

    def _make_hidden(self, shape: tuple[int, ...], levels: int, init_width: float, generator: torch.Generator | None) -> None:
        levels = whole_number("levels", levels, 2)
        init_width = number("init_width", init_width, 0, above=True)
        self.interval = None if levels == 2 else (2 / (levels - 1), levels)
        self.weight = nn.Parameter((torch.rand(shape, generator=generator) - 0.5) * init_width)

    def quantised(self) -> Tensor:
        """Return q(W), without gradient."""
        return nearest_level(self.weight.detach(), self.interval)

    def effective(self) -> Tensor:
        """Return q(W) with the derivative 1 with respect to W."""
        return straight_through(self.weight, self.quantised())


class QuantisedLinear(Quantised):
    """y = x q(W)^T, without bias; q(W) is the nearest of `levels` levels, evenly spaced from -1 to 1, dq/dW = 1.

    The parameter `weight` is the hidden weight W, shape (outputs, inputs), which an optimiser changes freely. Shapes of x and
    y: (..., inputs) and (..., outputs).

    Attributes:
        interval: (spacing, levels), for `MetaplasticAdam`; None for the two levels -1 and 1.

    Args:
        inputs: Number of input features.
        outputs: Number of output features.
        levels: Number of levels, at least 2.
        init_width: Width of the uniform distribution of initial hidden weights, centred on zero.
        generator: Source of the initial weights.

    Raises:
        ConfigError: fewer than two levels, or a width that is not positive.

    Example:
        >>> layer = QuantisedLinear(4, 2, levels=3)
        >>> sorted({*layer.quantised().unique().tolist(), -1.0, 0.0, 1.0})
        [-1.0, 0.0, 1.0]
    """

    def __init__(
        self, inputs: int, outputs: int, *, levels: int = 8, init_width: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self._make_hidden((outputs, inputs), levels, init_width, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return y; see the class."""
        return nn.functional.linear(x, self.effective())

    def extra_repr(self) -> str:
        """Return the arguments that `print` shows."""
        outputs, inputs = self.weight.shape
        return f"{inputs}, {outputs}, levels={2 if self.interval is None else self.interval[1]}"


class BinaryLinear(QuantisedLinear):
    """y = x sign(W)^T, without bias: `QuantisedLinear` with the levels -1 and 1, with the same arguments.

    Example:
        >>> set(BinaryLinear(4, 2).quantised().flatten().tolist()) <= {-1.0, 1.0}
        True

    Source: Courbariaux et al., arXiv:1602.02830 (2016).
    """

    def __init__(self, inputs: int, outputs: int, *, init_width: float = 0.1, generator: torch.Generator | None = None) -> None:
        super().__init__(inputs, outputs, levels=2, init_width=init_width, generator=generator)
