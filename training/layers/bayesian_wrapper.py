"""`Bayesian` and `to_bayesian`: a network of your own whose weights are drawn from normal distributions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ...device_weights.layer import DeviceWeightLayer, is_device_layer
from ...errors import ConfigError
from ...validation import number
from .convert import replace_layers
from .quantised import straight_through
from .storage import read_noise

_TINY = 1e-30


class Bayesian(nn.Module):
    """A layer whose weights are drawn from N(weight, sigma^2), independently, once for each forward pass.

    The mean is the weight of the layer. Where that is in devices, a draw is a noisy read, and digital noise adds what the
    noise of a read lacks to sigma. The draws come from the default generator of torch; a bias is not drawn.

    Args:
        layer: An nn.Linear or nn.Conv2d, or one of them with weights in devices ("single" or "pair").
        spread: Initial sigma, in units of 1 / sqrt(inputs of a unit), the limit within which torch draws initial weights.

    Raises:
        ConfigError: another layer, signs in devices, or a spread that is not positive.

    Example:
        >>> layer = Bayesian(nn.Linear(3, 2), spread=0.1)
        >>> layer(torch.ones(5, 3)).shape, layer.sigma.shape
        (torch.Size([5, 2]), torch.Size([2, 3]))

    Source: Bonnet et al., arXiv:2504.13569 (2025).
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, *, spread: float = 0.5) -> None:
        super().__init__()
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            raise ConfigError(
                f"the layer is a {type(layer).__name__}; expected nn.Linear, nn.Conv2d, or one of them in devices."
            )
        if is_device_layer(layer) and layer.weights.kind == "sign":
            raise ConfigError("signs in devices have no mean to learn; use kind='pair' or 'single' for Bayesian weights.")
        spread = number("spread", spread, 0, above=True)
        self.layer = layer
        self.sigma = nn.Parameter(torch.full_like(layer.weight, spread / math.sqrt(layer.weight[0].numel())))
        self._noise: tuple[int, float] = (-1, 0.0)

    @property
    def mean(self) -> nn.Parameter:
        """The means of the weights."""
        return cast(nn.Parameter, self.layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for one draw of the weights."""
        if is_device_layer(self.layer):
            return self.layer.output(x, self._from_devices(self.layer))
        if isinstance(self.layer, nn.Conv2d):
            return cast(Tensor, self.layer._conv_forward(x, self._draw(), self.layer.bias))
        return nn.functional.linear(x, self._draw(), self.layer.bias)

    def _draw(self) -> Tensor:
        return self.mean + self.sigma * torch.randn_like(self.sigma)

    def _from_devices(self, layer: DeviceWeightLayer) -> Tensor:
        if self._noise[0] != layer.weights.version:
            self._noise = (layer.weights.version, read_noise(layer.weights))
        noise = self._noise[1]
        read = layer.reading()
        with torch.no_grad():
            missing = (self.sigma.square() - noise**2).clamp(min=0).sqrt()
            drawn = read + missing * torch.randn_like(self.sigma)
            direction = (drawn - self.mean) / self.sigma.clamp(min=max(noise, _TINY))
        # The value is the draw, the derivatives are those of mean + sigma e.
        return straight_through(self.mean + self.sigma * direction, drawn)


def to_bayesian(network: nn.Module, *, spread: float = 0.5, skip: Sequence[str] = ()) -> nn.Module:
    """Return a copy of a network with every nn.Linear and nn.Conv2d in a `Bayesian`; the network itself is unchanged.

    Layers in devices are converted too: their means stay in the devices.

    Args:
        network: The network.
        spread: Initial sigma, see `Bayesian`.
        skip: Names of modules to leave as they are, with all that they contain.

    Raises:
        ConfigError: nothing to convert, an unknown name, a layer derived from nn.Linear or nn.Conv2d, or signs in devices.

    Example:
        >>> to_bayesian(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), skip=["2"])
        Sequential(
          (0): Bayesian(
            (layer): Linear(in_features=4, out_features=3, bias=True)
          )
          (1): ReLU()
          (2): Linear(in_features=3, out_features=2, bias=True)
        )
    """
    return replace_layers(network, lambda name, layer: Bayesian(cast(nn.Linear, layer), spread=spread), skip, devices=True)
