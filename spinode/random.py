"""Random numbers: rare Bernoulli events by the gaps between them, and normal numbers from a counter-based generator.

A counter-based generator computes each number from its position: compiled code and plain torch return the same numbers (up to
rounding), from any position on, for one key. The compiled twin of `counter_normals` is `spinode.kernels.online.normals`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .errors import ConfigError
from .validation import is_whole_number, seed_number

_MASK = 0xFFFFFFFF


def make_generator(seed: Any) -> torch.Generator:
    """Return a new generator on the CPU.

    Args:
        seed: A whole number from 0 to 2^32 - 1, or another generator, from which a seed is drawn; this advances it.

    Raises:
        ConfigError: neither of the two, or a whole number outside these bounds.

    Example:
        >>> torch.equal(torch.rand(2, generator=make_generator(1)), torch.rand(2, generator=make_generator(1)))
        True
    """
    if isinstance(seed, torch.Generator):
        return torch.Generator().manual_seed(draw_seed(seed))
    if is_whole_number(seed):
        return torch.Generator().manual_seed(seed_number("seed", seed))
    raise ConfigError(f"seed is {seed!r}; expected a whole number or a torch.Generator.")


def seeded_generator(seed: Any) -> torch.Generator:
    """Return a new generator on the CPU for a seed that must be a whole number.

    Raises:
        ConfigError: not a whole number from 0 to 2^32 - 1.

    Example:
        >>> seeded_generator(3).initial_seed()
        3
    """
    return torch.Generator().manual_seed(seed_number("seed", seed))


def check_generator(generator: Any) -> None:
    """Check an optional source of randomness.

    Raises:
        ConfigError: neither None nor a torch.Generator.
    """
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ConfigError(
            f"generator is {generator!r}; expected a torch.Generator, such as torch.Generator().manual_seed(0), or None."
        )


def draw_seed(generator: torch.Generator) -> int:
    """Draw a seed for another generator."""
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))


def bernoulli_indices(trials: int, probability: float, generator: torch.Generator) -> Tensor:
    """Return the indices of the successful ones among independent trials of one probability p.

    The number of failures before the next success is geometric, floor(ln U / ln(1 - p)) with U uniform on 0 .. 1, and
    independent of the others, so the successes are at the cumulative sums of such gaps. This is exact, and takes p random
    numbers per trial in place of one.

    For trials of different probabilities q <= p, keep each index with probability q / p ("thinning").

    Args:
        trials: Number of trials.
        probability: p of each trial, 0 .. 1.
        generator: Source of randomness; the result is on its device.

    Returns:
        Indices of the successful trials, 0 .. trials - 1, ascending, int64.

    Example:
        >>> bernoulli_indices(100, 0.05, torch.Generator().manual_seed(0)).tolist()
        [68, 92]

    Source: L. Devroye, Non-Uniform Random Variate Generation (1986), chapter X.2, for the geometric law by inversion.
    """
    device = generator.device
    if probability >= 1:
        return torch.arange(trials, device=device)
    if not (probability > 0 and trials > 0):
        return torch.empty(0, dtype=torch.int64, device=device)
    rate, last, blocks = 1 / math.log1p(-probability), -1, []
    while last < trials - 1:
        # The mean and four standard deviations: another round is needed about once in ten thousand calls.
        mean = (trials - 1 - last) * probability
        u = torch.rand(int(mean + 4 * math.sqrt(mean) + 8), generator=generator, dtype=torch.float64, device=device)
        # 1 - U is never zero. Gaps are clipped beyond the end, which keeps their sums within int64.
        gaps = u.neg_().log1p_().mul_(rate).clamp_(max=trials).long().add_(1)
        blocks.append(gaps.cumsum(0).add_(last))
        last = int(blocks[-1][-1])
    indices = torch.cat(blocks) if len(blocks) > 1 else blocks[0]
    return indices[: int(torch.searchsorted(indices, trials))]


def are_exclusive_pairs(pulses: Tensor) -> bool:
    """Return True if the devices are pairs, shape (2, ...), of which at most one gets pulses.

    Such a pair needs one random number per pulse: the device without pulses does not use it.

    Args:
        pulses: Number of pulses of each device, none below zero.

    Example:
        >>> are_exclusive_pairs(torch.tensor([[3, 0], [0, 1]])), are_exclusive_pairs(torch.tensor([[3, 1], [0, 1]]))
        (True, False)
    """
    if pulses.dim() < 2 or len(pulses) != 2:
        return False
    # A sum of products, each 0 or at least 1: it is zero where all of them are.
    return not float(torch.dot(pulses[0].reshape(-1), pulses[1].reshape(-1)))


def counter_normals(key: int, first: int, steps: int, count: int) -> Tensor:
    """Return standard normal numbers by their position: step and index within the step.

    Args:
        key: Key of the sequence, 64 bits.
        first: Index of the first step.
        steps: Number of steps.
        count: Numbers per step, at most 2^34. The first numbers of a step depend on `count`.

    Returns:
        Independent standard normal numbers with 24 random bits, float32, shape (steps, count).

    Example:
        >>> torch.equal(counter_normals(7, 0, 3, 8)[1:], counter_normals(7, 1, 2, 8))
        True

    Source: Philox4x32-10 of Salmon et al., SC11 (2011); Box and Muller, Ann. Math. Stat. 29, 610 (1958).
    """
    length = -(-count // 4)
    counter = torch.arange(length).expand(steps, length)
    step = torch.arange(first, first + steps)[:, None].expand(steps, length)
    a, b, c, d = philox((counter, step & _MASK, step >> 32, torch.zeros_like(counter)), key)
    return torch.cat([*_box_muller(a, b), *_box_muller(c, d)], 1)[:, :count]


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return four random 32-bit words for each counter of four 32-bit words, all in int64.

    Source: Philox4x32-10 of Salmon et al., SC11 (2011).
    """
    a, b, c, d = counter
    low, high = key & _MASK, key >> 32 & _MASK
    for _ in range(10):
        (p_high, p_low), (q_high, q_low) = _product(a, 0xD2511F53), _product(c, 0xCD9E8D57)
        a, b, c, d = q_high ^ b ^ low, q_low, p_high ^ d ^ high, p_low
        low, high = (low + 0x9E3779B9) & _MASK, (high + 0xBB67AE85) & _MASK
    return a, b, c, d


def _product(value: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Return the high and low word of a product of two 32-bit words; int64 wraps around but loses no bit."""
    product = value * factor
    return product >> 32 & _MASK, product & _MASK


def _box_muller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return two normal numbers: the radius from the first word, the angle from the second.

    The lowest two bits of the second word turn the angle by quarters.
    """
    radius = (-2 * ((first >> 1).float() * 2**-31 + 2**-32).log()).sqrt()
    quarter = second & 3
    signed = second - (second >> 31 << 32)  # an int32, as in the compiled code
    angle = (signed >> 2).float() * (math.pi / 4 * 2**-29)
    sine, cosine = angle.sin(), angle.cos()
    swap = (quarter & 1).bool()
    sign = 1 - (quarter & 2).float()
    return radius * sign * torch.where(swap, sine, cosine), radius * sign * torch.where(swap, cosine, sine)
