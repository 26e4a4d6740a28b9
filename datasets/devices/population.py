"""Shared by the physical models of memory devices: checks of their parameters, and the spread between devices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import ConfigError
from ...validation import number


def check_numbers(
    model: object,
    names: Sequence[str],
    low: float = 0.0,
    high: float | None = None,
    *,
    unit: str = "",
    closed: bool = False,
) -> None:
    """Check attributes of a frozen model with `spinode.validation.number`, and store them as plain floats.

    Args:
        model: Model whose attributes are checked.
        names: Names of the attributes.
        low: Lower bound.
        high: Upper bound, itself allowed; none if omitted.
        unit: SI unit, for the message.
        closed: True to allow the lower bound itself.

    Raises:
        ConfigError: the first attribute that is outside the bounds.
    """
    for name in names:
        value = number(name, getattr(model, name), low, high, above=not closed, unit=unit)
        object.__setattr__(model, name, value)


def checked_amplitudes(voltage: tuple[float, float]) -> tuple[float, float]:
    """Return the amplitudes [V] of SET and RESET pulses as plain floats.

    Raises:
        ConfigError: not two positive numbers.
    """
    if not isinstance(voltage, tuple | list) or len(voltage) != 2:
        raise ConfigError(
            f"voltage is {voltage!r}; expected two amplitudes [V], of SET and of RESET pulses, such as (1.2, 1.2)."
        )
    up, down = (
        number(f"the {name} amplitude in voltage", each, 0, above=True, unit="V")
        for name, each in zip(("SET", "RESET"), voltage, strict=True)
    )
    return up, down


def spread_factors(shape: tuple[int, ...], relative: float, generator: torch.Generator | None, dtype: torch.dtype) -> Tensor:
    """Return device-to-device factors: lognormal with median 1, or all 1 without a generator.

    Args:
        shape: The devices' shape.
        relative: Standard deviation s relative to the mean; the logarithm has the standard deviation sqrt(ln(1 + s^2)).
        generator: Source of randomness.
        dtype: Type of the factors.
    """
    if generator is None:
        return torch.ones(shape, dtype=dtype)
    return torch.randn(shape, generator=generator, dtype=dtype).mul_(math.sqrt(math.log1p(relative**2))).exp_()
