"""Memory capacity and parity check: how much of its past input the states of a reservoir contain."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import ConfigError
from ...random import check_generator
from ...validation import whole_number


def random_bits(length: int, *, generator: torch.Generator) -> Tensor:
    """Return random bits 0 and 1, shape (length,), float64.

    Example:
        >>> random_bits(5, generator=torch.Generator().manual_seed(0)).tolist()
        [0.0, 1.0, 1.0, 0.0, 1.0]
    """
    check_generator(generator)
    return torch.randint(2, (whole_number("length", length, 1),), generator=generator).to(torch.float64)


def delayed(u: Tensor, max_delay: int) -> Tensor:
    """Return the targets of the short-term memory task: the input u(t - k) for k = 1 .. max_delay.

    Args:
        u: Input, shape (time,).
        max_delay: Longest delay [samples], shorter than the input.

    Returns:
        Shape (time, max_delay); 0 for times before the first sample.

    Raises:
        ConfigError: an input of another shape, or a delay that is not positive or longer than the input.

    Example:
        >>> delayed(torch.tensor([1.0, 2.0, 3.0]), 2).tolist()
        [[0.0, 0.0], [1.0, 0.0], [2.0, 1.0]]
    """
    longest = _check_delay(u, max_delay)
    return torch.stack([torch.cat([u.new_zeros(k), u[:-k]]) for k in range(1, longest + 1)], -1)


def parity(u: Tensor, max_delay: int) -> Tensor:
    """Return the targets of the parity check: 1 if u(t) + ... + u(t - k) is odd and 0 if even, for k = 1 .. max_delay.

    Args:
        u: Bits 0 and 1, shape (time,).
        max_delay: Longest delay [samples], shorter than the input.

    Returns:
        Shape (time, max_delay).

    Raises:
        ConfigError: as for `delayed`, or an input with values other than 0 and 1.

    Example:
        >>> parity(torch.tensor([1.0, 1.0, 0.0, 1.0]), 1).squeeze().tolist()
        [1.0, 0.0, 1.0, 1.0]
    """
    _check_delay(u, max_delay)
    if not bool(((u == 0) | (u == 1)).all()):
        raise ConfigError("the input of the parity check has values other than 0 and 1; pass bits, such as random_bits(...).")
    history = torch.cat([u[:, None], delayed(u, max_delay)], -1)
    return history.cumsum(-1)[:, 1:] % 2


def capacity(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the squared correlation of each target with its prediction; their sum is the capacity.

    Args:
        predicted: Predictions on samples that the readout was not fitted on, shape (time, targets).
        target: Targets, shape (time, targets).

    Returns:
        Values from 0 to 1, shape (targets,).

    Source: Jaeger, GMD Report 152 (2001); Furuta et al., Phys. Rev. Applied 10, 034063 (2018),
    doi:10.1103/PhysRevApplied.10.034063.

    Example:
        >>> target = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
        >>> capacity(2 * target, target).tolist(), capacity(target.roll(1, 0), target).tolist()
        ([1.0], [0.0])
    """
    a, b = predicted - predicted.mean(0), target - target.mean(0)
    scale = (a.square().sum(0) * b.square().sum(0)).clamp_min(1e-300)
    return (a * b).sum(0).square() / scale


def _check_delay(u: Tensor, max_delay: int) -> int:
    """Return the longest delay, after checking it and the shape of the input."""
    if u.dim() != 1 or len(u) < 2:
        raise ConfigError(f"the input has shape {tuple(u.shape)}; expected (time,) with at least 2 samples.")
    return whole_number("max_delay", max_delay, 1, len(u) - 1)
