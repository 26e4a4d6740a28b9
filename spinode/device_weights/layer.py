"""What a layer with weights in devices has, for those who train it: `DeviceWeightLayer`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeGuard

from torch import Tensor, nn

from ..errors import ConfigError
from .programming import Programmer
from .weights import DeviceWeights
from .write_verify import WriteVerify


class DeviceWeightLayer(Protocol):
    """A module whose weights are in devices, such as `DeviceLinear` and `DeviceConv2d` of `spinode.surrogates`.

    Attributes:
        weight: Handle: the weights without read noise, with the gradient of those that were read.
        bias: Parameter or None.
        weights: The devices.
        programmer: Rule that turns updates of the handle into pulses.
    """

    weight: Any
    bias: Any
    weights: DeviceWeights
    programmer: Programmer | WriteVerify

    def sync(self) -> None:
        """Set the handle to the weights without read noise."""

    def reading(self) -> Tensor:
        """Return the weights of one forward pass, read with noise."""

    def output(self, given: Tensor, weight: Tensor) -> Tensor:
        """Return the layer's output for weights that were read before."""


def is_device_layer(module: object) -> TypeGuard[DeviceWeightLayer]:
    """Return True for a module with weights in devices and a handle to them."""
    return (
        isinstance(module, nn.Module)
        and isinstance(getattr(module, "weights", None), DeviceWeights)
        and hasattr(module, "sync")
    )


def device_layers(model: nn.Module | Iterable[nn.Module]) -> dict[str, DeviceWeightLayer]:
    """Return all layers with weights in devices of a model, or of several modules, by name; each layer once.

    Raises:
        ConfigError: something else than a module.
    """
    roots = [("", model)] if isinstance(model, nn.Module) else [(f"layers[{i}]", root) for i, root in enumerate(model)]
    layers: dict[str, DeviceWeightLayer] = {}
    seen: set[nn.Module] = set()  # modules of the list may contain each other
    for prefix, root in roots:
        if not isinstance(root, nn.Module):
            raise ConfigError(f"the model contains a {type(root).__name__}; expected an nn.Module or a list of layers.")
        for name, module in root.named_modules(memo=seen, prefix=prefix):
            if is_device_layer(module):
                layers[name] = module
    return layers
