"""Gradient descent: "sgd" and "adam"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import nn

from ...device_weights.layer import device_layers
from ...validation import number
from .rule import NetworkRule, check_numbers, register_rule, trained_parameters


@register_rule
@dataclass(frozen=True)
class PlainSGD(NetworkRule):
    """Stochastic gradient descent on all parameters, of the mean cross entropy of a batch.

    Attributes:
        rate: Learning rate.
        momentum: Momentum of torch.optim.SGD.
        weight_decay: L2 penalty.
    """

    name: ClassVar[str] = "sgd"
    rate: float = 0.01
    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_numbers(self, partial(number, low=0), "rate", "weight_decay")
        check_numbers(self, partial(number, low=0, high=1, below=True), "momentum")

    def inner_optimisers(self, network: nn.Module) -> Sequence[torch.optim.Optimizer]:
        """Return torch.optim.SGD."""
        weights = trained_parameters(network)
        return [torch.optim.SGD(weights, lr=self.rate, momentum=self.momentum, weight_decay=self.weight_decay)]


@register_rule
@dataclass(frozen=True)
class PlainAdam(NetworkRule):
    """Adam on all parameters, of the mean cross entropy of a batch.

    Attributes:
        rate: Learning rate.
        weight_decay: L2 penalty.
        pulse_rate: Learning rate of signs in devices, in pulses; their steps are counted in these.
    """

    name: ClassVar[str] = "adam"
    rate: float = 0.001
    weight_decay: float = 0.0
    pulse_rate: float = 10.0

    def __post_init__(self) -> None:
        check_numbers(self, partial(number, low=0), "rate", "weight_decay", "pulse_rate")

    def inner_optimisers(self, network: nn.Module) -> Sequence[torch.optim.Optimizer]:
        """Return torch.optim.Adam, with a group of its own for signs in devices."""
        signs = sign_handles(network)
        groups = [
            {"params": trained_parameters(network, signs), "lr": self.rate, "weight_decay": self.weight_decay},
            {"params": signs, "lr": self.pulse_rate},
        ]
        return [torch.optim.Adam([group for group in groups if group["params"]])]


def sign_handles(network: nn.Module) -> list[nn.Parameter]:
    """Return the handles of layers whose weights are signs in devices."""
    layers = [layer for layer in device_layers(network).values() if layer.weights.kind == "sign"]
    return [layer.weight for layer in layers if layer.weight.requires_grad]
