"""Domain of validity: the region of embedded state and drive in which a surrogate has seen data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Number of points kept to describe the domain; more would slow each check without moving its border.
MAX_POINTS = 3000

#: Number of points up to which each one is checked by its own distance, without the grid.
MAX_CHECKED_ONE_BY_ONE = 5000

#: Number of points among which the farthest is searched.
OUTERMOST = 256

#: Largest number of a grid cell to each side; points beyond it are far outside in any case.
MAX_CELL = 1e9


class Domain(nn.Module):
    """A cloud of fitted points and a radius around each.

    A step at z = (x, u), in deviations, is outside if its distance to the nearest point exceeds the radius. The radius is a
    quantile of the same distance for samples that are not among the points: those of the validation segment, and those of
    each tenth of the recording when the points come from the other nine (the median of these eleven). In the regime of the
    fit a few steps in a thousand lie outside; more where a recording is too short to have shown the regime (some per cent at
    a thousand samples).

    Args:
        points: Fitted points, shape (points, state + drive).
        radius: Largest distance that counts as inside, in deviations.
        constants: How many of the last columns are constants of a recording. The data contain few values of them, so that
            the radius says little there: outside their range is outside.

    Example:
        >>> import torch
        >>> domain = Domain(torch.zeros(1, 2), radius=1.0)
        >>> domain.outside(torch.tensor([[0.5, 0.5], [1.0, 1.0]])).tolist()
        [False, True]
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
        """Build the domain of fitted samples, with a radius from unseen ones of the same regime.

        Args:
            fitted: Shape (samples, state + drive).
            unseen: Validation samples, shape (samples, state + drive).
            quantile: Share of the unseen samples that lies inside.
            seed: Seed of the choice of points where there are more than `MAX_POINTS`.
            constants: How many of the last columns are constants of a recording.
        """
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(fitted), generator=generator)[:MAX_POINTS].sort().values
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
        """Compute the distance to the nearest fitted point, in deviations.

        Args:
            points: Shape (..., state + drive).

        Returns:
            Shape (...,).
        """
        flat = points.detach().reshape(-1, points.shape[-1])
        nearest = [torch.cdist(part, self.points).amin(-1) for part in flat.split(1024)]
        return torch.cat(nearest).reshape(points.shape[:-1]) if nearest else flat.new_zeros(points.shape[:-1])

    def outside(self, points: Tensor) -> Tensor:
        """Return True for each point outside the domain.

        Args:
            points: Shape (..., state + drive).

        Returns:
            Shape (...,), bool.
        """
        far = self._far(points)
        if not self.constants:
            return far
        fitted, requested = self.points[:, -self.constants :], points.detach()[..., -self.constants :]
        low, high = fitted.amin(0), fitted.amax(0)
        margin = 0.05 * (high - low) + 1e-6
        return far | ((requested < low - margin) | (requested > high + margin)).any(-1)

    def farthest(self, points: Tensor) -> float:
        """Return the distance of the farthest point over the radius; of many points, those farthest from the middle count.

        Args:
            points: Shape (..., state + drive).

        Example:
            >>> import torch
            >>> Domain(torch.zeros(1, 2), radius=0.5).farthest(torch.tensor([[0.5, 0.0], [3.0, 4.0]]))
            10.0
        """
        flat = points.detach().reshape(-1, points.shape[-1])
        if not len(flat) or not bool(self.radius > 0):
            return 0.0
        middle = torch.linalg.vector_norm(flat - self.points.mean(0), dim=-1)
        outermost = flat[middle.topk(min(len(flat), OUTERMOST)).indices]
        return float(self.distance(outermost).max() / self.radius)

    def _far(self, points: Tensor) -> Tensor:
        """Return True for each point that is farther than the radius from all fitted ones.

        Most points of a long run share a cell of a grid with others, and most cells lie inside or outside as a whole. By the
        triangle inequality, the distance of a cell's centre decides that; only the points of the other cells are checked one
        by one.
        """
        flat = points.detach().reshape(-1, points.shape[-1])
        if len(flat) <= MAX_CHECKED_ONE_BY_ONE or not bool(self.radius > 0):
            return self.distance(points) > self.radius
        # Half the diagonal of a cell is half a radius; a little more, for rounding.
        edge = self.radius / flat.shape[-1] ** 0.5
        reach = 0.501 * self.radius
        cells, cell_of = _occupied_cells(flat, edge)
        centre = self.distance((cells + 0.5) * edge)
        far = (centre > self.radius)[cell_of]
        undecided = ((centre + reach > self.radius) & (centre - reach <= self.radius))[cell_of].nonzero().squeeze(-1)
        far[undecided] = self.distance(flat[undecided]) > self.radius
        return far.reshape(points.shape[:-1])


def _occupied_cells(points: Tensor, edge: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cells of a grid that contain points, shape (cells, d), and the number of each point's cell."""
    cell = (points / edge).floor().clamp(-MAX_CELL, MAX_CELL)
    code = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    for column in cell.to(torch.int64).unbind(-1):
        low = column.amin()
        width = int(column.amax() - low) + 1
        code = code * width + (column - low)
        if width > 1:  # renumber the combinations so far, before the next column might overflow them
            code = torch.unique(code, return_inverse=True)[1]
    first = torch.full((int(code.max()) + 1,), len(points), dtype=torch.int64, device=points.device)
    first.scatter_reduce_(0, code, torch.arange(len(points), device=points.device), "amin")
    return cell[first], code
