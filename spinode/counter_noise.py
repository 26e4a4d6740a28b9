"""Standard normal numbers by their place, in plain torch: the twin of kernels/normal.hpp.

Drawn by torch's generator, the noise of a step of online learning takes as long as the step itself. A counter-based generator
gives the same numbers compiled and in plain torch (up to rounding), from any step on, for one key.

Source: Philox4x32-10 of Salmon et al., SC11 (2011); Box and Muller, Ann. Math. Stat. 29, 610 (1958).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_LOW = 0xFFFFFFFF


def normals(key: int, first: int, steps: int, count: int) -> Tensor:
    """Normal numbers of some steps.

    Args:
        key: Which sequence, of 64 bits.
        first: Number of the first step.
        steps: How many steps.
        count: Numbers in each step, at most 2^34; more of them are not a continuation of fewer.

    Returns:
        Independent standard normal numbers of 24 bits, float32, shape (steps, count).
    """
    length = -(-count // 4)
    counter = torch.arange(length).expand(steps, length)
    step = torch.arange(first, first + steps)[:, None].expand(steps, length)
    a, b, c, d = philox((counter, step & _LOW, step >> 32, torch.zeros_like(counter)), key)
    return torch.cat([*_box_muller(a, b), *_box_muller(c, d)], 1)[:, :count]


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four random words of 32 bits for each counter of four such words, in int64."""
    a, b, c, d = counter
    low, high = key & _LOW, key >> 32 & _LOW
    for _ in range(10):
        (p_high, p), (q_high, q) = _product(a, 0xD2511F53), _product(c, 0xCD9E8D57)
        a, b, c, d = q_high ^ b ^ low, q, p_high ^ d ^ high, p
        low, high = (low + 0x9E3779B9) & _LOW, (high + 0xBB67AE85) & _LOW
    return a, b, c, d


def _product(value: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """High and low word of a product of two words: in int64 it wraps around, but loses no bit."""
    product = value * factor
    return product >> 32 & _LOW, product & _LOW


def _box_muller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Radius of the first word; angle of the second, whose lowest two bits turn it by quarters."""
    radius = (-2 * ((first >> 1).float() * 2**-31 + 2**-32).log()).sqrt()
    quarter = second & 3
    signed = second - (second >> 31 << 32)  # as the compiled half has it, an int32
    angle = (signed >> 2).float() * (math.pi / 4 * 2**-29)
    sine, cosine = angle.sin(), angle.cos()
    across = (quarter & 1).bool()
    sign = 1 - (quarter & 2).float()
    return radius * sign * torch.where(across, sine, cosine), radius * sign * torch.where(across, cosine, sine)
