"""The skyrmion devices of Chen et al. (2022): one in a disc, and four in a disc of grains, driven through their anisotropy."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import ConfigError
from .film import Film
from .shapes import disc, grained, skyrmions

#: By number of skyrmions: diameter of the disc [m], and where their cores begin [m].
_DISCS: dict[int, tuple[float, list[tuple[float, float]]]] = {
    1: (80e-9, [(0.0, 0.0)]),
    4: (120e-9, [(x, y) for x in (-25e-9, 25e-9) for y in (-25e-9, 25e-9)]),
}


def skyrmion_film(count: int = 1, *, cell: float = 1e-9, alpha: float = 0.01, generator: torch.Generator | None = None) -> Film:
    """The film of `skyrmion_device`, without its state.

    Raises:
        ConfigError: another count, or a missing generator.
    """
    if count not in _DISCS:
        raise ConfigError(f"count is {count!r}; expected 1 or 4 skyrmions. Others are made by Film and skyrmions.")
    film = Film(disc(_DISCS[count][0], cell=cell), cell=cell, D=3.5e-3, Ku=8e5, alpha=alpha)
    if count == 1:
        return film
    if generator is None:
        raise ConfigError("four skyrmions lie among grains, which are drawn; pass generator=torch.Generator().manual_seed(0).")
    return grained(film, 10e-9, spread=0.2, tilt=0.1, generator=generator)


def skyrmion_device(
    count: int = 1, *, cell: float = 1e-9, alpha: float = 0.01, generator: torch.Generator | None = None
) -> tuple[Film, Tensor]:
    """A film with skyrmions, at rest.

    Ms 580 kA/m, A 15 pJ/m, D 3.5 mJ/m2, Ku 0.8 MJ/m3, 1 nm thick. One skyrmion sits in a disc of 80 nm; four in one of 120 nm
    with grains of 10 nm whose Ku and D scatter by 20 % and whose axes are tilted by 0.1, which makes each of them another
    device.

    Args:
        count: 1 or 4.
        cell: Edge of a cell [m]; 1 nm is what such a skyrmion needs.
        alpha: Gilbert damping.
        generator: Source of the grains; needed for four.

    Returns:
        The film, and its state at rest, shape (rows, columns, 3).

    Raises:
        ConfigError: another count, a missing generator, or skyrmions that do not stay.

    Source: Chen et al., Nat. Commun. 13, 1016 (2022); the tilt, and the places of the cores, are ours.
    """
    film = skyrmion_film(count, cell=cell, alpha=alpha, generator=generator)
    start = skyrmions(film.shape, _DISCS[count][1], cell=cell, radius=(25e-9 if count == 1 else 12e-9), width=5e-9)
    rest = film.relax(start, tolerance=1e-3)
    charge = film.charge(rest)
    if round(-charge) != count:
        raise ConfigError(f"of {count} skyrmions {round(-charge)} are left at rest (charge {charge:.2f}); take another seed.")
    return film, rest
