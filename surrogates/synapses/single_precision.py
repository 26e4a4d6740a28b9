"""`SinglePrecision`: the copy of a drift in single precision, cached."""

from __future__ import annotations

import copy
from typing import Any

import torch

from .drift import Drift


class SinglePrecision:
    """Returns a copy of a drift in another precision, and makes it again only where the weights have changed.

    It is a cache, and no part of what identifies a surrogate: one that was used before is the same as a new one.
    """

    def __init__(self) -> None:
        self._made: tuple[Drift, tuple[int, ...], Drift] | None = None

    def identity_parts(self) -> dict[str, Any]:
        """Return nothing, see `spinode.identity`."""
        return {}

    def of(self, drift: Drift, dtype: torch.dtype) -> Drift:
        """Return the drift in the precision of the state; the drift itself in double precision."""
        if dtype == torch.float64:
            return drift
        versions = tuple(weight._version for weight in drift.parameters())
        if self._made is None or self._made[0] is not drift or self._made[1] != versions:
            self._made = (drift, versions, copy.deepcopy(drift).to(dtype).requires_grad_(False))
        return self._made[2]
