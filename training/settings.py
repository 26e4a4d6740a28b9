"""Settings of learners: defaults by name, and layer sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError
from ..validation import number, whole_numbers


def merge_defaults(what: str, settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults, with the given settings in their place.

    Args:
        what: What is configured, for the message, such as the name of a rule.
        settings: Some settings by name.
        defaults: All settings with their defaults.

    Raises:
        ConfigError: a setting without a default.
    """
    unknown = sorted(set(settings) - set(defaults))
    if unknown:
        raise ConfigError(f"{what} has no setting {', '.join(unknown)}; its settings are: {', '.join(defaults)}.")
    return {**defaults, **settings}


def layer_sizes(features: int, hidden: Any, classes: int) -> list[int]:
    """Return the number of units of all layers, from the input to the output.

    Args:
        features: Units of the input.
        hidden: Units of each hidden layer, a whole number or several.
        classes: Units of the output.

    Raises:
        ConfigError: hidden layers that are not positive whole numbers.
    """
    return [features, *whole_numbers("hidden", hidden, 1, example=(200, 200), empty=True), classes]


def per_layer(name: str, value: Any, layers: int, low: float = 0.0) -> list[float]:
    """Return a number for each layer, from the input to the output.

    Args:
        name: Name of the setting, for messages.
        value: One number for all layers, or one for each.
        layers: Number of layers of weights.
        low: Smallest number accepted.

    Raises:
        ConfigError: another number of numbers, or one out of range.

    Example:
        >>> per_layer("rate", 0.1, 2), per_layer("rate", [0.1, 0.2], 2)
        ([0.1, 0.1], [0.1, 0.2])
    """
    values = list(value) if isinstance(value, list | tuple) else [value] * layers
    if len(values) != layers:
        raise ConfigError(
            f"{name} has {len(values)} numbers for {layers} layers of weights; expected one, or one for each, from the input "
            "to the output."
        )
    return [number(name, each, low) for each in values]
