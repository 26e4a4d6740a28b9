"""Domain of validity: where, in embedded state and drive, a surrogate has seen data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Points kept to describe the domain; more would slow each check without moving its border.
POINTS = 3000
#: Up to so many points each is looked at.
_FEW = 5000
#: Cells of the grid to each side.
_WIDE = 1e9


class Domain(nn.Module):
    """A cloud of fitted points and a radius around each.

    A step at z = (x, u), in deviations, is outside if its distance to the nearest point exceeds the radius. The radius is a
    quantile of the same distance for samples that the points do not know: those of the validation stretch, and those of each
    tenth of the recording when the points come from the other nine (the median of these eleven). In the regime of the fit a
    few steps in a thousand lie outside; more where a recording is too short to have shown the regime (some per cent at a
    thousand samples).

    Args:
        points: Support, shape (points, state + drive).
        radius: Largest distance that counts as inside, in deviations.
        constants: How many of the last columns are constants of a recording. Few values of them are ever seen, so the
            radius says little there: outside their range is outside.
    """

    points: Tensor
    radius: Tensor

    def __init__(self, points: Tensor, radius: Tensor | float, constants: int = 0) -> None:
        super().__init__()
        self.constants = constants
        self.register_buffer("points", points.detach().clone())
        self.register_buffer("radius", torch.as_tensor(radius, dtype=points.dtype).clone())

    @classmethod
    def around(cls, fitted: Tensor, unseen: Tensor, *, quantile: float = 0.999, seed: int = 0, constants: int = 0) -> Domain:
        """Domain of fitted samples, its radius from unseen ones of the same regime.

        Args:
            fitted: Shape (samples, state + drive).
            unseen: Validation samples, shape (samples, state + drive).
            quantile: Share of the unseen samples that lies inside.
            seed: Seed of the choice of points where there are more than `POINTS`.
            constants: How many of the last columns are constants of a recording.
        """
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(fitted), generator=generator)[:POINTS].sort().values
        domain = cls(fitted[chosen], 0.0, constants)
        distances = [domain.distance(unseen)] if len(unseen) else []
        for block in torch.arange(len(chosen)).tensor_split(10):
            others = torch.ones(len(chosen), dtype=torch.bool)
            others[block] = False
            if len(block) and bool(others.any()):
                distances.append(cls(fitted[chosen[others]], 0.0).distance(fitted[chosen[block]]))
        # The median: one tenth that went where no other did (a transient, a large excursion) must not set the radius.
        domain.radius.copy_(torch.stack([torch.quantile(part, quantile) for part in distances]).median())
        return domain

    def distance(self, points: Tensor) -> Tensor:
        """Distance to the nearest fitted point, shape (...,), in deviations."""
        flat = points.detach().reshape(-1, points.shape[-1])
        nearest = [torch.cdist(part, self.points).amin(-1) for part in flat.split(1024)]
        return torch.cat(nearest).reshape(points.shape[:-1]) if nearest else flat.new_zeros(points.shape[:-1])

    def outside(self, points: Tensor) -> Tensor:
        """Whether each point lies outside, shape (...,), bool."""
        far = self._far(points)
        if not self.constants:
            return far
        seen, asked = self.points[:, -self.constants :], points.detach()[..., -self.constants :]
        low, high = seen.amin(0), seen.amax(0)
        margin = 0.05 * (high - low) + 1e-6
        return far | ((asked < low - margin) | (asked > high + margin)).any(-1)

    def _far(self, points: Tensor) -> Tensor:
        """Whether each point is farther than the radius from all fitted ones.

        Of a long run most points share a cell of a grid with others, and most cells lie inside or outside as a whole: what the
            distance of
        their centre tells, by the triangle inequality. Only points of the other cells are looked at one by one.
        """
        flat = points.detach().reshape(-1, points.shape[-1])
        if len(flat) <= _FEW or not bool(self.radius > 0):
            return self.distance(points) > self.radius
        # Half the diagonal of a cell is half a radius; a little more, for rounding.
        edge = self.radius / flat.shape[-1] ** 0.5
        reach = 0.501 * self.radius
        cells, member = _cells(flat, edge)
        centre = self.distance((cells + 0.5) * edge)
        far = (centre > self.radius)[member]
        unsure = ((centre + reach > self.radius) & (centre - reach <= self.radius))[member].nonzero().squeeze(-1)
        far[unsure] = self.distance(flat[unsure]) > self.radius
        return far.reshape(points.shape[:-1])


def _cells(flat: Tensor, edge: Tensor) -> tuple[Tensor, Tensor]:
    """The cells of a grid that hold points, shape (cells, d), and which of them holds each point."""
    at = (flat / edge).floor().clamp(-_WIDE, _WIDE)  # farther ones are far outside in any case
    code = torch.zeros(len(flat), dtype=torch.int64, device=flat.device)
    for column in at.to(torch.int64).unbind(-1):
        low = column.amin()
        width = int(column.amax() - low) + 1
        code = code * width + (column - low)
        if width > 1:  # numbers of columns so far, before the next one might overflow them
            code = torch.unique(code, return_inverse=True)[1]
    first = torch.full((int(code.max()) + 1,), len(flat), dtype=torch.int64, device=flat.device)
    first.scatter_reduce_(0, code, torch.arange(len(flat), device=flat.device), "amin")
    return at[first], code
