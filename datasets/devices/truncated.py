"""Truncated distributions by their quantiles: what lies outside the interval is never drawn, and nothing piles up at its ends.

The quantile of the truncated law is F^-1(F(low) + u (F(high) - F(low))) for u in 0 .. 1, with F of the whole law.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Truncated:
    """A law cut to low .. high.

    Attributes:
        probability: Distribution function F of the whole law.
        quantile: Its inverse, on float64 tensors.
        low: Lower end of the interval.
        high: Upper end.
    """

    probability: Callable[[float], float]
    quantile: Callable[[Tensor], Tensor]
    low: float
    high: float

    def at(self, u: Tensor) -> Tensor:
        """Values [of the law] at probabilities u within the interval, float64, of the shape of u."""
        first, last = self.probability(self.low), self.probability(self.high)
        # The clamp takes away rounding only: the quantile of F(low) may lie an ulp below low.
        return self.quantile(u.to(torch.float64).mul(last - first).add_(first)).clamp_(self.low, self.high)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> Tensor:
        """Independent values of a shape; the median everywhere without a generator."""
        if generator is None:
            return torch.full(shape, float(self.at(torch.tensor(0.5))), dtype=dtype)
        return self.at(torch.rand(shape, generator=generator, dtype=torch.float64)).to(dtype)


def exponential(start: float, scale: float, low: float, high: float) -> Truncated:
    """The law of start + Exp(mean `scale`), cut to low .. high."""
    return Truncated(
        lambda x: -math.expm1(-max(x - start, 0.0) / scale), lambda p: torch.log1p(-p).mul_(-scale).add_(start), low, high
    )


def normal(mean: float, sd: float, low: float, high: float) -> Truncated:
    """The law N(mean, sd^2), cut to low .. high."""
    return Truncated(lambda x: _normal((x - mean) / sd), lambda p: torch.special.ndtri(p).mul_(sd).add_(mean), low, high)


def lognormal(median: float, sigma: float, low: float, high: float) -> Truncated:
    """The law of median * exp(N(0, sigma^2)), cut to low .. high, both above zero."""
    return Truncated(
        lambda x: _normal(math.log(x / median) / sigma),
        lambda p: torch.special.ndtri(p).mul_(sigma).exp_().mul_(median),
        low,
        high,
    )


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))
