"""Shapes of a film, its grains, and initial textures."""

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
from ...validation import number

if TYPE_CHECKING:
    from .film import Film


def rectangle(width: float, height: float, *, cell: float) -> Tensor:
    """Return the mask of a rectangular film, shape (rows, columns).

    Args:
        width: Length along x [m].
        height: Length along y [m].
        cell: Edge length of a cell [m].

    Raises:
        ConfigError: lengths that are not positive, or shorter than a cell.

    Example:
        >>> rectangle(100e-9, 50e-9, cell=5e-9).shape
        torch.Size([10, 20])
    """
    columns, rows = (
        round(_length(name, size) / _length("cell", cell)) for name, size in (("width", width), ("height", height))
    )
    if min(rows, columns) < 1:
        raise ConfigError(
            f"a rectangle of {width:g} m x {height:g} m is smaller than a cell of {cell:g} m; pass a smaller cell."
        )
    return torch.ones(rows, columns, dtype=torch.bool)


def disc(diameter: float, *, cell: float) -> Tensor:
    """Return the mask of a disc, shape (cells, cells): cells whose centre lies inside it.

    Args:
        diameter: Diameter of the disc [m].
        cell: Edge length of a cell [m].

    Raises:
        ConfigError: lengths that are not positive, or a disc of fewer than three cells across.

    Example:
        >>> mask = disc(20e-9, cell=1e-9)
        >>> mask.shape, int(mask.sum())
        (torch.Size([20, 20]), 316)
    """
    count = math.ceil(_length("diameter", diameter) / _length("cell", cell) - 1e-9)
    if count < 3:
        raise ConfigError(
            f"a disc of {diameter:g} m is {count} cells of {cell:g} m across; expected at least 3: pass a smaller cell."
        )
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
    """Divide a film into grains, each with its own anisotropy, DMI and easy axis.

    The grains are the Voronoi cells of random centres.

    Args:
        film: A film with the same Ku, D and easy axis in all cells.
        size: Mean diameter of a grain [m]: there is one centre per `size`^2.
        spread: Relative standard deviation of Ku and D, which are normally distributed but at least a tenth of the mean.
        tilt: Standard deviation of each component of the easy axis.
        generator: Source of the centres and of the properties of the grains.

    Raises:
        ConfigError: a size that is not positive, a negative spread or tilt, or a film that has grains already.

    Example:
        >>> from spinode.datasets import Film
        >>> film = Film(disc(20e-9, cell=1e-9), Ku=8e5, D=3e-3)
        >>> grained(film, 5e-9, generator=torch.Generator().manual_seed(0)).Ku.shape
        torch.Size([20, 20])
    """
    _length("size", size)
    number("spread", spread, 0)
    number("tilt", tilt, 0)
    rows, columns = film.shape.shape
    if any(isinstance(getattr(film, name), Tensor) for name in ("Ku", "D")) or isinstance(film.easy_axis, Tensor):
        raise ConfigError(
            "the film has values for each cell already; pass a film with numbers for Ku and D, and a single easy axis."
        )
    margin = math.ceil(2 * size / film.cell)  # centres outside the film make grains at its edge as large as inside
    area = (rows + 2 * margin) * (columns + 2 * margin)
    count = max(1, round(area * film.cell**2 / size**2))

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    centres = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    centres = centres * torch.tensor([rows + 2 * margin, columns + 2 * margin]) - margin
    cells = np.stack(np.meshgrid(np.arange(rows) + 0.5, np.arange(columns) + 0.5, indexing="ij"), -1)
    grain = torch.from_numpy(cKDTree(centres.numpy()).query(cells)[1])
    factors = (1 + spread * normal(2, count)).clamp_min(0.1)
    axes = torch.tensor(film.easy_axis, dtype=torch.float64) + tilt * normal(count, 3)
    return dataclasses.replace(film, Ku=film.Ku * factors[0][grain], D=film.D * factors[1][grain], easy_axis=axes[grain])


def skyrmions(
    shape: Tensor, centres: Sequence[tuple[float, float]], *, cell: float, radius: float, width: float, outward: bool = True
) -> Tensor:
    """Return a state with Neel skyrmions, as an initial state for `Film.relax`; shape (rows, columns, 3).

    Cores point along -z in a film along +z. The profile is that of a circular domain wall,
    theta(r) = 2 arctan(sinh(radius / width) / sinh(r / width)).

    Args:
        shape: Mask of the film, shape (rows, columns).
        centres: Positions (x, y) of the cores relative to the centre of the film [m].
        cell: Edge length of a cell [m].
        radius: Distance from the core at which m_z is 0 [m].
        width: Width of the wall [m], about sqrt(A / K).
        outward: True if m points away from the core within the wall, as for D > 0; False for D < 0.

    Source: Wang, Yuan and Wang, Commun. Phys. 1, 31 (2018), doi:10.1038/s42005-018-0029-0.
    """
    _length("radius", radius), _length("width", width)
    y, x = _centres(tuple(shape.shape), _length("cell", cell))
    m = torch.zeros(*shape.shape, 3, dtype=torch.float64)
    m[..., 2] = 1.0
    nearest = torch.full(shape.shape, math.inf, dtype=torch.float64)
    for cx, cy in centres:
        r = torch.hypot(x - cx, y - cy).clamp_min(1e-3 * cell)
        theta = 2 * torch.atan2(torch.sinh(torch.tensor(radius / width)), torch.sinh((r / width).clamp_max(300.0)))
        sign = 1.0 if outward else -1.0
        skyrmion = torch.stack([sign * theta.sin() * (x - cx) / r, sign * theta.sin() * (y - cy) / r, theta.cos()], -1)
        m = torch.where((r < nearest)[..., None], skyrmion, m)
        nearest = torch.minimum(r, nearest)
    return m


def _centres(shape: tuple[int, ...], cell: float) -> tuple[Tensor, Tensor]:
    """Return y and x of the centre of each cell relative to the centre of the film [m]."""
    rows, columns = shape
    y, x = (((torch.arange(size, dtype=torch.float64) + 0.5) - size / 2) * cell for size in (rows, columns))
    grid = torch.meshgrid(y, x, indexing="ij")
    return grid[0], grid[1]


def _length(name: str, value: float) -> float:
    return number(name, value, 0, above=True, unit="m")
