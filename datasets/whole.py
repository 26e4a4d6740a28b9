"""The check of whole numbers that come from a caller: counts, seeds, classes."""

from __future__ import annotations

import numpy as np

from ..errors import ConfigError


def check_whole(name: str, value: object, low: int, high: int | None = None) -> None:
    """Refuse what is no whole number from `low` to `high`.

    Raises:
        ConfigError: it is not.
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):  # type: ignore[operator]
        bound = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ConfigError(f"{name} is {value!r}; expected a whole number {bound}.")
