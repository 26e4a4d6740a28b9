"""Settings of learners, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConfigError


def taken(rule: str, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a rule, those that were given before its defaults.

    Raises:
        ConfigError: a setting that the rule does not have.
    """
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise ConfigError(f"{rule} has no setting {', '.join(unknown)}; its settings are: {', '.join(defaults)}.")
    return {**defaults, **given}


def layer_sizes(features: int, hidden: Any, classes: int) -> list[int]:
    """Units of all layers.

    Raises:
        ConfigError: hidden layers that are no positive whole numbers.
    """
    units = list(hidden) if isinstance(hidden, Sequence) and not isinstance(hidden, str) else [hidden]
    if not all(isinstance(each, int) and not isinstance(each, bool) and each > 0 for each in units):
        raise ConfigError(f"hidden is {hidden!r}; expected whole numbers, the units of each hidden layer, such as [200, 200].")
    return [features, *units, classes]


def number(name: str, value: Any, least: float = 0.0, *, above: bool = False) -> float:
    """A setting as a finite number.

    Raises:
        ConfigError: anything else, or less than `least`, or, with `above`, as little.
    """
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or value < least or (above and value == least):
        raise ConfigError(f"{name} is {value!r}; expected a finite number {'above' if above else 'of at least'} {least:g}.")
    return float(value)
