"""Networks by the names that recipes and the command line give them, and learners of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..validation import one_of, whole_numbers

if TYPE_CHECKING:
    from torch import nn

    from ..contracts.synapse import Synapse
    from ..contracts.task_stream import TaskStream
    from ..training import NetworkLearner

Build = Callable[["TaskStream", "Synapse | None", int, dict[str, Any]], "nn.Module"]


def perceptron(stream: TaskStream, synapse: Synapse | None, seed: int, settings: dict[str, Any]) -> nn.Module:
    """Return linear layers with ReLU between them; with a synapse their weights are pairs of devices. Setting: hidden."""
    import torch
    from torch import nn

    from ..surrogates import DeviceLinear

    generator = torch.Generator().manual_seed(seed)
    hidden = whole_numbers("hidden", settings.pop("hidden", (50,)), 1, example=(200, 200), empty=True)
    features = int(torch.tensor(stream.shape).prod())
    modules: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise([features, *hidden, stream.classes]):
        if synapse is not None:
            modules.append(DeviceLinear(inputs, outputs, synapse, bias=False, seed=generator))
        else:
            layer = nn.Linear(inputs, outputs, bias=False)
            with torch.no_grad():
                layer.weight.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
            modules.append(layer)
        modules.append(nn.ReLU())
    return nn.Sequential(*modules[:-1])


def _binary_vgg(stream: TaskStream, synapse: Synapse | None, seed: int, settings: dict[str, Any]) -> nn.Module:
    """Return `binary_vgg`. Settings: widths, hidden."""
    from ..surrogates import binary_vgg

    if synapse is None:
        raise ConfigError("the network binary-vgg consists of devices; choose one by --synapse, such as weak-reset.")
    own = {name: settings.pop(name) for name in ("widths", "hidden") if name in settings}
    return binary_vgg(stream.shape, stream.classes, synapse, seed=seed, **own)


#: Networks by name: functions of stream, synapse, seed and settings, from which they take their own.
NETWORKS: dict[str, Build] = {"perceptron": perceptron, "binary-vgg": _binary_vgg}


def make_network_learner(
    fixed: Mapping[str, Any], settings: Mapping[str, Any], stream: TaskStream, synapse: Synapse | None, seed: int
) -> NetworkLearner:
    """Return the learner of a network by its name.

    Args:
        fixed: Arguments of `NetworkLearner` that make the rule: rule and plugins.
        settings: network, its settings, and those of rule and plugins.
        stream: What will be learned.
        synapse: The devices; None for exact weights.
        seed: Seed of network and learner.

    Raises:
        ConfigError: there is no such network or setting, or the rule cannot train it.

    Example:
        >>> from spinode.experiments.registry import make_stream
        >>> stream = make_stream("class-digits", {"train": 100, "test": 50}, tasks=None, seed=0)
        >>> make_network_learner({"rule": "adam", "plugins": ["replay"]}, {"hidden": [8], "buffer": 50}, stream, None, 0).rule
        'adam+replay'
    """
    from ..training import NetworkLearner, to_bayesian
    from ..training.network_rules import network_rules

    own = dict(settings)
    name = own.pop("network", "perceptron")
    network = NETWORKS[one_of("network", name, NETWORKS)](stream, synapse, seed, own)
    rules = network_rules()
    if fixed.get("rule") not in rules:
        raise ConfigError(
            f"the rule {fixed.get('rule')} cannot train a network by name; those that can are: {', '.join(rules)}."
        )
    if rules[fixed["rule"]].consolidates:
        network = to_bayesian(network)
    return NetworkLearner(network, stream, seed=seed, **fixed, **own)
