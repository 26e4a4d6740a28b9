"""The compiled steps of a magnetic film; their plain-torch twin is `spinode.datasets.film`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import ConfigError
from . import native

_CONSTANTS, _NUMBERS, _DRIVES, _LANES = 11, 13, 8, 8


def advance(
    m: Tensor,
    cells: Tensor,
    stray: Tensor,
    steps: int,
    dt: float,
    numbers: Sequence[float],
    drives: tuple[Sequence[float], Sequence[float]],
    *,
    first: int = 0,
    key: int = 0,
) -> None:
    """Take classical fourth-order Runge-Kutta steps of a film, in place.

    Args:
        m: Unit vectors of the magnetisation, with a border of empty cells, shape (3, rows + 2, stride).
        cells: Constants of the cells, shape (11, rows + 2, stride).
        stray: Stray field at the start and its change per step [A/m], shape (6, rows + 2, stride).
        steps: Number of steps.
        dt: gamma0 times the length of a step [m/A].
        numbers: Constants of the film, in the order of kernels/film.hpp.
        drives: Fields and currents that are the same for all cells, at the start and at the end; linear in between.
        first: Index of the first step, for the thermal field.
        key: Key of the thermal field's random numbers.

    Raises:
        ConfigError: shapes or types that the kernel does not take.
    """
    _, rows, stride = m.shape
    native.check_tensors(
        torch.float64,
        m=(m, (3, rows, stride)),
        cells=(cells, (_CONSTANTS, rows, stride)),
        stray=(stray, (6, rows, stride)),
    )
    contiguous = m.is_contiguous() and cells.is_contiguous() and stray.is_contiguous()
    if not contiguous or rows < 3 or stride % _LANES or steps < 1 or not stride:
        raise ConfigError(
            f"the kernel takes contiguous arrays of shape (3, rows + 2, multiple of {_LANES}) and at least one step; got "
            f"{tuple(m.shape)} and {steps}."
        )
    if len(numbers) != _NUMBERS or any(len(each) != _DRIVES for each in drives):
        lengths = [len(each) for each in drives]
        raise ConfigError(f"the kernel takes {_NUMBERS} numbers and {_DRIVES} drives; got {len(numbers)} and {lengths}.")
    native.library.film(
        native.simd(),
        m=m.detach(),
        cells=cells,
        stray=stray,
        steps=steps,
        dt=dt,
        numbers=numbers,
        start=drives[0],
        stop=drives[1],
        first=first,
        key=key,
    )
    torch.autograd.graph.increment_version(m)
