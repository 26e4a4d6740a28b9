"""Derivative embedding: outputs and their time derivatives."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from torch import Tensor

from ....typing import Array
from ..drive_interpolation import drive_derivatives
from .base import Blocks, EmbeddingKind, register
from .local_polynomial import local_polynomial

#: Noise below this share of an output's standard deviation is not smoothed away.
CLEAN = 1e-3


class DerivativeEmbedding(EmbeddingKind):
    """b_j = d^j b_0 / dt^j, estimated by a local polynomial.

    The state at an instant needs nothing from the future. Each block is the rate of the one before, so only the rate of the
    last is learned. The feedthrough D (the D of a linear state-space model) carries what follows the drive at once, such as
    the adiabatic part of modes far above the resonance.
    """

    name = "derivative"
    summary = "causal, valid across drives"
    max_order = 6  # derivatives beyond the fifth drown in rounding
    chain = True
    feedthrough = True
    search_orders = MappingProxyType({"quick": (1, 2, 3), "default": (1, 2, 3, 4), "long": (1, 2, 3, 4, 5, 6)})

    def embed(self, outputs: Array, order: int) -> Blocks:
        """Embed uniformly sampled outputs; the samples of clean outputs are kept unsmoothed."""
        estimates = [local_polynomial(column, order) for column in outputs.T]
        blocks = np.stack([values for values, _, _ in estimates], -1)
        noise = np.stack([deviations for _, deviations, _ in estimates], -1)
        recorded = np.array([deviation for _, _, deviation in estimates])
        clean = recorded < CLEAN * outputs.std(0)
        blocks[:, 0, clean], noise[0, clean] = outputs[:, clean], recorded[clean]
        return Blocks(blocks, noise, recorded)

    def drive_blocks(self, drive: Tensor, interpolation: tuple[str, ...], order: int) -> Tensor:
        """Return the drive and its derivatives."""
        return drive_derivatives(drive, interpolation, order)


register(DerivativeEmbedding())
