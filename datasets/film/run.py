"""The one loop of a film: between two evaluations of its stray field the cells are stepped with what they feel of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import ConfigError
from ...kernels import available, film as compiled
from ...random import counter_normals
from ..macrospin.llg import GAMMA0
from .stray import StrayField
from .terms import Drives, Terms, framed, inner

#: RK4 is stable for gamma0 H dt up to 2.8, H the largest field of the grid: that of neighbours that alternate.
_STABLE = 2.6


@dataclass(frozen=True, eq=False)
class FilmRun:
    """What a run of a film gives.

    Attributes:
        time: Instants [s], shape (time,).
        mean: Mean magnetisation over the cells, shape (time, 3).
        observed: What `observe` returned at each instant; empty without it.
        m: Magnetisation at the end, shape (rows, columns, 3).
    """

    time: Tensor
    mean: Tensor
    observed: list[object]
    m: Tensor


class Stepper:
    """Steps a magnetisation in place.

    The stray field changes little in a fraction of a picosecond and costs more than the rest. It is evaluated every `refresh`,
    and continued linearly in between from its last two values: frozen, it would lag behind m and act as negative damping. What
    a cell does to itself, -Ms m_z, is most of it and is taken anew at each stage.

    Args:
        terms: Constants.
        stray: The stray field.
        m: Magnetisation, shape (3, rows, columns).
        refresh: Time between two evaluations of the stray field [s].
        thermal: Deviation of the thermal field times the root of the step [A/m s^1/2]; 0 without heat.
        key: Of the thermal field.
    """

    def __init__(
        self, terms: Terms, stray: StrayField, m: Tensor, *, refresh: float, thermal: float = 0.0, key: int = 0
    ) -> None:
        self.terms, self.refresh, self._stray, self._thermal, self._key = terms, refresh, stray, thermal, key
        self._columns = m.shape[-1]
        self.framed = framed(m).contiguous()
        self._steps = 0
        self._native = available()
        self._rest = self._evaluated()
        self._slope: Tensor | None = None  # [A/m/s]

    @property
    def m(self) -> Tensor:
        """The magnetisation, shape (3, rows, columns), a view."""
        return inner(self.framed, self._columns)

    def over(self, interval: float, begin: Drives, end: Drives, longest: float) -> None:
        """Advance by an interval [s] in which drives run linearly from `begin` to `end`, in steps of at most `longest` [s]."""
        # The slack keeps an interval of n parts, but for rounding, from being cut into n + 1.
        blocks = max(1, math.ceil(interval / self.refresh - 1e-6))
        steps = max(1, math.ceil(interval / blocks / longest - 1e-6))
        first, last = begin.numbers(), end.numbers()
        edges = [tuple(a + (b - a) * k / blocks for a, b in zip(first, last, strict=True)) for k in range(blocks + 1)]
        if self._slope is None:
            self._begin(interval / blocks, steps, edges)
        for at, to in itertools.pairwise(edges):
            self._block(interval / blocks, steps, at, to)

    def _begin(self, length: float, steps: int, edges: list[tuple[float, ...]]) -> None:
        """A first block for the slope alone, taken back."""
        self._slope = torch.zeros_like(self._rest)
        kept, rest, count = self.framed.clone(), self._rest, self._steps
        self._block(length, steps, edges[0], edges[1])
        self.framed, self._rest, self._steps = kept, rest, count

    def _block(self, length: float, steps: int, begin: tuple[float, ...], end: tuple[float, ...]) -> None:
        dt = length / steps
        assert self._slope is not None
        stray = torch.cat([self._rest, self._slope * dt])
        thermal = self._thermal / math.sqrt(dt)
        if self._native:
            numbers = self.terms.numbers(thermal)
            place = {"first": self._steps, "key": self._key}
            compiled.advance(self.framed, self.terms.cells, stray, steps, GAMMA0 * dt, numbers, (begin, end), **place)
        else:
            self._plain(stray, steps, dt, thermal, begin, end)
        self._steps += steps
        before, self._rest = self._rest, self._evaluated()
        self._slope = (self._rest - before) / length

    def _evaluated(self) -> Tensor:
        field = framed(self._stray(self.m))
        field[2] += self.terms.Ms * self.framed[2]
        return field

    def _plain(
        self, stray: Tensor, steps: int, dt: float, thermal: float, begin: tuple[float, ...], end: tuple[float, ...]
    ) -> None:
        """The twin of the compiled steps."""
        rest, slope = stray[:3], stray[3:]
        _, rows, stride = self.framed.shape
        scaled = GAMMA0 * dt
        for step in range(steps):
            heat = torch.zeros_like(rest)
            if thermal:
                drawn = counter_normals(self._key, self._steps + step, 1, 3 * (rows - 2) * stride)
                heat[:, 1:-1] = thermal * drawn.reshape(3, rows - 2, stride).to(rest)

            def rate(m: Tensor, fraction: float, step: int = step, heat: Tensor = heat) -> Tensor:
                at = (step + fraction) / steps
                drives = Drives.of(tuple(a + (b - a) * at for a, b in zip(begin, end, strict=True)))
                return self.terms.rate(m, rest + (step + fraction) * slope + heat, drives)

            m = self.framed
            k1 = rate(m, 0.0)
            k2 = rate(m + scaled / 2 * k1, 0.5)
            k3 = rate(m + scaled / 2 * k2, 0.5)
            k4 = rate(m + scaled * k3, 1.0)
            moved = m + scaled / 6 * (k1 + 2 * (k2 + k3) + k4)
            length = torch.linalg.vector_norm(moved, dim=0)
            self.framed = moved / torch.where(length > 0, length, 1)


def run(
    stepper: Stepper,
    time: Tensor,
    drives: Callable[[int], tuple[Drives, Drives]],
    longest: float,
    inside: Tensor,
    observe: Callable[[Tensor], object] | None,
) -> FilmRun:
    """Step along the instants.

    Args:
        stepper: Holds the magnetisation.
        time: Instants [s], shape (time,).
        drives: What acts at the start and at the end of the interval that begins with an instant.
        longest: Step [s].
        inside: Which cells are magnetic.
        observe: Takes m, shape (rows, columns, 3), at each instant.

    Raises:
        ConfigError: the magnetisation is no longer finite.
    """
    cells = inside.sum()
    means, seen = [], []
    for sample, interval in enumerate([*torch.diff(time).tolist(), None]):
        means.append(stepper.m.sum((-1, -2)) / cells)
        if not bool(means[-1].isfinite().all()):
            raise ConfigError(
                f"the magnetisation is no longer finite at t = {float(time[sample]):.4g} s: a step of {longest:.3g} s is too "
                "long for the fields at work; pass a smaller max_step, or check the units of the drives."
            )
        if observe is not None:
            seen.append(observe(stepper.m.movedim(0, -1).clone()))
        if interval is not None:
            stepper.over(interval, *drives(sample), longest)
    return FilmRun(time, torch.stack(means), seen, stepper.m.movedim(0, -1).clone())


def longest_step(largest_field: float) -> float:
    """Longest stable step [s] where the grid has fields up to `largest_field` [A/m]."""
    return _STABLE / (GAMMA0 * largest_field)
