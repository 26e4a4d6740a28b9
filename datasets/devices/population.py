"""What the physical models of memory devices share: their parameters checked, and the spread between devices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import ConfigError


def check(
    model: object, names: Sequence[str], low: float = 0.0, high: float = math.inf, *, unit: str = "", closed: bool = False
) -> None:
    """Refuse a parameter that is not a number between bounds.

    Args:
        model: Whose attributes are looked at.
        names: Which of them.
        low: Lower bound.
        high: Upper bound; a finite one is allowed itself.
        unit: SI unit, for the message.
        closed: Whether the lower bound itself is allowed.

    Raises:
        ConfigError: the first that lies outside.
    """
    for name in names:
        value = getattr(model, name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not (low < value <= high or (closed and value == low)) or math.isinf(value):
            least = f"at least {low:g}" if closed else f"above {low:g}"
            most = "" if math.isinf(high) else f" and at most {high:g}"
            raise ConfigError(f"{name} is {value!r}; expected a finite number {least}{most}{f', in {unit}' if unit else ''}.")


def lognormal(shape: tuple[int, ...], relative: float, generator: torch.Generator | None, dtype: torch.dtype) -> Tensor:
    """Factors around the typical device: lognormal with median 1; all 1 without a generator.

    Args:
        shape: The devices' shape.
        relative: Standard deviation s in units of the mean; the logarithm then has the deviation sqrt(ln(1 + s^2)).
        generator: Source of the differences.
        dtype: Type of the factors.
    """
    if generator is None:
        return torch.ones(shape, dtype=dtype)
    return torch.randn(shape, generator=generator, dtype=dtype).mul_(math.sqrt(math.log1p(relative**2))).exp_()
