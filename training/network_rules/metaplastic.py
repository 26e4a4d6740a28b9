"""Metaplastic Adam: "metaplastic" for networks of binary or quantised weights, and "real", its control on real weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn

from ...device_weights.layer import device_layers, is_device_layer
from ...validation import flag, number
from ..layers.quantised import Quantised
from ..rules.levels import half_spacing
from ..rules.metaplastic import MetaplasticAdam
from .rule import NetworkRule, check_numbers, register_rule, trained_parameters


class _Metaplastic(NetworkRule):
    """Base: metaplastic Adam on the weights of some layers, plain Adam on all other parameters."""

    metaplasticity: float
    rate: float
    other_rate: float | None
    weight_decay: float

    def __post_init__(self) -> None:
        if self.other_rate is None:
            object.__setattr__(self, "other_rate", self.rate)
        check_numbers(self, partial(number, low=0), "metaplasticity", "rate", "other_rate", "weight_decay")
        check_numbers(self, flag, "resets")

    def layers(self, network: nn.Module) -> list[Any]:
        """Return the layers whose weights are metaplastic."""
        raise NotImplementedError

    def is_met_by(self, network: nn.Module) -> bool:
        """Return True if the network has such layers."""
        return bool(self.layers(network))

    def inner_optimisers(self, network: nn.Module) -> Sequence[torch.optim.Optimizer]:
        """Return one optimiser with a group for each layer."""
        layers = [layer for layer in self.layers(network) if layer.weight.requires_grad]
        groups: list[dict[str, Any]] = [
            {
                "params": [layer.weight],
                "m": self.metaplasticity,
                "interval": getattr(layer, "interval", None),
                "lr": self.rate * _unit(layer),
                "weight_decay": self.weight_decay,
            }
            for layer in layers
        ]
        groups.append({"params": trained_parameters(network, [layer.weight for layer in layers])})
        return [MetaplasticAdam([group for group in groups if group["params"]], lr=self.other_rate or 0.0)]


def _unit(layer: Any) -> float:
    """Return half the spacing of the levels of a layer; one for signs and real weights."""
    interval = getattr(layer, "interval", None)
    return 1.0 if interval is None else half_spacing(interval[1])


@register_rule
@dataclass(frozen=True)
class Metaplastic(_Metaplastic):
    """Metaplastic Adam on hidden weights: those of binary and quantised layers, and of signs in devices.

    The hidden weight of a sign in devices is the difference of the pair, in units of its range.

    Attributes:
        metaplasticity: m, see `MetaplasticAdam`.
        rate: Learning rate of hidden weights, in units of half the spacing of the levels: of one for signs.
        other_rate: Learning rate of all other parameters; `rate` if omitted.
        weight_decay: L2 penalty on hidden weights.
        resets: Begin each task with a new Adam, as published.

    Source: Laborieux et al., Nat. Commun. 12, 2549 (2021).
    """

    name: ClassVar[str] = "metaplastic"
    needs: ClassVar[str] = (
        "layers of binary or quantised weights, or signs in devices: to_quantised(network), or to_devices(..., kind='sign')"
    )
    latent: ClassVar[bool] = True
    metaplasticity: float = 1.35
    rate: float = 0.005
    other_rate: float | None = None
    weight_decay: float = 1e-7
    resets: bool = True

    def layers(self, network: nn.Module) -> list[Any]:
        """Return quantised layers, and signs in devices."""
        signs = [layer for layer in device_layers(network).values() if layer.weights.kind == "sign"]
        return [*(layer for layer in network.modules() if isinstance(layer, Quantised)), *signs]


@register_rule
@dataclass(frozen=True)
class MetaplasticOnReal(_Metaplastic):
    """Metaplastic Adam on real weights, in numbers or in devices: the control experiment.

    Attributes:
        metaplasticity: m, see `MetaplasticAdam`.
        rate: Learning rate of metaplastic weights.
        other_rate: Learning rate of all other parameters; `rate` if omitted.
        weight_decay: L2 penalty on the weights.
        resets: Begin each task with a new Adam, as published.

    Source: Laborieux et al., Nat. Commun. 12, 2549 (2021).
    """

    name: ClassVar[str] = "real"
    needs: ClassVar[str] = "nn.Linear or nn.Conv2d, or one of them in devices with kind='pair' or 'single'"
    metaplasticity: float = 1.35
    rate: float = 0.005
    other_rate: float | None = None
    weight_decay: float = 1e-7
    resets: bool = True

    def layers(self, network: nn.Module) -> list[Any]:
        """Return linear and convolutional layers without signs in devices."""
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
        return [layer for layer in layers if not (is_device_layer(layer) and layer.weights.kind == "sign")]
