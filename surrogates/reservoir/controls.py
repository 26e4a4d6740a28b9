"""Baselines for a reservoir: the input alone, a static layer, and an echo-state network of the same size."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...random import seeded_generator
from ...tensors import real_tensor
from ...validation import array_size, number, whole_number


class LinearNodes(nn.Module):
    """A baseline without a reservoir: the states are the input.

    Args:
        inputs: Width of the input.

    Example:
        >>> LinearNodes()(torch.tensor([1.0, 2.0])).tolist()
        [[1.0], [2.0]]
    """

    def __init__(self, inputs: int = 1) -> None:
        super().__init__()
        self.inputs = self.width = whole_number("inputs", inputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the input, shape (..., time, inputs)."""
        return _checked(x, self.inputs)


class TanhNodes(nn.Module):
    """A static random layer, tanh(scale M x + b).

    The entries of M are normal with variance 1 / inputs, those of b are uniform in -1 .. 1.

    Args:
        width: Number of nodes.
        inputs: Width of the input.
        scale: Input scaling.
        seed: Seed of the weights.
    """

    def __init__(self, width: int, inputs: int = 1, *, scale: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        generator, scale = seeded_generator(seed), number("scale", scale)
        self.inputs, self.width = whole_number("inputs", inputs, 1), whole_number("width", width, 1)
        array_size("the layer", inputs=self.inputs, width=self.width)
        self.weight = scale * torch.randn(width, inputs, generator=generator, dtype=torch.float64) / math.sqrt(inputs)
        self.bias = 2 * torch.rand(width, generator=generator, dtype=torch.float64) - 1

    def forward(self, x: Tensor) -> Tensor:
        """Return the states, shape (..., time, width)."""
        return torch.tanh(_checked(x, self.inputs) @ self.weight.T + self.bias)


class EchoState(nn.Module):
    """An echo-state network: s(t) = (1 - leak) s(t - 1) + leak tanh(W s(t - 1) + scale M x(t) + b).

    Args:
        width: Number of nodes.
        inputs: Width of the input.
        radius: Spectral radius of W, usually below 1.
        leak: Leaking rate, above 0 and at most 1.
        scale: Input scaling.
        density: Share of the entries of W that are not 0.
        seed: Seed of the weights.

    Raises:
        ConfigError: numbers out of range.

    Source: Jaeger, GMD Report 148 (2001); Lukosevicius, LNCS 7700, 659 (2012), doi:10.1007/978-3-642-35289-8_36.
    """

    def __init__(
        self,
        width: int,
        inputs: int = 1,
        *,
        radius: float = 0.9,
        leak: float = 1.0,
        scale: float = 1.0,
        density: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        inputs, width = whole_number("inputs", inputs, 1), whole_number("width", width, 1)
        array_size("the layer", inputs=inputs, width=width)
        array_size("the weights", rows=width, columns=width)
        scale = number("scale", scale)
        number("radius", radius, 0, 1.5, below=True)
        number("leak", leak, 0, 1, above=True)
        number("density", density, 0, 1, above=True)
        generator = seeded_generator(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.inputs, self.width, self.leak = inputs, width, leak
        self.input_weight = scale * normal(width, inputs) / math.sqrt(inputs)
        self.bias = 0.2 * normal(width)
        nonzero = torch.rand(width, width, generator=generator, dtype=torch.float64) < max(density, 1 / width)
        weight = normal(width, width) * nonzero
        largest = float(torch.linalg.eigvals(weight).abs().max())
        self.weight = weight * (radius / largest if largest > 0 else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the states, shape (..., time, width), from an initial state of 0."""
        drive = _checked(x, self.inputs) @ self.input_weight.T + self.bias
        state = torch.zeros_like(drive[..., 0, :])
        states = []
        for now in drive.unbind(-2):
            state = (1 - self.leak) * state + self.leak * torch.tanh(state @ self.weight.T + now)
            states.append(state)
        return torch.stack(states, -2)


def _checked(x: Tensor, inputs: int) -> Tensor:
    x = real_tensor("the input", x).to(torch.float64)
    x = x.unsqueeze(-1) if x.dim() == 1 else x
    if x.dim() < 2 or x.shape[-1] != inputs:
        raise ConfigError(f"the input has shape {tuple(x.shape)}; expected (..., time, {inputs}).")
    return x
