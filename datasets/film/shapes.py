"""Which cells of a film are magnetic, the grains they belong to, and textures to begin with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ...errors import ConfigError
from .check import positive

if TYPE_CHECKING:
    from .film import Film


def rectangle(width: float, height: float, *, cell: float) -> Tensor:
    """All cells of a rectangle, shape (rows, columns): of `width` along x and `height` along y [m].

    Raises:
        ConfigError: lengths that are not positive, or shorter than a cell.
    """
    columns, rows = (
        round(positive(size, name) / positive(cell, "cell")) for size, name in ((width, "width"), (height, "height"))
    )
    if min(rows, columns) < 1:
        raise ConfigError(f"a rectangle of {width:g} m x {height:g} m holds no cell of {cell:g} m; pass a smaller cell.")
    return torch.ones(rows, columns, dtype=torch.bool)


def disc(diameter: float, *, cell: float) -> Tensor:
    """The cells whose centre lies within a disc of a diameter [m], shape (cells, cells).

    Raises:
        ConfigError: lengths that are not positive, or a disc of less than three cells across.
    """
    count = math.ceil(positive(diameter, "diameter") / positive(cell, "cell") - 1e-9)
    if count < 3:
        raise ConfigError(f"a disc of {diameter:g} m is {count} cells of {cell:g} m across; pass a smaller cell.")
    y, x = _centres((count, count), cell)
    inside: Tensor = x**2 + y**2 <= (diameter / 2) ** 2
    return inside


def grained(
    film: Film,
    size: float,
    *,
    spread: float = 0.2,
    tilt: float = 0.0,
    generator: torch.Generator,
) -> Film:
    """The film as one of grains: Voronoi cells of random centres, each with an anisotropy, a DMI and an easy axis of its own.

    Args:
        film: With one Ku, D and easy axis for all.
        size: Mean diameter of a grain [m]: there is one centre per `size`^2.
        spread: Deviation of Ku and D, relative; normal, but never below a tenth of the mean.
        tilt: Deviation of each component of the easy axis across it.
        generator: Source of centres and of what the grains have.

    Raises:
        ConfigError: a size or spread that is not positive, or a film that has grains.
    """
    positive(size, "size")
    if not 0 <= spread < math.inf or not 0 <= tilt < math.inf:
        raise ConfigError(f"spread and tilt are {spread!r} and {tilt!r}; expected numbers from 0 on.")
    rows, columns = film.shape.shape
    if any(isinstance(getattr(film, name), Tensor) for name in ("Ku", "D")) or isinstance(film.easy_axis, Tensor):
        raise ConfigError("the film has values for each cell already; pass one with numbers for Ku and D, and one easy axis.")
    around = math.ceil(2 * size / film.cell)
    area = (rows + 2 * around) * (columns + 2 * around)
    count = max(1, round(area * film.cell**2 / size**2))

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    places = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    places = places * torch.tensor([rows + 2 * around, columns + 2 * around]) - around
    cells = np.stack(np.meshgrid(np.arange(rows) + 0.5, np.arange(columns) + 0.5, indexing="ij"), -1)
    grain = torch.from_numpy(cKDTree(places.numpy()).query(cells)[1])
    factors = (1 + spread * normal(2, count)).clamp_min(0.1)
    axes = torch.tensor(film.easy_axis, dtype=torch.float64) + tilt * normal(count, 3)
    return dataclasses.replace(film, Ku=film.Ku * factors[0][grain], D=film.D * factors[1][grain], easy_axis=axes[grain])


def skyrmions(
    shape: Tensor, centres: Sequence[tuple[float, float]], *, cell: float, radius: float, width: float, outward: bool = True
) -> Tensor:
    """Neel skyrmions with cores along -z in a film along +z, to relax from; shape (rows, columns, 3).

    The wall is that of a domain wall bent to a circle, theta(r) = 2 arctan(sinh(radius / width) / sinh(r / width)).

    Args:
        shape: Cells, shape (rows, columns).
        centres: (x, y) of each core, from the centre of the film [m].
        cell: Edge of a cell [m].
        radius: Where m_z is 0 [m].
        width: Of the wall [m], about sqrt(A / K).
        outward: Whether m points away from the core within the wall, as D > 0 prefers it; for D < 0 it points to the core.

    Source: Wang, Yuan and Wang, Commun. Phys. 1, 31 (2018), doi:10.1038/s42005-018-0029-0.
    """
    positive(radius, "radius"), positive(width, "width")
    y, x = _centres(tuple(shape.shape), positive(cell, "cell"))
    m = torch.zeros(*shape.shape, 3, dtype=torch.float64)
    m[..., 2] = 1.0
    nearest = torch.full(shape.shape, math.inf, dtype=torch.float64)
    for cx, cy in centres:
        r = torch.hypot(x - cx, y - cy).clamp_min(1e-3 * cell)
        theta = 2 * torch.atan2(torch.sinh(torch.tensor(radius / width)), torch.sinh((r / width).clamp_max(300.0)))
        sign = 1.0 if outward else -1.0
        one = torch.stack([sign * theta.sin() * (x - cx) / r, sign * theta.sin() * (y - cy) / r, theta.cos()], -1)
        m = torch.where((r < nearest)[..., None], one, m)
        nearest = torch.minimum(r, nearest)
    return m


def _centres(shape: tuple[int, ...], cell: float) -> tuple[Tensor, Tensor]:
    """Y and x of the centre of each cell from the centre of the film [m]."""
    rows, columns = shape
    y, x = (((torch.arange(size, dtype=torch.float64) + 0.5) - size / 2) * cell for size in (rows, columns))
    grid = torch.meshgrid(y, x, indexing="ij")
    return grid[0], grid[1]
