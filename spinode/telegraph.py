"""The two-state Markov chain of random telegraph noise, one step per pulse: rates, occupancy, transitions and sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .random import bernoulli_indices
from .typing import Array


@dataclass(frozen=True)
class TelegraphChain:
    """A trap that captures and releases a charge: a Markov chain with the states empty (0) and filled (1).

    One pulse is one step, with the transition matrix

        T = [[1 - fill, fill], [leave, 1 - leave]]

    After n pulses P(filled) = pi + (s - pi) lambda^n, where s is 1 if the trap was filled and 0 otherwise,
    pi = fill / (fill + leave) and lambda = 1 - fill - leave. This is a row of T^n.

    Attributes:
        fill: Probability per pulse that an empty trap is filled.
        leave: Probability per pulse that a filled trap is emptied.

    Example:
        >>> import numpy as np
        >>> chain = TelegraphChain(fill=0.01, leave=0.03)
        >>> chain.occupancy
        0.25
        >>> chain.transitions(np.array([1.0, 1000.0]))[0, 1].round(6).tolist()
        [0.01, 0.25]
    """

    fill: float
    leave: float

    @property
    def occupancy(self) -> float:
        """Stationary probability pi of the filled state."""
        return self.fill / (self.fill + self.leave)

    def forgetting(self, pulses: Tensor) -> Tensor:
        """Return 1 - lambda^n, the share of the way to the stationary distribution after n pulses, shape of `pulses`."""
        return torch.expm1(pulses * math.log1p(-self.fill - self.leave)).neg_()

    def transitions(self, pulses: Array) -> Array:
        """Return the probabilities T^n of all transitions over n pulses.

        Args:
            pulses: Numbers of pulses n, shape (...).

        Returns:
            P[from, to] with 0 for empty and 1 for filled, shape (2, 2, ...).
        """
        forgetting = -np.expm1(pulses * math.log1p(-self.fill - self.leave))
        filled, emptied = self.occupancy * forgetting, (1 - self.occupancy) * forgetting
        return np.stack([np.stack([1 - filled, filled]), np.stack([emptied, 1 - emptied])])

    def sample_stationary(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        """Sample from the stationary distribution; True for a filled trap."""
        return torch.rand(shape, generator=generator, dtype=dtype) < self.occupancy

    def candidates(
        self, pulses: Tensor, generator: torch.Generator, *, max_pulses: float | None = None, sparse_below: float = 1.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Sample the devices whose trap may change, so that the cost follows the number of changes.

        A trap that changes over n pulses with probability q(n) changes exactly if its `u < q(n)`. No trap changes with a
        probability above 1 - (1 - max(fill, leave))^n; the devices with a `u` above that are left out.

        Args:
            pulses: Number of pulses n >= 0 of each device, shape (devices,).
            generator: Source of randomness.
            max_pulses: Maximum of `pulses`, if it is known.
            sparse_below: Share of candidates from which on `u` is drawn for every device instead; this is faster where many
                traps change.

        Returns:
            Indices of the devices, their uniform random numbers `u` on 0 .. 1, and their pulses.
        """
        log_stay = math.log1p(-max(self.fill, self.leave))
        bound = -math.expm1((float(pulses.max()) if max_pulses is None else max_pulses) * log_stay)
        if bound >= sparse_below:
            index = torch.arange(pulses.numel(), device=pulses.device)
            return index, torch.rand(index.shape, generator=generator, dtype=pulses.dtype, device=index.device), pulses
        index = bernoulli_indices(pulses.numel(), bound, generator)
        pulses = pulses.index_select(0, index)
        u = torch.rand(index.shape, generator=generator, dtype=pulses.dtype, device=index.device).mul_(bound)
        kept = (u < torch.expm1(pulses * log_stay).neg_()).nonzero().squeeze(-1)
        return index.index_select(0, kept), u.index_select(0, kept), pulses.index_select(0, kept)
