"""Noise that moves with the number of pulses, not with time: random telegraph noise and pink noise of `WeakReset`.

Each takes any number of pulses in one step of a closed form, a different number for each device; no pulse, no change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ...random import are_exclusive_pairs
from ...telegraph import TelegraphChain

#: Share of devices up to which a few are picked out (measured to be cheaper up to 0.3 for pink noise, beyond 0.4 for traps).
FEW = 0.25
#: Devices, or pairs of them, whose noise is made at a time: what is made on the way stays in the cache.
PIECE = 32768


@dataclass(frozen=True)
class Telegraph(TelegraphChain):
    """Random telegraph noise with a new amplitude for each capture, see `spinode.telegraph.TelegraphChain`.

    A trap that stays filled throughout n pulses, which has the probability (1 - leave)^n, keeps its amplitude. One that was
    filled (again) in between has a new amplitude `depth` * U(0, 1) * U(0, 1).

    Attributes:
        fill: Probability per pulse that an empty trap is filled.
        leave: Probability per pulse that a filled trap is emptied.
    """

    def settled(self, depth: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return stationary amplitudes, zero where the trap is empty; all traps are empty without a generator."""
        if generator is None:
            return torch.zeros_like(depth)
        filled = self.sample_stationary(tuple(depth.shape), generator, depth.dtype)
        return self._captured(depth, generator).mul_(filled)

    def after(
        self, amplitude: Tensor, depth: Tensor, pulses: Tensor, generator: torch.Generator, *, most: float | None = None
    ) -> Tensor:
        """Return the amplitudes after the pulses.

        Args:
            amplitude: Present amplitude, zero where the trap is empty, shape (devices...).
            depth: Largest amplitude of each device.
            pulses: Number of pulses of each device, at least 0.
            generator: Source of the changes, and of new amplitudes.
            most: Maximum of `pulses`, if it is known.
        """
        result = amplitude.clone(memory_format=torch.contiguous_format)
        at, u, number = self.candidates(pulses.reshape(-1), generator, max_pulses=most, sparse_below=FEW)
        filled = result.view(-1).index_select(0, at) > 0
        emptied = torch.expm1(number * math.log1p(-self.leave)).neg_()
        forgetting = self.forgetting(number)
        # A filled trap was emptied at least once with probability `emptied`; it was filled again unless it is empty at the end.
        captured = torch.where(filled, emptied - (1 - self.occupancy) * forgetting, self.occupancy * forgetting)
        new = u < captured
        result.view(-1).index_fill_(0, at[filled & (u < emptied) & ~new], 0)
        new = at[new]
        return result.view(-1).index_copy_(0, new, self._captured(depth.reshape(-1)[new], generator)).view(amplitude.shape)

    def redrawn(self, amplitude: Tensor, depth: Tensor, pulses: Tensor, generator: torch.Generator) -> Tensor:
        """Return the amplitudes after the pulses as the published code does: each call draws new ones, even for no pulse."""
        filled = (amplitude > 0).to(amplitude.dtype)
        u = torch.rand(amplitude.shape, generator=generator, dtype=amplitude.dtype)
        occupied = filled + (self.occupancy - filled) * self.forgetting(pulses)
        return self._captured(depth, generator).mul_(torch.where(pulses > 0, u < occupied, filled > 0))

    @staticmethod
    def _captured(depth: Tensor, generator: torch.Generator) -> Tensor:
        """Sample new amplitudes; 1 - U keeps them above zero, which stands for the empty trap."""
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
        # There are no more devices with pulses than there are pulses.
        if float(pulses.sum()) < FEW * pulses.numel():
            at = pulses.reshape(-1).nonzero().squeeze(-1)
            parts = [part.clone(memory_format=torch.contiguous_format) for part in (slow, white)]
            old_slow, old_white = (part.view(-1)[at] for part in parts)
            moved = self._moved(old_slow, old_white, pulses.reshape(-1)[at], generator)
            for part, value in zip(parts, moved, strict=True):
                part.view(-1)[at] = value
            return parts[0], parts[1]
        derived = torch.is_grad_enabled() and (slow.requires_grad or white.requires_grad)
        return (self._moved if derived else self._by_piece)(slow, white, pulses, generator)

    def _moved(self, slow: Tensor, white: Tensor, pulses: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`after` with two draws for each device."""
        decay, fresh_slow, fresh_white = self._fresh(pulses, generator)
        # A pulse or none is a weight of 1 or 0, for which lerp is exact, and many times faster than where.
        return torch.addcmul(fresh_slow, decay, slow), torch.lerp(white, fresh_white, pulses.clamp(max=1))

    def _by_piece(self, slow: Tensor, white: Tensor, pulses: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`after` with two draws for each device; for each pair where never both get pulses: the one that does takes them."""
        pulses = pulses.contiguous()
        rows = 2 if are_exclusive_pairs(pulses) else 1
        after = (torch.empty_like(pulses), torch.empty_like(pulses))
        pieces = (each.view(rows, -1).split(PIECE, 1) for each in (slow.contiguous(), white.contiguous(), pulses, *after))
        for own_slow, own_white, number, to_slow, to_white in zip(*pieces, strict=True):
            takes = number.clamp(max=1)
            decay, fresh_slow, fresh_white = self._fresh(number.sum(0), generator)
            fresh_slow.addcmul_(decay, own_slow[0] if rows == 1 else torch.lerp(own_slow[0], own_slow[1], takes[1]))
            torch.lerp(own_slow, fresh_slow, takes, out=to_slow)
            torch.lerp(own_white, fresh_white, takes, out=to_white)
        return after

    def _fresh(self, pulses: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return the remaining share of the slow part, the addition to it, and the white part after the pulses."""
        fresh_slow, fresh_white = torch.empty_like(pulses), torch.empty_like(pulses)
        self.settled(fresh_slow, fresh_white, generator)
        decay = (pulses * math.log(self.rho)).exp_()
        gain = torch.addcmul(decay.new_ones(()), decay, decay, value=-1).sqrt_()
        return decay, fresh_slow.mul_(gain), fresh_white

    def shifted(self, history: Tensor, pulses: Tensor, generator: torch.Generator) -> Tensor:
        """Last inputs u of the filter, the newest first, shape (devices..., taps), after the pulses."""
        fresh = torch.rand(history.shape, generator=generator, dtype=history.dtype)
        start = self.taps - pulses.clamp(max=self.taps).long()
        return torch.cat((fresh, history), -1).gather(-1, start.unsqueeze(-1) + torch.arange(self.taps, device=start.device))

    def filtered(self, history: Tensor) -> Tensor:
        """Noise alpha sum_k b_k u_k, shape (devices...)."""
        return history @ history.new_tensor(self.weights).mul_(self.alpha)
