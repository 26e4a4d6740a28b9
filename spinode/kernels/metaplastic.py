"""The compiled metaplastic step of Adam; its plain-torch twin is `spinode.training.rules.metaplastic_update`."""

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
    """Take one step, in place.

    Args:
        tensors: Hidden weight, gradient, averages of the gradient and of its square, and optionally the quantised weight that
            the network uses; all contiguous and of one shape.
        betas: Decay rates of the averages.
        numbers: Bias-corrected learning rate, correction of the root, eps, weight decay, m.
        spacing: Distance of two levels.
        levels: Number of levels, 0 for the sign.

    Raises:
        ConfigError: shapes or types that the kernel does not take.
    """
    weight = tensors[0]
    shape = tuple(weight.shape)
    native.check_tensors(weight.dtype, **{f"tensor {i} of a step": (value, shape) for i, value in enumerate(tensors)})
    if weight.dtype not in (torch.float32, torch.float64) or not 4 <= len(tensors) <= 5:
        raise ConfigError(f"the kernel takes 4 or 5 tensors of float32 or float64; got {len(tensors)} of {weight.dtype}.")
    if not all(value.is_contiguous() for value in tensors) or levels == 1 or levels < 0 or not spacing > 0:
        raise ConfigError(
            "the kernel takes contiguous tensors, 0 or at least 2 levels, and a positive spacing; got "
            f"levels={levels}, spacing={spacing}."
        )
    names = ("weight", "gradient", "average", "square", "quantised")
    arrays: dict[str, Tensor | None] = dict.fromkeys(names)
    arrays.update(zip(names, (value.detach() for value in tensors), strict=False))
    rate, root_scale, eps, decay, m = numbers
    native.library.metaplastic(
        native.simd(),
        **arrays,
        betas=betas,
        rate=rate,
        root_scale=root_scale,
        eps=eps,
        decay=decay,
        m=m,
        spacing=spacing,
        levels=levels,
        threads=native.threads(),
    )
    # Autograd must notice a change between a forward and its backward pass, as it does with torch's own in-place operators.
    for value in (weight, *tensors[2:]):
        torch.autograd.graph.increment_version(value)
