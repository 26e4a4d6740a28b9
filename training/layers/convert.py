"""`replace_layers`: a copy of a network with its linear and convolutional layers replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

from torch import nn

from ...device_weights.layer import is_device_layer
from ...errors import ConfigError

Convert = Callable[[str, "nn.Linear | nn.Conv2d"], nn.Module]


def replace_layers(network: nn.Module, convert: Convert, skip: Sequence[str] = (), *, devices: bool = False) -> nn.Module:
    """Return a copy of a network with each nn.Linear and nn.Conv2d replaced.

    Args:
        network: The network, which is not changed.
        convert: Function of name and layer that returns the replacement.
        skip: Names of modules to leave as they are, with all that they contain.
        devices: Replace layers in devices too.

    Raises:
        ConfigError: not a module, nothing to convert, an unknown name, or a layer of a derived class, whose own
            forward would be lost.
    """
    if not isinstance(network, nn.Module):
        raise ConfigError(f"the network is a {type(network).__name__}; expected an nn.Module, such as nn.Sequential(...).")
    if isinstance(skip, str):
        raise ConfigError(f"skip is the string {skip!r}; expected names in a sequence, ({skip!r},).")
    names = dict(network.named_modules())
    unknown = [name for name in skip if name not in names]
    if unknown:
        raise ConfigError(f"skip names {', '.join(map(repr, unknown))}; the network has {', '.join(filter(None, names))}.")
    replaced: dict[int, nn.Module] = {}
    copy = deepcopy(network)
    for name, layer in dict(copy.named_modules(remove_duplicate=False)).items():
        if not isinstance(layer, nn.Linear | nn.Conv2d) or any(name == each or name.startswith(f"{each}.") for each in skip):
            continue
        if is_device_layer(layer):
            if not devices:
                continue
        elif type(layer) not in (nn.Linear, nn.Conv2d):
            raise ConfigError(
                f"{name or 'the network'} is a {type(layer).__name__}: its own forward would be lost. Add it to "
                f"skip=({name!r},), or use the layers of torch."
            )
        if id(layer) not in replaced:
            replaced[id(layer)] = convert(name, layer)
        if not name:
            return replaced[id(layer)]
        parent, _, own = name.rpartition(".")
        setattr(copy.get_submodule(parent), own, replaced[id(layer)])
    if not replaced:
        raise ConfigError("there is nothing to convert: no nn.Linear or nn.Conv2d outside of skip=.")
    return copy
