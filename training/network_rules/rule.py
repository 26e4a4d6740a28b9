"""`NetworkRule`: how the weights of a network step; the members of this folder are rules by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from ...device_weights.layer import device_layers, is_device_layer
from ...device_weights.optimizer import DeviceOptimizer
from ...errors import ConfigError
from ..registry import Registry


class NetworkRule:
    """Base of the rules: a frozen dataclass whose fields are its settings, with plain numbers as defaults.

    Attributes:
        name: Name of the rule.
        needs: The layers that it needs and how to get them, for messages; empty if it trains any network.
        draws: Forward passes of one step, over which the loss is averaged.
        test_draws: Forward passes of a test.
        summed: True if the loss is summed over a batch, False for its mean.
        resets: True if optimisers start again with each task.
        latent: True if it changes the latent weights of signs in devices.
        consolidates: True if it preserves the past itself, so that EWC and SI do not apply.
    """

    name: ClassVar[str]
    needs: ClassVar[str] = ""
    draws: int = 1
    test_draws: int = 1
    summed: ClassVar[bool] = False
    resets: bool = False
    latent: ClassVar[bool] = False
    consolidates: ClassVar[bool] = False

    def is_met_by(self, network: nn.Module) -> bool:
        """Return True if the network has the layers that the rule needs."""
        return True

    def inner_optimisers(self, network: nn.Module) -> Sequence[torch.optim.Optimizer]:
        """Return optimisers for the parameters of the network, without regard to devices."""
        raise NotImplementedError

    def optimisers(self, network: nn.Module) -> list[torch.optim.Optimizer]:
        """Return optimisers whose steps also program the devices of the network.

        Raises:
            ConfigError: the network lacks the layers that the rule needs, or has nothing to train.
        """
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise ConfigError("no parameter of the network requires a gradient: there is nothing to train.")
        if not self.is_met_by(network):
            raise ConfigError(f"{self.name} needs {self.needs}; the network consists of {layer_types(network)}.")
        handles = {id(layer.weight) for layer in device_layers(network).values()}
        optimisers = []
        for each in self.inner_optimisers(network):
            trained = {id(parameter) for group in each.param_groups for parameter in group["params"]}
            optimisers.append(DeviceOptimizer(each, network, latent=self.latent) if trained & handles else each)
        return optimisers


_RULES: Registry[NetworkRule] = Registry("rule")

#: Decorator that registers a rule under its name.
register_rule = _RULES.register


def network_rules() -> dict[str, type[NetworkRule]]:
    """Return all rules by name.

    Example:
        >>> sorted(network_rules())
        ['adam', 'bgd', 'mesu', 'metaplastic', 'real', 'sgd', 'torch-mesu']
    """
    return _RULES.all()


def layer_types(network: nn.Module) -> str:
    """Return the types of the layers of a network, for messages; what a layer in devices consists of is not listed."""
    names: dict[str, None] = {}

    def visit(module: nn.Module) -> None:
        children = list(module.children())
        if is_device_layer(module):
            names[f"{type(module).__name__} (kind {module.weights.kind!r})"] = None
        elif not children:
            names[type(module).__name__] = None
        else:
            for child in children:
                visit(child)

    visit(network)
    return ", ".join(names)


def trained_parameters(network: nn.Module, without: Iterable[nn.Parameter] = ()) -> list[nn.Parameter]:
    """Return the parameters that require a gradient, except some."""
    excluded = {id(parameter) for parameter in without}
    return [each for each in network.parameters() if each.requires_grad and id(each) not in excluded]


def check_numbers(rule: Any, check: Any, *names: str) -> None:
    """Store the checked numbers of a frozen rule; `check` takes name and value."""
    for name in names:
        object.__setattr__(rule, name, check(f"{name} of {rule.name}", getattr(rule, name)))
