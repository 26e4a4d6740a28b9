"""Indices of flattened weights, and numbers of pulses in parts that a floating-point type contains exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..contracts.synapse import MAX_PULSES, Pulses
from ..errors import ConfigError
from ..validation import describe_type


def check_indices(indices: Any, total: int, *, once: bool = True) -> None:
    """Check indices of flattened weights.

    Args:
        indices: Anything; None stands for all weights.
        total: Number of weights.
        once: Refuse an index that occurs twice.

    Raises:
        ConfigError: not a tensor of one dimension of whole numbers from 0 to total - 1, or one of them twice.

    Example:
        >>> check_indices(torch.tensor([0, 0]), 3)
        Traceback (most recent call last):
        ...
        spinode.errors.ConfigError: indices contains 1 of 2 values twice; expected each weight once. Use indices.unique().
    """
    if indices is None:
        return
    if not isinstance(indices, Tensor) or indices.dtype not in (torch.int64, torch.int32) or indices.dim() != 1:
        given = f"{indices.dtype} of shape {tuple(indices.shape)}" if isinstance(indices, Tensor) else describe_type(indices)
        fix = "mask.flatten().nonzero()[:, 0]" if getattr(indices, "dtype", None) == torch.bool else "torch.tensor([0, 2])"
        raise ConfigError(f"indices is {given}; expected a tensor of whole numbers, shape (n,), such as {fix}.")
    wrong = (indices < 0) | (indices >= total)
    if bool(wrong.any()):
        raise ConfigError(f"indices contains {int(indices[wrong][0])}; expected whole numbers from 0 to {total - 1}.")
    if once:
        seen = torch.zeros(total, dtype=torch.bool, device=indices.device)
        seen[indices] = True
        repeated = len(indices) - int(seen.sum())
        if repeated:
            raise ConfigError(
                f"indices contains {repeated} of {len(indices)} values twice; expected each weight once. Use indices.unique()."
            )


def exact_trains(pulses: Pulses, devices: Tensor) -> Iterator[Pulses]:
    """Yield the pulses in parts whose numbers a type contains exactly: one part in float32, up to 2048 pulses in float16.

    Args:
        pulses: Checked pulses.
        devices: A state, with the type and torch device of all.

    Example:
        >>> [part.count.tolist() for part in exact_trains(Pulses(torch.tensor([2049.0, -3.0])), torch.zeros(2).half())]
        [[2048.0, -3.0], [1.0, 0.0]]
    """
    largest = 2 / torch.finfo(devices.dtype).eps
    left = pulses.count.to(devices.device)
    while largest < MAX_PULSES and bool((left.abs() > largest).any()):
        part = left.clamp(-largest, largest)
        yield Pulses.unchecked(part.to(devices), pulses.voltage, pulses.width)
        left = left - part
    yield Pulses.unchecked(left.to(devices), pulses.voltage, pulses.width)


def flat_view(value: Tensor, shape: torch.Size) -> Tensor:
    """Return a view of a state in which one dimension replaces those of the weights."""
    return value.view(value.shape[0], shape.numel(), *value.shape[1 + len(shape) :])
