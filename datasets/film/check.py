"""Checks of the numbers of a film."""

from __future__ import annotations

import math

from ...errors import ConfigError


def positive(value: float, name: str) -> float:
    """The value, if it is a positive finite number.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigError(f"{name} is {value!r}; expected a positive number, in SI units.")
    return float(value)
