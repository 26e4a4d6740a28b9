"""Drives to record a device under: a surrogate only knows the part of state space that its traces visit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..errors import ConfigError
from ..validation import number

#: Amplitude, as a share of the range, and length, as a share of the duration, of the stretches of a ramp before the last one.
RAMP = ((0.03, 1 / 6), (0.18, 1 / 6))

#: Largest number of samples of a drive.
_MAX_SAMPLES = 100_000_000


def random_steps(
    low: float, high: float, *, duration: float, interval: float, hold: float | tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Generate a drive of random levels, uniform between two bounds, each of which lasts for a while.

    Levels that last about one period or relaxation time of the device reveal most about it; with a range for `hold`, the
    durations are log-uniform in it. `spinode design-drive` writes such a drive to a file.

    Args:
        low: Lowest level, in the unit of the drive.
        high: Highest level.
        duration: Length of the whole drive [s].
        interval: Time between two samples [s].
        hold: How long a level lasts [s], or the shortest and the longest time; rounded to whole samples; at least
            one interval.
        generator: Source of levels and durations.

    Returns:
        Samples, shape (time,), for a zero-order hold.

    Raises:
        ConfigError: bounds in the wrong order, or a duration, interval or hold that is out of range.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> drive = random_steps(-1.0, 1.0, duration=1e-6, interval=1e-9, hold=2e-8, generator=generator)
        >>> drive.shape, int((drive.diff() != 0).sum())
        (torch.Size([1000]), 49)
    """
    shortest, longest = hold if isinstance(hold, tuple) else (hold, hold)
    samples = _count_samples(duration, interval)
    if number("low", low) >= number("high", high):
        raise ConfigError(f"the levels run from low={low!r} to high={high!r}; expected the lower one first.")
    if number("hold", shortest, 0, above=True, unit="s") > number("hold", longest, 0, above=True, unit="s"):
        raise ConfigError(f"hold is {hold!r}; expected a time [s], or (shortest, longest) with 0 < shortest <= longest.")
    if shortest < 0.999 * interval:
        raise ConfigError(
            f"a level may last {shortest:g} s, less than the interval of {interval:g} s between two samples; pass a longer "
            "hold or a shorter interval."
        )
    if not math.isfinite(high - low):
        raise ConfigError(f"the levels run from low={low!r} to high={high!r}, a range that is too wide; pass smaller levels.")
    if longest > duration:
        raise ConfigError(
            f"a level may last {longest:g} s, but the drive only {duration:g} s; pass a longer duration or a shorter hold."
        )
    max_levels = math.ceil(samples / max(1, round(shortest / interval))) + 1
    levels = low + (high - low) * torch.rand(max_levels, generator=generator, dtype=torch.float64)
    times = shortest * (longest / shortest) ** torch.rand(max_levels, generator=generator, dtype=torch.float64)
    counts = (times / interval).round().clamp_min(1).to(torch.int64)
    return levels.repeat_interleave(counts)[:samples]


def ramped_steps(
    low: float,
    high: float,
    *,
    duration: float,
    interval: float,
    hold: float | tuple[float, float],
    generator: torch.Generator,
    stretches: Sequence[tuple[float, float]] = RAMP,
) -> Tensor:
    """Generate random steps around the middle of a range whose amplitude is raised stretch by stretch.

    A device with many modes behind one output shows its linear modes at a few per cent of the drive and its couplings at more,
    so that a fit can begin with few unknowns (`fit(..., embedding="latent")`). Record from rest under the middle of the range.
    Holds from a fifth of the shortest to twice the longest period of the device excite all modes; about 50 periods at the
    smallest amplitude and 200 at the largest are enough.

    Args:
        low: Lowest level, in the unit of the drive.
        high: Highest level.
        duration: Length of the whole drive [s].
        interval: Time between two samples [s].
        hold: How long a level lasts [s], or the shortest and the longest time, as in `random_steps`.
        generator: Source of levels and durations.
        stretches: Amplitude, as a share of the range, and length, as a share of the duration, of each stretch before the last,
            which has the full amplitude and the rest of the duration.

    Returns:
        Samples, shape (time,), for a zero-order hold.

    Raises:
        ConfigError: as `random_steps`, or stretches that do not rise or leave no time at full amplitude.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> drive = ramped_steps(-1.0, 1.0, duration=6e-8, interval=1e-10, hold=1e-9, generator=generator)
        >>> [float(part.abs().max()) <= bound for part, bound in ((drive[:100], 0.03), (drive[:200], 0.18), (drive, 1.0))]
        [True, True, True]
    """
    samples = _count_samples(duration, interval)
    amplitudes = [number("amplitude of a stretch", amplitude, 0, above=True) for amplitude, _ in stretches]
    shares = [number("share of a stretch", share, 0, above=True) for _, share in stretches]
    rising = all(one < other for one, other in pairwise([*amplitudes, 1.0]))
    if not rising or sum(shares) >= 1:
        raise ConfigError(
            f"stretches is {tuple(stretches)!r}; expected (amplitude, share of duration) with rising amplitudes below 1 and "
            f"shares whose sum is below 1, such as {RAMP!r}."
        )
    if number("low", low) >= number("high", high):
        raise ConfigError(f"the levels run from low={low!r} to high={high!r}; expected the lower one first.")
    counts = [round(share * samples) for share in shares]
    longest = number("hold", hold[-1] if isinstance(hold, tuple) else hold, 0, above=True, unit="s")
    shortest_stretch = min(*counts, samples - sum(counts)) * interval if counts else samples * interval
    if longest > shortest_stretch:
        raise ConfigError(
            f"a level may last {longest:g} s, but the shortest stretch of the ramp {shortest_stretch:g} s of the "
            f"{duration:g} s; pass a longer duration or a shorter hold."
        )
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    parts = [
        random_steps(
            middle - amplitude * half,
            middle + amplitude * half,
            duration=count * interval,
            interval=interval,
            hold=hold,
            generator=generator,
        )
        for amplitude, count in zip([*amplitudes, 1.0], [*counts, samples - sum(counts)], strict=True)
    ]
    return torch.cat(parts)


def modulated_sine(
    mean: float, amplitude: float, *, frequency: float, duration: float, interval: float, generator: torch.Generator
) -> Tensor:
    """Generate a sine whose amplitude changes at random from period to period.

    The drive is mean + amplitude a_i sin(2 pi f t), with a_i uniform in -1 .. 1 for period i.

    Args:
        mean: Mean value, in the unit of the drive.
        amplitude: Largest deviation from the mean.
        frequency: f [Hz].
        duration: Length of the whole drive [s].
        interval: Time between two samples [s]; a period needs at least ten samples.
        generator: Source of the amplitudes.

    Returns:
        Samples, shape (time,).

    Raises:
        ConfigError: numbers out of range, or fewer than ten samples per period.

    Source: Chen et al., Nat. Commun. 13, 1016 (2022).

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> drive = modulated_sine(0.5, 0.1, frequency=1e9, duration=5e-9, interval=1e-11, generator=generator)
        >>> drive.shape, bool(((drive - 0.5).abs() <= 0.1).all())
        (torch.Size([500]), True)
    """
    samples = _count_samples(duration, interval)
    number("mean", mean)
    number("amplitude", amplitude, 0, above=True)
    if not 0 < number("frequency", frequency, unit="Hz") * interval <= 0.1:
        raise ConfigError(
            f"frequency is {frequency!r} Hz with samples every {interval:g} s; expected at least ten samples per period, "
            f"that is a frequency of at most {0.1 / interval:g} Hz."
        )
    time = torch.arange(samples, dtype=torch.float64) * interval
    period = (time * frequency + 1e-9).floor().to(torch.int64)
    factors = 2 * torch.rand(int(period[-1]) + 1, generator=generator, dtype=torch.float64) - 1
    return mean + amplitude * factors[period] * torch.sin(2 * math.pi * frequency * time)


def _count_samples(duration: float, interval: float) -> int:
    """Return the number of samples of a drive."""
    if number("interval", interval, 0, above=True, unit="s") * 2 > number("duration", duration, unit="s"):
        raise ConfigError(
            f"duration is {duration!r} s and interval {interval!r} s; expected a duration of at least two intervals."
        )
    samples = duration / interval
    if samples > _MAX_SAMPLES:
        raise ConfigError(
            f"{duration:g} s with a sample every {interval:g} s are {samples:.3g} samples; expected at most {_MAX_SAMPLES}. "
            "Pass a longer interval."
        )
    return round(samples)
