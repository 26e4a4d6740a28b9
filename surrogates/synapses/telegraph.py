"""`TelegraphNoise`: the rates and the depth of random telegraph noise in a fitted device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...telegraph import TelegraphChain
from ...typing import Array
from .kalman import Mask


@dataclass(frozen=True)
class TelegraphNoise(TelegraphChain):
    """Random telegraph noise of one trap: a two-state chain whose filled state shifts the state of the device.

    The shift is drawn from N(depth, depth_deviation^2) at each capture and is zero while the trap is empty.

    Attributes:
        fill: Probability per pulse that an empty trap is filled.
        leave: Probability per pulse that a filled trap is emptied.
        depth: Mean shift, in standard deviations of the state.
        depth_deviation: Standard deviation of the shift between captures.
    """

    depth: float
    depth_deviation: float

    def log_transitions(self, pulses: Array) -> Array:
        """Return log P[from, to] over n pulses, shape (2, 2, ...); impossible transitions are finite."""
        return np.asarray(np.log(self.transitions(np.maximum(pulses, 0)).clip(1e-300)))

    def log_probability(self, filled: Mask, seen: Mask, pulses: Array) -> float:
        """Return the log probability of histories of the trap.

        Args:
            filled: True where the trap is filled at a read, shape (reads, lanes).
            seen: True where a read exists, shape (reads, lanes).
            pulses: Number of pulses between reads, shape (reads - 1, lanes).
        """
        table = self.log_transitions(pulses)
        from_empty = np.where(filled[1:], table[0, 1], table[0, 0])
        from_filled = np.where(filled[1:], table[1, 1], table[1, 0])
        transitions = np.where(filled[:-1], from_filled, from_empty)
        start = np.log(np.where(filled[0], self.occupancy, 1 - self.occupancy))
        return float((transitions * seen[1:]).sum()) + float(start.sum())


def estimate_rates(filled: Mask, seen: Mask, pulses: Array) -> tuple[float, float]:
    """Estimate the rates of a trap by counting transitions, under a prior of one transition per thousand pulses.

    Args:
        filled: True where the trap is filled at a read, shape (reads, lanes).
        seen: True where a read exists, shape (reads, lanes).
        pulses: Number of pulses between reads, shape (reads - 1, lanes).

    Returns:
        Probabilities per pulse that an empty trap is filled and that a filled one is emptied.
    """
    before, after, seen = filled[:-1], filled[1:], seen[1:]
    captures, releases = float((~before & after & seen).sum()), float((before & ~after & seen).sum())
    empty, full = float((pulses * ~before * seen).sum()), float((pulses * before * seen).sum())
    return (captures + 1) / (empty + 1e3), (releases + 1) / (full + 1e3)
