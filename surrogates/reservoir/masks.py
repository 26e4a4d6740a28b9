"""`mask`: the input weights of virtual nodes."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import ConfigError
from ...tensors import real_tensor
from ...validation import array_size, one_of, seed_number, whole_number

KINDS = ("binary", "uniform", "normal")


def mask(kind: str, nodes: int, inputs: int = 1, *, seed: int = 0) -> Tensor:
    """Return random input weights for each virtual node.

    Args:
        kind: "binary", -1 or 1; "uniform", between -1 and 1; "normal", standard normal.
        nodes: Number of virtual nodes.
        inputs: Width of the input.
        seed: Seed of the random numbers.

    Returns:
        Weights, shape (nodes, inputs), float64.

    Raises:
        ConfigError: another kind, or numbers that are not positive.

    Example:
        >>> mask("binary", 4).squeeze().tolist()
        [-1.0, 1.0, 1.0, -1.0]
    """
    return _random_mask(kind, nodes, inputs, seed_number("seed", seed))


def _random_mask(kind: str, nodes: int, inputs: int, seed: int) -> Tensor:
    nodes, inputs = whole_number("nodes", nodes, 1), whole_number("inputs", inputs, 1)
    array_size("the mask", nodes=nodes, inputs=inputs)
    generator = torch.Generator().manual_seed(seed)
    if one_of("the kind of the mask", kind, KINDS) == "binary":
        return 2.0 * torch.randint(2, (nodes, inputs), generator=generator).to(torch.float64) - 1
    if kind == "uniform":
        return 2 * torch.rand(nodes, inputs, generator=generator, dtype=torch.float64) - 1
    return torch.randn(nodes, inputs, generator=generator, dtype=torch.float64)


def device_masks(given: str | Tensor, devices: int, nodes: int, inputs: int, seed: int) -> Tensor:
    """Return the masks of several devices, shape (devices, nodes, inputs), from a kind or from values.

    Raises:
        ConfigError: values of another shape.
    """
    if isinstance(given, str):
        first = seed_number("seed", seed)
        return torch.stack([_random_mask(given, nodes, inputs, first + index) for index in range(devices)])
    values = real_tensor("mask", given).to(torch.float64)
    given_shape = tuple(values.shape)
    values = values.unsqueeze(-1) if values.dim() == 1 else values
    if (
        values.shape[-2:-1] != (nodes,)
        or not values.numel()
        or values.dim() > 3
        or (values.dim() == 3 and len(values) != devices)
    ):
        raise ConfigError(
            f"the mask has shape {given_shape}; expected (nodes, inputs) with {nodes} nodes"
            f"{f', or ({devices}, {nodes}, inputs)' if devices > 1 else ''}."
        )
    return values.expand(devices, *values.shape[-2:]).clone()
