"""Predicted spread of a free run: how far recorded samples lie from it, over the time since the start and the domain."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn

from ...typing import Array

#: Power with which the error grows with the distance d from the fitted data once it exceeds the usual one d0. Of a macrospin
#: and four synthetic devices under new drives, a power of 1 left intervals too narrow, and 2 made them too wide.
POWER = 1.5

#: Largest factor: beyond it nothing is known about the size of the error.
MAX_FACTOR = 100.0

#: Dimension up to which a k-d tree finds the nearest point faster than all distances do.
MAX_TREE_SIZE = 6


class SpreadModel(nn.Module):
    """Standard deviation of the model error of a free run, as measured by runs on segments left out of the fit.

        s(t) = c(t) * g(m(t)),    g(m) = sqrt((1 + (m / d0)^3) / 2) * max(1, m / R)^2,
        m(t) = max_{r <= t} d(r) exp(-(t - r) / T)

    c is the spread t steps after the start at usual distances, d the distance of state and drive to the nearest fitted
    point, R the radius of the domain, and T the number of steps that an error persists.

    Args:
        steps: Steps since the start at which the curve is known, ascending, shape (knots,).
        curve: Spread c at these steps in SI units, shape (knots, outputs); constant beyond them.
        distance: Usual distance d0 to the fitted points, in deviations; 0 if the distance has no influence.
        memory: T, in steps.
        other_drive: Additional spread under drives that run otherwise between samples than the fitted ones, SI units, shape
            (outputs,).

    Example:
        >>> spread = SpreadModel(torch.tensor([0.0, 10.0]), torch.tensor([[0.0], [1.0]]))
        >>> spread(np.zeros(21), radius=1.0)[[0, 5, 20], 0].tolist()
        [0.0, 0.5, 1.0]
    """

    steps: Tensor
    curve: Tensor
    distance: Tensor
    memory: Tensor
    other_drive: Tensor

    def __init__(
        self,
        steps: Tensor,
        curve: Tensor,
        distance: float = 0.0,
        memory: float = 1.0,
        other_drive: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("steps", steps.detach().clone())
        self.register_buffer("curve", curve.detach().clone())
        self.register_buffer("distance", torch.as_tensor(distance, dtype=curve.dtype))
        self.register_buffer("memory", torch.as_tensor(memory, dtype=curve.dtype))
        extra = torch.zeros_like(curve[0]) if other_drive is None else other_drive
        self.register_buffer("other_drive", extra.detach().clone())

    @classmethod
    def none(cls, outputs: int, knots: int = 1) -> SpreadModel:
        """Return a spread of zero for a number of outputs."""
        return cls(torch.arange(knots, dtype=torch.float64), torch.zeros(knots, outputs, dtype=torch.float64))

    def forward(self, distance: Array, radius: float, *, other_drive: bool = False) -> Tensor:
        """Compute the spread along a run.

        Args:
            distance: Distance of state and drive to the nearest fitted point, in deviations, shape (time,).
            radius: Radius of the domain, in deviations.
            other_drive: The drive runs otherwise between samples than in the fit.

        Returns:
            Shape (time, outputs), SI units.
        """
        at = np.arange(len(distance), dtype=np.float64)
        knots, curve = self.steps.numpy(force=True), self.curve.numpy(force=True)
        base = np.stack([np.interp(at, knots, column) for column in curve.T], -1)
        factor = distance_factor(distance, float(self.distance), float(self.memory), radius)
        spread = torch.as_tensor(base * factor[:, None], dtype=self.curve.dtype)
        return torch.hypot(spread, self.other_drive) if other_drive else spread


def distances(points: Tensor, fitted: Tensor) -> Array:
    """Return the distance of each point to the nearest fitted one, shape (points,).

    Args:
        points: Shape (points, state + drive), in deviations.
        fitted: Points of the domain, shape (fitted, state + drive).
    """
    values = torch.nan_to_num(points.detach().double(), nan=1e30).clamp(-1e30, 1e30)
    if points.shape[-1] > MAX_TREE_SIZE:
        return np.concatenate([torch.cdist(part, fitted.double()).amin(-1).numpy(force=True) for part in values.split(1024)])
    nearest: Array = cKDTree(fitted.double().numpy(force=True)).query(values.numpy(force=True))[0]
    return nearest


def distance_factor(distance: Array, usual: float, memory: float, radius: float) -> Array:
    """Return the factor g of the spread, shape (time,): 1 at the usual distance, and growing without bound.

    Args:
        distance: Distance to the fitted points along a run, shape (time,).
        usual: Distance of runs on segments left out of the fit; 0 for a factor of 1 throughout.
        memory: Steps that an error persists.
        radius: Radius of the domain; beyond it the factor grows faster, by the square of the distance.
    """
    if not usual > 0:
        return np.ones(len(distance))
    # The running maximum with exponential decay is a cumulative maximum in the logarithm.
    steps = np.arange(len(distance)) / max(memory, 1e-9)
    recent = np.exp(np.maximum.accumulate(np.log(np.maximum(distance, 1e-300)) + steps) - steps)
    ratio: Array = np.hypot(1.0, np.minimum(recent / usual, MAX_FACTOR) ** POWER) / np.sqrt(2.0)
    if radius > 0:
        ratio = ratio * np.maximum(1.0, recent / radius) ** 2
    return np.minimum(ratio, MAX_FACTOR)
