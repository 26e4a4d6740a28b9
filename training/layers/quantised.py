"""Binary and quantised layers: the network sees levels, gradients go straight through to hidden weights."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ..rules.metaplastic_step import level


class _Through(torch.autograd.Function):
    """What the network sees; the gradient goes to the hidden weight."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, seen: Tensor) -> Tensor:
        return seen.clone() if seen is hidden else seen

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return level(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        slope: Tensor = gradients[0] * (x.abs() <= 1)
        return slope


def through(hidden: Tensor, seen: Tensor) -> Tensor:
    """`seen`, with the derivative 1 in `hidden` (straight through)."""
    return cast(Tensor, _Through.apply(hidden, seen.detach()))  # type: ignore[no-untyped-call]


class SignActivation(nn.Module):
    """sign(x), 1 at zero, with the derivative 1 where |x| <= 1 and 0 elsewhere (hard tanh, straight through)."""

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape."""
        return cast(Tensor, _Sign.apply(x))  # type: ignore[no-untyped-call]


class QuantisedLinear(nn.Module):
    """y = x q(W)^T, without bias; q(W) the nearest of `levels` levels, evenly spaced from -1 to 1, dq/dW = 1.

    The parameter `weight` is the hidden weight W, shape (outputs, inputs), which an optimiser moves freely. Shapes of x and y:
    (..., inputs) and (..., outputs).

    Attributes:
        interval: (spacing, levels), for `MetaplasticAdam`; None for the two levels -1 and 1.

    Args:
        inputs: Features that come in.
        outputs: Features that go out.
        levels: Number of levels, at least 2.
        init_width: Hidden weights begin uniformly within half of it on both sides of zero.
        generator: Source of the initial weights.

    Raises:
        ConfigError: fewer than two levels, or a width that is not positive.
    """

    def __init__(
        self, inputs: int, outputs: int, *, levels: int = 8, init_width: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if not isinstance(levels, int) or isinstance(levels, bool) or levels < 2:
            raise ConfigError(f"levels is {levels!r}; expected a whole number of at least 2.")
        if not 0 < init_width < float("inf"):
            raise ConfigError(f"init_width is {init_width!r}; expected a positive number.")
        self.interval = None if levels == 2 else (2 / (levels - 1), levels)
        self.weight = nn.Parameter((torch.rand(outputs, inputs, generator=generator) - 0.5) * init_width)

    def seen(self) -> Tensor:
        """q(W), without gradient."""
        return level(self.weight.detach(), self.interval)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return nn.functional.linear(x, through(self.weight, self.seen()))

    def extra_repr(self) -> str:
        """What `print` shows."""
        outputs, inputs = self.weight.shape
        return f"{inputs}, {outputs}, levels={2 if self.interval is None else self.interval[1]}"


class BinaryLinear(QuantisedLinear):
    """y = x sign(W)^T, without bias: `QuantisedLinear` with the levels -1 and 1. Arguments as there.

    Source: Courbariaux et al., arXiv:1602.02830 (2016).
    """

    def __init__(self, inputs: int, outputs: int, *, init_width: float = 0.1, generator: torch.Generator | None = None) -> None:
        super().__init__(inputs, outputs, levels=2, init_width=init_width, generator=generator)
