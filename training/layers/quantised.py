"""Binary and quantised layers: the forward pass uses quantised weights, gradients pass straight through to hidden weights."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from ...validation import number, one_of, whole_number
from ..rules.levels import Interval, half_spacing, nearest_level, transitions

#: Width of the distribution of initial hidden weights around a transition, in units of half the spacing of levels.
RELATIVE_WIDTH = 0.1


class _StraightThrough(torch.autograd.Function):
    """Return the quantised weight; pass its gradient to the hidden weight."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, quantised: Tensor) -> Tensor:
        return quantised.clone() if quantised is hidden else quantised

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def straight_through(hidden: Tensor, quantised: Tensor) -> Tensor:
    """Return `quantised`, with the derivative 1 with respect to `hidden`."""
    return cast(Tensor, _StraightThrough.apply(hidden, quantised.detach()))  # type: ignore[no-untyped-call]


class Quantised(nn.Module):
    """Base of layers whose weights are levels of hidden weights: the parameter `weight`, rounded by `quantised`.

    Attributes:
        interval: (spacing, levels), for `MetaplasticAdam`; None for the two levels -1 and 1.
    """

    weight: nn.Parameter
    interval: Interval

    def _make_hidden(
        self, shape: tuple[int, ...], levels: int, width: float | None, place: str, generator: torch.Generator | None
    ) -> None:
        levels = whole_number("levels", levels, 2)
        width = RELATIVE_WIDTH * half_spacing(levels) if width is None else number("init_width", width, 0, above=True)
        self.interval = None if levels == 2 else (2 / (levels - 1), levels)
        weight = (torch.rand(shape, generator=generator) - 0.5) * width
        places = transitions(self.interval)
        if one_of("init_at", place, ("inner", "all")) == "inner":
            places = places[(levels - 2) // 2 : (levels + 1) // 2]  # one for an even number of levels, two for an odd one
        if len(places) > 1:
            weight += torch.tensor(places, dtype=weight.dtype)[torch.randint(len(places), shape, generator=generator)]
        self.weight = nn.Parameter(weight)

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
        init_width: Width of the uniform distribution of initial hidden weights around a transition between levels; a tenth of
            half the spacing of levels if omitted.
        init_at: Transitions at which hidden weights begin: the "inner" ones, next to zero, or "all", drawn with equal
            probability. From the inner ones few weights reach the outer levels.
        generator: Source of the initial weights.

    Raises:
        ConfigError: fewer than two levels, a width that is not positive, or an unknown place.

    Example:
        >>> layer = QuantisedLinear(4, 2, levels=3)
        >>> sorted({*layer.quantised().unique().tolist(), -1.0, 0.0, 1.0})
        [-1.0, 0.0, 1.0]
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        levels: int = 4,
        init_width: float | None = None,
        init_at: str = "inner",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self._make_hidden((outputs, inputs), levels, init_width, init_at, generator)

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
