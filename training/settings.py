"""Settings of learners: defaults by name, and layer sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError
from ..validation import whole_numbers


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
