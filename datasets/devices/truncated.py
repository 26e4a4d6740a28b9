"""Truncated distributions, sampled by their quantiles: no value outside the interval, and no accumulation at its ends.

The quantile of the truncated distribution at u in 0 .. 1 is F^-1(F(low) + u (F(high) - F(low))), where F is the distribution
function without truncation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TruncatedDistribution:
    """A distribution restricted to the interval low .. high.

    Attributes:
        probability: Distribution function F without truncation.
        quantile: Inverse of F, on float64 tensors.
        low: Lower end of the interval.
        high: Upper end.
    """

    probability: Callable[[float], float]
    quantile: Callable[[Tensor], Tensor]
    low: float
    high: float

    def at(self, u: Tensor) -> Tensor:
        """Return the values at probabilities u of the truncated distribution, float64, of the shape of u."""
        first, last = self.probability(self.low), self.probability(self.high)
        # The clamp only removes rounding errors: the quantile of F(low) may be an ulp below low.
        return self.quantile(u.to(torch.float64).mul(last - first).add_(first)).clamp_(self.low, self.high)

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> Tensor:
        """Return independent values of a shape; the median everywhere without a generator."""
        if generator is None:
            return torch.full(shape, float(self.at(torch.tensor(0.5))), dtype=dtype)
        return self.at(torch.rand(shape, generator=generator, dtype=torch.float64)).to(dtype)


def truncated_exponential(start: float, scale: float, low: float, high: float) -> TruncatedDistribution:
    """Return the distribution of start + Exp(mean `scale`), restricted to low .. high."""
    return TruncatedDistribution(
        lambda x: -math.expm1(-max(x - start, 0.0) / scale), lambda p: torch.log1p(-p).mul_(-scale).add_(start), low, high
    )


def truncated_normal(mean: float, sd: float, low: float, high: float) -> TruncatedDistribution:
    """Return the distribution N(mean, sd^2), restricted to low .. high."""
    return TruncatedDistribution(
        lambda x: _standard_normal((x - mean) / sd), lambda p: torch.special.ndtri(p).mul_(sd).add_(mean), low, high
    )


def truncated_lognormal(median: float, sigma: float, low: float, high: float) -> TruncatedDistribution:
    """Return the distribution of median * exp(N(0, sigma^2)), restricted to low .. high, both above zero."""
    return TruncatedDistribution(
        lambda x: _standard_normal(math.log(x / median) / sigma),
        lambda p: torch.special.ndtri(p).mul_(sigma).exp_().mul_(median),
        low,
        high,
    )


def _standard_normal(x: float) -> float:
    """Return the distribution function of the standard normal distribution."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))
