"""`Retention`: the drift of a conductance without pulses, proportional to the logarithm of time."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...errors import DomainError, DomainWarning
from ...typing import Array
from ...validation import number
from .kalman import Mask

#: Smallest number of pauses to which retention is fitted.
MIN_PAUSES = 10


@dataclass(frozen=True)
class Retention:
    """Relaxation after programming.

        x(t) = x(0) + (nu + mu x(0)) L + sqrt(s^2 L) xi,    L = ln(1 + t / t0)

    with xi standard normal for each device and pause: mean and variance grow with the logarithm of time.

    Attributes:
        mean: nu, in standard deviations of the state.
        slope: mu.
        deviation: s.
        onset: t0 [s], the shortest pause in the recordings.
        longest: Longest pause [s] in the recordings.

    Example:
        >>> import torch
        >>> retention = Retention(mean=-0.1, slope=0.0, deviation=0.05, onset=1.0, longest=1e4)
        >>> retention.after(torch.zeros(1), 99.0, None)
        tensor([-0.4605])

    Source: form as found in RRAM arrays, where the variance of a level grows linearly in ln t.
    """

    mean: float
    slope: float
    deviation: float
    onset: float
    longest: float

    def check(self, seconds: float, *, strict: bool) -> None:
        """Warn of a pause that is longer than all in the recordings.

        Raises:
            ConfigError: a pause that is negative or not finite.
            DomainError: if `strict`, in place of the warning.
        """
        if number("seconds", seconds, 0, unit="s") > self.longest:
            message = f"the pause of {seconds:.4g} s is longer than all in the recordings, {self.longest:.4g} s"
            if strict:
                raise DomainError(f"{message}. Fit on recordings with such pauses, or set strict = False.")
            warnings.warn(f"{message}; the drift is extrapolated.", DomainWarning, stacklevel=3)

    def after(self, state: Tensor, seconds: float, generator: torch.Generator | None) -> Tensor:
        """Return the state after a pause.

        Args:
            state: State before the pause, shape (devices...).
            seconds: Length of the pause [s].
            generator: Source of randomness; the mean drift if omitted.

        Raises:
            ConfigError: a pause that is negative or not finite.
        """
        log_time = math.log1p(number("seconds", seconds, 0, unit="s") / self.onset)
        mean = state + (self.mean + self.slope * state) * log_time
        if generator is None:
            return mean
        normal = torch.randn(state.shape, generator=generator, dtype=state.dtype)
        return mean + self.deviation * math.sqrt(log_time) * normal

    def describe(self, spread: float) -> str:
        """Return one line of text; `spread` is the standard deviation of the state in the unit to report."""
        decade = math.log(10)
        return (
            f"mean {self.mean * decade * spread:.3g}, deviation {self.deviation * math.sqrt(decade) * spread:.3g} per decade "
            f"of time, measured from {self.onset:.3g} s to {self.longest:.3g} s"
        )


def since_programming(reads: Array, seen: Mask, pause: Array) -> tuple[Array, Array, Array]:
    """Return the relaxation that each read shows.

    Reading does not restart the relaxation: all times count from the last pulse of a device.

    Args:
        reads: State at each read, shape (reads, lanes).
        seen: True where a read exists, shape (reads, lanes).
        pause: Length [s] of each step without pulses, zero elsewhere, shape (reads - 1, lanes).

    Returns:
        State when last programmed, change since then, and time [s] since then, each of shape (pauses,).
    """
    programmed, waited = reads[0], np.zeros(reads.shape[1])
    relaxations = []
    for k in range(len(pause)):
        waits = pause[k] > 0
        programmed, waited = np.where(waits, programmed, reads[k + 1]), np.where(waits, waited + pause[k], 0.0)
        relaxations.append(np.stack([programmed, reads[k + 1] - programmed, waited])[:, waits & seen[k + 1]])
    start, change, seconds = np.concatenate(relaxations, 1)
    return start, change, seconds


def fit_retention(start: Array, change: Array, seconds: Array, read: float) -> Retention | None:
    """Fit retention to the changes over pauses by weighted least squares.

    Args:
        start: State at the beginning of each pause, shape (pauses,), as `since_programming` returns it.
        change: Change over the pause, shape (pauses,).
        seconds: Length of the pause [s], shape (pauses,).
        read: Standard deviation of read noise, which both ends have.

    Returns:
        The retention; None for fewer than ten pauses.

    Example:
        >>> import numpy as np
        >>> seconds = np.geomspace(1.0, 1e4, 50)
        >>> retention = fit_retention(np.zeros(50), -0.1 * np.log1p(seconds), seconds, read=0.01)
        >>> round(retention.mean, 3), retention.longest
        (-0.1, 10000.0)
    """
    usable = np.isfinite(change) & (seconds > 0)
    start, change, seconds = start[usable], change[usable], seconds[usable]
    if len(change) < MIN_PAUSES:
        return None
    onset = float(seconds.min())
    log_time = np.log1p(seconds / onset)
    design = np.stack([log_time, log_time * start], 1)
    variance = np.full(len(change), float(np.var(change)) + 1e-12)
    deviation = 0.0
    mean = slope = 0.0
    for _ in range(10):
        weighted = design / variance[:, None]
        # Prior of the slope: N(0, 1), where a slope of 1 changes a state by its own size per e-fold of time.
        solution = np.linalg.solve(weighted.T @ design + np.diag([1e-9, 1.0]), weighted.T @ change)
        mean, slope = float(solution[0]), float(solution[1])
        residual = (change - design @ solution) ** 2 - 2 * read**2
        deviation = math.sqrt(max(float((residual * log_time).sum() / (log_time**2).sum()), 0.0))
        variance = deviation**2 * log_time + 2 * read**2 + 1e-12
    return Retention(mean, slope, deviation, onset, float(seconds.max()))
