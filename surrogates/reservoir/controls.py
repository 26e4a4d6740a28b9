"""What a reservoir has to beat: the read-out of the input alone, of a static layer, and of an echo-state network of the same
size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...errors import ConfigError


class LinearNodes(nn.Module):
    """No reservoir: the states are the input.

    Args:
        inputs: Width of the input.
    """

    def __init__(self, inputs: int = 1) -> None:
        super().__init__()
        self.inputs = self.width = inputs

    def forward(self, x: Tensor) -> Tensor:
        """The input, shape (..., time, inputs)."""
        return _wide(x, self.inputs)


class TanhNodes(nn.Module):
    """A static layer: tanh(scale M x + b), with M standard normal over the root of its inputs and b uniform in -1 .. 1.

    Args:
        width: Number of nodes.
        inputs: Width of the input.
        scale: Of the input.
        seed: Of the weights.
    """

    def __init__(self, width: int, inputs: int = 1, *, scale: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.inputs, self.width = inputs, width
        self.weight = scale * torch.randn(width, inputs, generator=generator, dtype=torch.float64) / math.sqrt(inputs)
        self.bias = 2 * torch.rand(width, generator=generator, dtype=torch.float64) - 1

    def forward(self, x: Tensor) -> Tensor:
        """States, shape (..., time, width)."""
        return torch.tanh(_wide(x, self.inputs) @ self.weight.T + self.bias)


class EchoState(nn.Module):
    """An echo-state network: s(t) = (1 - leak) s(t - 1) + leak tanh(W s(t - 1) + scale M x(t) + b).

    Args:
        width: Number of nodes.
        inputs: Width of the input.
        radius: Spectral radius of W, below 1.
        leak: 0 .. 1.
        scale: Of the input.
        density: Share of the entries of W that are not 0.
        seed: Of the weights.

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
        if not 0 <= radius < 1.5 or not 0 < leak <= 1 or not 0 < density <= 1:
            raise ConfigError(f"radius, leak and density are {radius!r}, {leak!r} and {density!r}; expected 0 .. 1.")
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.inputs, self.width, self.leak = inputs, width, leak
        self.input_weight = scale * normal(width, inputs) / math.sqrt(inputs)
        self.bias = 0.2 * normal(width)
        kept = torch.rand(width, width, generator=generator, dtype=torch.float64) < max(density, 1 / width)
        weight = normal(width, width) * kept
        largest = float(torch.linalg.eigvals(weight).abs().max())
        self.weight = weight * (radius / largest if largest > 0 else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """States, shape (..., time, width), from 0."""
        drive = _wide(x, self.inputs) @ self.input_weight.T + self.bias
        state = torch.zeros_like(drive[..., 0, :])
        states = []
        for now in drive.unbind(-2):
            state = (1 - self.leak) * state + self.leak * torch.tanh(state @ self.weight.T + now)
            states.append(state)
        return torch.stack(states, -2)


def _wide(x: Tensor, inputs: int) -> Tensor:
    x = torch.as_tensor(x).to(torch.float64)
    x = x.unsqueeze(-1) if x.dim() == 1 else x
    if x.dim() < 2 or x.shape[-1] != inputs:
        raise ConfigError(f"the input has shape {tuple(x.shape)}; expected (..., time, {inputs}).")
    return x
