"""Reads far outside the range on which a surrogate was fitted: a warning, or an error if it is strict."""

from __future__ import annotations

import warnings

from torch import Tensor

from ...errors import DomainError, DomainWarning
from ...units import readable


def check_range(
    read: Tensor, x: Tensor, limits: tuple[float, float], fitted: tuple[float, float], unit: str, *, strict: bool
) -> None:
    """Warn of reads outside the limits of the state, to whose edge they are then clamped.

    Args:
        read: Reads [`unit`].
        x: Their states, of the same shape.
        limits: Smallest and largest state.
        fitted: Range of the fit [`unit`], for the message.
        unit: Unit of the conductance.
        strict: Raise an error.

    Raises:
        DomainError: if `strict`, in place of the warning.
    """
    low, high = limits
    outside = (x < low) | (x > high)
    if not bool(outside.any()):
        return
    message = (
        f"{int(outside.sum())} of {read.numel()} reads lie far outside the range that the surrogate was fitted on "
        f"({readable(fitted[0], unit)} .. {readable(fitted[1], unit)}), such as "
        f"{readable(float(read[outside].reshape(-1)[0]), unit)}"
    )
    if strict:
        raise DomainError(f"{message}. Start inside it, fit on recordings that cover it, or set strict = False.")
    warnings.warn(f"{message}; they are clamped to its edge.", DomainWarning, stacklevel=3)
