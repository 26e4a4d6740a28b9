"""Drives to record a device under: what a trace has not seen, its surrogate does not know."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import ConfigError

#: Values of a drive that may be made at once.
_MOST = 100_000_000


def random_steps(
    low: float, high: float, *, duration: float, interval: float, hold: float | tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Levels drawn evenly from low .. high, each held for a time of its own.

    Levels that last about the period or the relaxation time of the device tell most of it; with `hold` a range, times are
    drawn evenly in their logarithm. It is what `spinode design-drive` writes.

    Args:
        low: Lowest level, in the unit of the drive.
        high: Highest level.
        duration: Of the whole drive [s].
        interval: Between two samples [s].
        hold: How long a level lasts [s], or the shortest and the longest time; rounded to samples, one at least.
        generator: Source of levels and times.

    Returns:
        Samples, shape (time,), each held until the next.

    Raises:
        ConfigError: a range, duration, interval or hold that leaves nothing to draw.
    """
    shortest, longest = hold if isinstance(hold, tuple) else (hold, hold)
    samples = _samples(duration, interval)
    if not -math.inf < low < high < math.inf:
        raise ConfigError(f"the levels run from {low!r} to {high!r}; expected two finite numbers, the lower one first.")
    if not 0 < shortest <= longest < math.inf:
        raise ConfigError(f"hold is {hold!r}; expected a time [s], or (shortest, longest) with 0 < shortest <= longest.")
    if longest > duration:
        raise ConfigError(f"levels are held up to {longest:g} s, and the drive lasts {duration:g} s; pass a longer duration.")
    most = math.ceil(samples / max(1, round(shortest / interval))) + 1
    levels = low + (high - low) * torch.rand(most, generator=generator, dtype=torch.float64)
    times = shortest * (longest / shortest) ** torch.rand(most, generator=generator, dtype=torch.float64)
    counts = (times / interval).round().clamp_min(1).to(torch.int64)
    return levels.repeat_interleave(counts)[:samples]


def modulated_sine(
    mean: float, amplitude: float, *, frequency: float, duration: float, interval: float, generator: torch.Generator
) -> Tensor:
    """A sine whose amplitude is drawn anew from -amplitude .. amplitude in each period: mean + amplitude a_i sin(2 pi f t).

    Args:
        mean: In the unit of the drive.
        amplitude: Largest deviation from it.
        frequency: f [Hz].
        duration: Of the whole drive [s].
        interval: Between two samples [s]; a period needs ten at least.
        generator: Source of the amplitudes.

    Returns:
        Samples, shape (time,).

    Raises:
        ConfigError: numbers out of range, or fewer than ten samples a period.

    Source: Chen et al., Nat. Commun. 13, 1016 (2022).
    """
    samples = _samples(duration, interval)
    if not math.isfinite(mean) or not 0 < amplitude < math.inf:
        raise ConfigError(f"mean and amplitude are {mean!r} and {amplitude!r}; expected finite numbers, the second positive.")
    if not 0 < frequency * interval <= 0.1:
        raise ConfigError(
            f"frequency is {frequency!r} Hz with samples every {interval:g} s; expected ten samples a period, "
            f"at most {0.1 / interval:g} Hz."
        )
    time = torch.arange(samples, dtype=torch.float64) * interval
    period = (time * frequency + 1e-9).floor().to(torch.int64)
    a = 2 * torch.rand(int(period[-1]) + 1, generator=generator, dtype=torch.float64) - 1
    return mean + amplitude * a[period] * torch.sin(2 * math.pi * frequency * time)


def _samples(duration: float, interval: float) -> int:
    """Number of samples of a drive."""
    if not 0 < interval < math.inf or not interval * 2 <= duration < math.inf:
        raise ConfigError(f"duration and interval are {duration!r} and {interval!r} s; expected two intervals at least.")
    samples = round(duration / interval)
    if samples > _MOST:
        raise ConfigError(f"{duration:g} s every {interval:g} s are {samples} samples; expected at most {_MOST}.")
    return samples
