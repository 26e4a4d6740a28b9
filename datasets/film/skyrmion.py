"""The skyrmion devices of Chen et al. (2022): one skyrmion in a disc, and four in a disc of grains; driven by anisotropy."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import ConfigError
from .film import Film
from .shapes import disc, grained, skyrmions

#: Diameter of the disc [m] and initial positions of the cores [m], by number of skyrmions.
_DISCS: dict[int, tuple[float, list[tuple[float, float]]]] = {
    1: (80e-9, [(0.0, 0.0)]),
    4: (120e-9, [(x, y) for x in (-25e-9, 25e-9) for y in (-25e-9, 25e-9)]),
}


def skyrmion_film(count: int = 1, *, cell: float = 1e-9, alpha: float = 0.01, generator: torch.Generator | None = None) -> Film:
    """Return the film of `skyrmion_device` without relaxing it.

    Raises:
        ConfigError: another count, or a missing generator.
    """
    if count not in _DISCS:
        raise ConfigError(f"count is {count!r}; expected 1 or 4 skyrmions. Use Film and skyrmions for other devices.")
    film = Film(disc(_DISCS[count][0], cell=cell), cell=cell, D=3.5e-3, Ku=8e5, alpha=alpha)
    if count == 1:
        return film
    if generator is None:
        raise ConfigError("four skyrmions need random grains; pass generator=torch.Generator().manual_seed(0).")
    return grained(film, 10e-9, spread=0.2, tilt=0.1, generator=generator)


def skyrmion_device(
    count: int = 1, *, cell: float = 1e-9, alpha: float = 0.01, generator: torch.Generator | None = None
) -> tuple[Film, Tensor]:
    """Return a film with skyrmions, and its state at rest.

    Ms 580 kA/m, A 15 pJ/m, D 3.5 mJ/m2, Ku 0.8 MJ/m3, 1 nm thick. One skyrmion lies in a disc of 80 nm; four in a disc of
    120 nm with grains of 10 nm whose Ku and D scatter by 20 % and whose axes are tilted by 0.1, so that the four skyrmions
    differ.

    Args:
        count: Number of skyrmions, 1 or 4.
        cell: Edge length of a cell [m]; larger cells than 1 nm do not resolve these skyrmions.
        alpha: Gilbert damping.
        generator: Source of the grains; needed for four skyrmions.

    Returns:
        The film, and its state at rest, shape (rows, columns, 3).

    Raises:
        ConfigError: another count, a missing generator, or skyrmions that are not stable.

    Source: Chen et al., Nat. Commun. 13, 1016 (2022); the tilt and the positions of the cores are our choice.
    """
    film = skyrmion_film(count, cell=cell, alpha=alpha, generator=generator)
    start = skyrmions(film.shape, _DISCS[count][1], cell=cell, radius=(25e-9 if count == 1 else 12e-9), width=5e-9)
    relaxed = film.relax(start, tolerance=1e-3)
    charge = film.charge(relaxed)
    if round(-charge) != count:
        raise ConfigError(
            f"{round(-charge)} of {count} skyrmions remain at rest (topological charge {charge:.2f}); use another seed."
        )
    return film, relaxed
