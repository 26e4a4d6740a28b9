"""Noise that moves with the number of pulses, not with time: random telegraph noise and pink noise of `WeakReset`.

Each takes any number of pulses in one step of a closed form, a different number for each device; no pulse, no change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Telegraph:
    """A trap that fills and empties: a Markov chain of two states, one step a pulse.

    With the matrix T = [[1 - fill, fill], [leave, 1 - leave]], after n pulses
    P(filled) = pi + (s - pi) lambda^n, pi = fill / (fill + leave), lambda = 1 - fill - leave, s = 1 where it was filled,
    which is the row of T^n. A trap that is filled all along, probability (1 - leave)^n, holds its amplitude; one that was
    filled (again) in between has a new one, of `depth` * U(0, 1) * U(0, 1).

    Attributes:
        fill: Probability a pulse that an empty trap fills.
        leave: Probability a pulse that a filled trap empties.
    """

    fill: float
    leave: float

    @property
    def occupancy(self) -> float:
        """Stationary probability pi of the filled state."""
        return self.fill / (self.fill + self.leave)

    def settled(self, depth: Tensor, generator: torch.Generator | None) -> Tensor:
        """Held amplitude, zero where the trap is empty, after very many pulses; empty without a generator."""
        if generator is None:
            return torch.zeros_like(depth)
        filled = torch.rand(depth.shape, generator=generator, dtype=depth.dtype) < self.occupancy
        return self._captured(depth, generator).mul_(filled)

    def after(self, held: Tensor, depth: Tensor, pulses: Tensor, generator: torch.Generator) -> Tensor:
        """Amplitude held after the pulses.

        Args:
            held: Amplitude, zero where the trap is empty, shape (devices...).
            depth: Largest amplitude of each device.
            pulses: How many, at least 0.
            generator: One number a device decides, two more for each new amplitude.
        """
        filled = (held > 0).to(held.dtype)
        u = torch.rand(held.shape, generator=generator, dtype=held.dtype)
        kept = u < (pulses * math.log1p(-self.leave)).exp_().mul_(filled)
        occupied = filled.sub_(self.occupancy).mul_((pulses * math.log1p(-self.fill - self.leave)).exp_())
        new = (u < occupied.add_(self.occupancy)).logical_and_(~kept).view(-1).nonzero().squeeze(-1)
        result = held * kept
        result.view(-1)[new] = self._captured(depth.reshape(-1)[new], generator)
        return result

    def redrawn(self, held: Tensor, depth: Tensor, pulses: Tensor, generator: torch.Generator) -> Tensor:
        """As the published code: the state by T^n, and a new amplitude at each call, even for no pulse."""
        filled = (held > 0).to(held.dtype)
        u = torch.rand(held.shape, generator=generator, dtype=held.dtype)
        occupied = (filled - self.occupancy).mul_((pulses * math.log1p(-self.fill - self.leave)).exp_()).add_(self.occupancy)
        return self._captured(depth, generator).mul_(torch.where(pulses > 0, u < occupied, filled > 0))

    @staticmethod
    def _captured(depth: Tensor, generator: torch.Generator) -> Tensor:
        """New amplitudes; 1 - U keeps them above zero, which stands for the empty trap."""
        first = torch.rand(depth.shape, generator=generator, dtype=depth.dtype)
        return torch.rand(depth.shape, generator=generator, dtype=depth.dtype).sub_(1).mul_(first.sub_(1)).mul_(depth)


@dataclass(frozen=True)
class Pink:
    """1/f noise over some fifteen pulses: alpha sum_k b_k u_k, u_k ~ U(0, 1) one for each pulse (Kasdin's weights).

    b_0 = 1, b_k = b_{k-1} (k - 1/2) / k. As published this is a filter with `taps` numbers of memory for each device
    (`shifted`), of mean alpha sum_k b_k / 2. `after` is its stand-in of mean zero with two numbers and two draws for any
    number of pulses: white noise and a first-order autoregression of coefficient rho, with the variance of the filter, and
    the share of each and rho by least squares on the filter's autocorrelation at the lags 1 .. 29. It keeps to that within
    0.08; the largest difference is at lag 15, where the filter ends.

    Attributes:
        alpha: Coupling.
        taps: Length of the filter.
        slow_share: Share of the variance that the autoregression has.
        rho: Its coefficient for one pulse.

    Source: N. J. Kasdin, Proc. IEEE 83, 802 (1995), for the weights.
    """

    alpha: float = 0.025
    taps: int = 15
    slow_share: float = 0.78416759
    rho: float = 0.857532

    @cached_property
    def weights(self) -> tuple[float, ...]:
        """The b_k."""
        weights = [1.0]
        for k in range(1, self.taps):
            weights.append(weights[-1] * (k - 0.5) / k)
        return tuple(weights)

    @property
    def sd(self) -> float:
        """Standard deviation, from that of the uniform law, sqrt(1 / 12)."""
        return self.alpha * math.sqrt(sum(b * b for b in self.weights) / 12)

    def settled(self, slow: Tensor, white: Tensor, generator: torch.Generator) -> None:
        """Fill the two parts with their stationary distribution."""
        slow.normal_(0, self.sd * math.sqrt(self.slow_share), generator=generator)
        white.normal_(0, self.sd * math.sqrt(1 - self.slow_share), generator=generator)

    def after(self, slow: Tensor, white: Tensor, pulses: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The two parts after the pulses, at least 0 for each device."""
        fresh_slow, fresh_white = torch.empty_like(slow), torch.empty_like(white)
        self.settled(fresh_slow, fresh_white, generator)
        decay = (pulses * math.log(self.rho)).exp_()
        moved = torch.addcmul(decay * slow, decay.square_().neg_().add_(1).sqrt_(), fresh_slow)
        # A pulse or none is a weight of 1 or 0, for which lerp is exact, and many times faster than where.
        return moved, torch.lerp(white, fresh_white, pulses.clamp(max=1))

    def shifted(self, history: Tensor, pulses: Tensor, generator: torch.Generator) -> Tensor:
        """Last inputs u of the filter, the newest first, shape (devices..., taps), after the pulses."""
        fresh = torch.rand(history.shape, generator=generator, dtype=history.dtype)
        start = self.taps - pulses.clamp(max=self.taps).long()
        return torch.cat((fresh, history), -1).gather(-1, start.unsqueeze(-1) + torch.arange(self.taps, device=start.device))

    def filtered(self, history: Tensor) -> Tensor:
        """Noise alpha sum_k b_k u_k, shape (devices...)."""
        return history @ history.new_tensor(self.weights).mul_(self.alpha)
