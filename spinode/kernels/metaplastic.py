"""The compiled metaplastic step of Adam; its twin in plain torch stands in `spinode.training.rules.metaplastic_step`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import ConfigError
from . import native


def update(
    tensors: Sequence[Tensor],
    betas: tuple[float, float],
    numbers: tuple[float, float, float, float, float],
    spacing: float,
    levels: int,
) -> None:
    """One step, in place.

    Args:
        tensors: Weight, gradient, averages of gradients and of their squares, and perhaps what the network sees; contiguous.
        betas: Decay rates of the averages.
        numbers: Corrected rate, correction of the root, eps, decay, m.
        spacing: Of the levels.
        levels: Their number, 0 for a sign.

    Raises:
        ConfigError: shapes or types that the kernel does not take.
    """
    weight = tensors[0]
    native.check(weight.dtype, **{f"tensor {i} of a step": (value, tuple(weight.shape)) for i, value in enumerate(tensors)})
    if weight.dtype not in (torch.float32, torch.float64) or not 4 <= len(tensors) <= 5:
        raise ConfigError(f"the kernel takes 4 or 5 tensors of float32 or float64; got {len(tensors)} of {weight.dtype}.")
    if not all(value.is_contiguous() for value in tensors) or levels == 1 or levels < 0 or not spacing > 0:
        raise ConfigError(f"the kernel takes contiguous tensors and levels of a positive spacing; got {levels}, {spacing}.")
    rate, root_scale, eps, decay, m = numbers
    data = [value.data_ptr() for value in tensors]
    native.library.metaplastic(
        native.simd(),
        weight.dtype == torch.float64,
        (weight.numel(), levels, native.threads()),
        (*betas, rate, root_scale, eps, decay, m, spacing),
        (*data, 0)[:5],
    )
    # Autograd must notice a change between a forward and its backward pass, as it does with torch's own in-place operators.
    for value in (weight, *tensors[2:]):
        torch.autograd.graph.increment_version(value)
