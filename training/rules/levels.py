"""`nearest_level`: the quantiser of hidden weights of binary and quantised layers, and where it changes."""

from __future__ import annotations

import torch
from torch import Tensor

#: Spacing and number of evenly spaced levels around zero; None for the sign.
Interval = tuple[float, int] | None


def nearest_level(weight: Tensor, interval: Interval = None) -> Tensor:
    """Return the quantised values of hidden weights: the sign, 1 for zero, or the nearest level.

    Args:
        weight: Hidden weights, any shape.
        interval: None for the sign. (spacing, levels): the levels spacing (k - (levels - 1) / 2) for k = 0 .. levels - 1.

    Example:
        >>> import torch
        >>> nearest_level(torch.tensor([-0.2, 0.0, 0.9])).tolist()
        [-1.0, 1.0, 1.0]
        >>> nearest_level(torch.tensor([-0.2, 0.4, 3.0]), (1.0, 3)).tolist()
        [0.0, 0.0, 1.0]
    """
    if interval is None:
        return (weight >= 0).to(weight.dtype).mul_(2).sub_(1)  # several times as fast as where()
    spacing, levels = interval
    middle = (levels - 1) / 2
    scaled = (weight * (1 / spacing)).add_(middle)  # in place from here on: half the time
    return scaled.clamp_(0, levels - 1).round_().sub_(middle).mul_(spacing)


def half_spacing(levels: int) -> float:
    """Return half the distance h = 1 / (levels - 1) between levels that are evenly spaced from -1 to 1.

    Rates, initial widths and metaplasticity are in this unit, which is that of the weight itself for two levels.
    """
    return 1 / (levels - 1)


def transitions(interval: Interval = None) -> list[float]:
    """Return the values at which `nearest_level` changes, in rising order.

    Args:
        interval: As for `nearest_level`.

    Example:
        >>> transitions(), transitions((1.0, 4))
        ([0.0], [-1.0, 0.0, 1.0])
    """
    spacing, levels = (2.0, 2) if interval is None else interval
    return [spacing * (index - (levels - 2) / 2) for index in range(levels - 1)]


def distance_to_transition(weight: Tensor, interval: Interval = None) -> Tensor:
    """Return the signed distance of hidden weights from the nearest place where `nearest_level` changes.

    Args:
        weight: Hidden weights, any shape.
        interval: As for `nearest_level`.
    """
    if interval is None:
        return weight
    spacing, levels = interval
    middle = (levels - 2) / 2
    return weight - spacing * ((weight * (1 / spacing) + middle).clamp(0, levels - 2).round() - middle)


def level_shares(weight: Tensor, interval: Interval = None) -> dict[float, float]:
    """Return the share of hidden weights at each level, in rising order, levels without weights included.

    Args:
        weight: Hidden weights, any shape.
        interval: As for `nearest_level`.

    Example:
        >>> level_shares(torch.tensor([-0.2, 0.4, 3.0, 0.1]), (1.0, 3))
        {-1.0: 0.0, 0.0: 0.75, 1.0: 0.25}
    """
    spacing, levels = (2.0, 2) if interval is None else interval
    middle = (levels - 1) / 2
    indices = (nearest_level(weight, interval) / spacing + middle).round().long()
    counts = torch.bincount(indices.flatten(), minlength=levels).tolist()
    return {spacing * (index - middle): count / max(weight.numel(), 1) for index, count in enumerate(counts)}
