"""Retention: how a conductance drifts while no pulse comes, with the logarithm of time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError
from ...typing import Array
from .kalman import Mask


@dataclass(frozen=True)
class Retention:
    """Relaxation after programming.

        x(t) = x(0) + (nu + mu x(0)) L + sqrt(s^2 L) xi,    L = ln(1 + t / t0)

    with xi standard normal for each device and pause: mean and variance grow with the logarithm of time.

    Attributes:
        mean: nu, in deviations of the state.
        slope: mu.
        deviation: s.
        onset: t0 [s], the shortest pause that was seen.
        longest: Longest pause [s] that was seen.

    Source: form as found in RRAM arrays, where the variance of a level grows linearly in ln t.
    """

    mean: float
    slope: float
    deviation: float
    onset: float
    longest: float

    def after(self, state: Tensor, seconds: float, generator: torch.Generator | None) -> Tensor:
        """The state after a pause [s].

        Raises:
            ConfigError: a pause that is negative or not finite.
        """
        if not 0 <= seconds < math.inf:
            raise ConfigError(f"the pause is {seconds} s; expected a time of zero or more.")
        passed = math.log1p(seconds / self.onset)
        moved = state + (self.mean + self.slope * state) * passed
        if generator is None:
            return moved
        normal = torch.randn(state.shape, generator=generator, dtype=state.dtype)
        return moved + self.deviation * math.sqrt(passed) * normal

    def describe(self, spread: float) -> str:
        """In words, `spread` being the unit of the state."""
        decade = math.log(10)
        return (
            f"mean {self.mean * decade * spread:.3g}, deviation {self.deviation * math.sqrt(decade) * spread:.3g} per decade "
            f"of time, seen from {self.onset:.3g} s to {self.longest:.3g} s"
        )


def since_programming(reads: Array, seen: Mask, pause: Array) -> tuple[Array, Array, Array]:
    """What each read tells of relaxation: state when last programmed, change since, and time since [s], shape (pauses,).

    A read starts no new relaxation: of a device that waits and is read again and again all times count from its last pulse.

    Args:
        reads: State at each read, shape (reads, lanes).
        seen: Whether each was read, likewise.
        pause: Length [s] of each step without pulses, zero elsewhere, shape (reads - 1, lanes).
    """
    first, waited = reads[0], np.zeros(reads.shape[1])
    found = []
    for k in range(len(pause)):
        waits = pause[k] > 0
        first, waited = np.where(waits, first, reads[k + 1]), np.where(waits, waited + pause[k], 0.0)
        there = waits & seen[k + 1]
        found.append(np.stack([first, reads[k + 1] - first, waited])[:, there])
    start, change, seconds = np.concatenate(found, 1)
    return start, change, seconds


def fit_retention(start: Array, change: Array, seconds: Array, read: float) -> Retention | None:
    """Retention by weighted least squares from the changes over pauses; None where fewer than ten pauses were seen.

    Args:
        start: State at the beginning of each pause, shape (pauses,), as `since_programming` gives them.
        change: Change over it.
        seconds: Its length [s].
        read: Deviation of read noise, which both ends carry.
    """
    there = np.isfinite(change) & (seconds > 0)
    start, change, seconds = start[there], change[there], seconds[there]
    if len(change) < 10:
        return None
    onset = float(seconds.min())
    passed = np.log1p(seconds / onset)
    design = np.stack([passed, passed * start], 1)
    variance = np.full(len(change), float(np.var(change)) + 1e-12)
    deviation = 0.0
    mean = slope = 0.0
    for _ in range(10):
        weighted = design / variance[:, None]
        # A prior of no dependence on the state: one unit of it would move a state by itself per e-fold of time.
        solution = np.linalg.solve(weighted.T @ design + np.diag([1e-9, 1.0]), weighted.T @ change)
        mean, slope = float(solution[0]), float(solution[1])
        residual = (change - design @ solution) ** 2 - 2 * read**2
        deviation = math.sqrt(max(float((residual * passed).sum() / (passed**2).sum()), 0.0))
        variance = deviation**2 * passed + 2 * read**2 + 1e-12
    return Retention(mean, slope, deviation, onset, float(seconds.max()))
