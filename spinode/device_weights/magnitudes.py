"""Largest and total magnitude of a tensor, in one pass over a million values."""

from __future__ import annotations

import torch
from torch import Tensor


def max_magnitude(values: Tensor) -> Tensor:
    """Return the largest magnitude, NaN if one value is NaN; no temporary of the size of the values is made.

    Example:
        >>> max_magnitude(torch.tensor([1.0, -3.0, 2.0]))
        tensor(3.)
    """
    low, high = torch.aminmax(values)
    return torch.maximum(-low, high)


def total_magnitude(counts: Tensor) -> int:
    """Return the exact sum of the magnitudes of whole numbers.

    Sums below 2^24 are exact in single precision; larger ones are computed again in double precision.

    Example:
        >>> total_magnitude(torch.tensor([1.0, -3.0]))
        4
    """
    counts = counts.abs()
    total = float(counts.sum(dtype=torch.promote_types(counts.dtype, torch.float32)))
    return int(total) if total < 2**24 else int(counts.sum(dtype=torch.float64))
