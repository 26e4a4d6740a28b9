"""Delay embedding: forward samples of the outputs."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from ....typing import Array
from ..drive_interpolation import settled_drive
from .base import Blocks, EmbeddingKind, register
from .local_polynomial import local_polynomial


class DelayEmbedding(EmbeddingKind):
    """b_j = j-th forward difference of b_0 over one sample.

    These are the forward samples y(t), y(t + dt), ... of Chen et al. in a basis whose members have comparable deviation. The
    drive is embedded alike, so it must be known order - 1 samples ahead.

    Source: Chen et al., Nat. Commun. 13, 1016 (2022).
    """

    name = "delay"
    summary = "the forward samples of Chen et al. 2022"
    max_order = 24
    search_orders = MappingProxyType(
        {"quick": (1, 2, 3, 5), "default": (1, 2, 3, 4, 5, 8), "long": (1, 2, 3, 4, 5, 6, 8, 10, 12)}
    )

    def embed(self, outputs: Array, order: int) -> Blocks:
        """Embed uniformly sampled outputs; the last `order - 1` samples have no state."""
        recorded = np.array([local_polynomial(column, 1)[2] for column in outputs.T])
        # The variance of the j-th difference of white noise is the sum of the squared binomial coefficients.
        gains = np.sqrt([np.sum(np.square(_difference_coefficients(j))) for j in range(order)])
        values = np.stack([forward_differences(column, order) for column in outputs.T], -1)
        return Blocks(values, gains[:, None] * recorded[None, :], recorded)

    def drive_blocks(self, drive: Tensor, interpolation: tuple[str, ...], order: int) -> Tensor:
        """Return the forward differences of the drive to which the samples have responded."""
        settled = settled_drive(drive, interpolation)
        length = len(settled) - order + 1
        return torch.stack([torch.diff(settled, n=j, dim=0)[:length] for j in range(order)], -2)

    def lookahead(self, order: int) -> int:
        """Return the number of forward samples."""
        return order - 1

    def drive_size(self, channels: int, order: int) -> int:
        """Return the number of drive values: `order` samples of each channel."""
        return channels * order

    def field_drive(self, stages: Tensor, order: int) -> Tensor:
        """Return the stages of the present step and of the `order - 1` steps after it."""
        return forward_samples(stages, order)

    def constant_field_drive(self, drive: Tensor, order: int) -> Tensor:
        """Return the drive `order` times."""
        return drive.tile(order)


def forward_differences(values: Array, order: int) -> Array:
    """Return the forward differences 0 .. order-1, shape (time - order + 1, order)."""
    length = len(values) - order + 1
    return np.stack([np.diff(values, n=j)[:length] for j in range(order)], -1)


def forward_samples(stages: Tensor, order: int) -> Tensor:
    """Return the stages of each step next to those of the steps after it; beyond the last sample the drive is held.

    Args:
        stages: Shape (..., steps, 3, channels).
        order: Number of steps seen, the present one included.

    Returns:
        Shape (..., steps, 3, order * channels).
    """
    steps = stages.shape[-3]
    if not steps:
        return stages.tile(order)
    last_value = stages[..., -1:, 2:, :].expand(*stages.shape[:-3], 1, 3, stages.shape[-1])
    padded = torch.cat([stages, *[last_value] * (order - 1)], -3)
    return torch.cat([padded[..., j : j + steps, :, :] for j in range(order)], -1)


def _difference_coefficients(j: int) -> Array:
    return np.array([abs(c) for c in np.poly1d([1, -1]) ** j]) if j else np.ones(1)


register(DelayEmbedding())
