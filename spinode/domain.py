"""Domain of validity: where, in embedded state and drive, a surrogate has seen data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Points kept to describe the domain; more would slow each check without moving its border.
POINTS = 3000


class Domain(nn.Module):
    """A cloud of fitted points and a radius around each.

    A step at z = (x, u), in deviations, is outside if its distance to the nearest point exceeds the radius. The radius is
    conformal: the quantile of the same distance over validation samples that the fit did not see, so that a share of
    about `1 - quantile` of steps from the fitted regime is flagged.

    Args:
        points: Support, shape (points, state + drive).
        radius: Largest distance that counts as inside, in deviations.
    """

    points: Tensor
    radius: Tensor

    def __init__(self, points: Tensor, radius: Tensor | float) -> None:
        super().__init__()
        self.register_buffer("points", points.detach().clone())
        self.register_buffer("radius", torch.as_tensor(radius, dtype=points.dtype).clone())

    @classmethod
    def around(cls, fitted: Tensor, unseen: Tensor, *, quantile: float = 0.999, seed: int = 0) -> Domain:
        """Domain of fitted samples, its radius from unseen ones of the same regime.

        Args:
            fitted: Shape (samples, state + drive).
            unseen: Validation samples, shape (samples, state + drive).
            quantile: Share of the unseen samples that lies inside.
            seed: Seed of the choice of points where there are more than `POINTS`.
        """
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(fitted), generator=generator)[:POINTS]
        domain = cls(fitted[chosen.sort().values], 0.0)
        distances = domain.distance(unseen)
        domain.radius.copy_(torch.quantile(distances, quantile))
        return domain

    def distance(self, points: Tensor) -> Tensor:
        """Distance to the nearest fitted point, shape (...,), in deviations."""
        flat = points.detach().reshape(-1, points.shape[-1])
        nearest = [torch.cdist(part, self.points).amin(-1) for part in flat.split(1024)]
        return torch.cat(nearest).reshape(points.shape[:-1]) if nearest else flat.new_zeros(points.shape[:-1])

    def outside(self, points: Tensor) -> Tensor:
        """Whether each point lies outside, shape (...,), bool."""
        return self.distance(points) > self.radius
