"""Capacities: how much of its past input a reservoir can give back, linearly and by parity."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import ConfigError


def random_bits(length: int, *, generator: torch.Generator) -> Tensor:
    """Bits 0 or 1, shape (length,), float64."""
    return torch.randint(2, (length,), generator=generator).to(torch.float64)


def delayed(u: Tensor, most: int) -> Tensor:
    """Targets of the short-term memory: u(t - k) for k = 1 .. most, shape (time, most); 0 before the first.

    Raises:
        ConfigError: a delay that is not positive, or longer than the input.
    """
    _check(u, most)
    return torch.stack([torch.cat([u.new_zeros(k), u[:-k]]) for k in range(1, most + 1)], -1)


def parity(u: Tensor, most: int) -> Tensor:
    """Targets of the parity check: whether u(t) + ... + u(t - k) is odd, for k = 1 .. most, shape (time, most).

    Raises:
        ConfigError: as `delayed`, or an input that is not of bits.
    """
    _check(u, most)
    if not bool(((u == 0) | (u == 1)).all()):
        raise ConfigError("the parity is that of bits; pass an input of 0 and 1, as random_bits makes it.")
    back = torch.cat([u[:, None], delayed(u, most)], -1)
    return back.cumsum(-1)[:, 1:] % 2


def capacity(predicted: Tensor, target: Tensor) -> Tensor:
    """Squared correlation of each target with its prediction, shape (targets,); their sum is the capacity.

    Args:
        predicted: Shape (time, targets), of samples that the read-out has not seen.
        target: Likewise.

    Source: Jaeger, GMD Report 152 (2001); Furuta et al., Phys. Rev. Applied 10, 034063 (2018),
    doi:10.1103/PhysRevApplied.10.034063.
    """
    a, b = predicted - predicted.mean(0), target - target.mean(0)
    scale = (a.square().sum(0) * b.square().sum(0)).clamp_min(1e-300)
    return (a * b).sum(0).square() / scale


def _check(u: Tensor, most: int) -> None:
    if u.dim() != 1 or not isinstance(most, int) or not 1 <= most < len(u):
        raise ConfigError(
            f"the input has shape {tuple(u.shape)} and the longest delay is {most!r}; expected (time,), 1 .. time - 1."
        )
