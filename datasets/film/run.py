"""The time loop of a film: Runge-Kutta steps of the cells between evaluations of the stray field."""

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
from .terms import Drives, Terms, pad, unpad

#: RK4 is stable up to gamma0 H dt = 2.8, where H is the largest field of the grid: that of alternating neighbours.
_MAX_ANGLE = 2.6


@dataclass(frozen=True, eq=False)
class FilmRun:
    """The result of `Film.simulate`.

    Attributes:
        time: Sample times [s], shape (time,).
        mean: Mean magnetisation over the cells, shape (time, 3).
        observed: Results of `observe` at the sample times; empty without it.
        m: Final magnetisation, shape (rows, columns, 3).
    """

    time: Tensor
    mean: Tensor
    observed: list[object]
    m: Tensor


class Stepper:
    """Integrates the magnetisation of a film in place.

    The stray field changes little within a fraction of a picosecond and is the most expensive term. It is evaluated every
    `refresh` and extrapolated linearly in between from its last two values; a constant field would lag behind m and act as
    negative damping. The field of a cell on itself, -Ms m_z, is the largest part and is evaluated at each Runge-Kutta stage.

    Args:
        terms: Constants of the equation.
        stray: Stray field of the film.
        m: Initial magnetisation, shape (3, rows, columns).
        refresh: Time between two evaluations of the stray field [s].
        thermal: Standard deviation of the thermal field times the square root of the step [A/m s^1/2]; 0 at T = 0.
        key: Key of the random numbers of the thermal field.
    """

    def __init__(
        self, terms: Terms, stray: StrayField, m: Tensor, *, refresh: float, thermal: float = 0.0, key: int = 0
    ) -> None:
        self.terms, self.refresh, self.stray, self._thermal, self._key = terms, refresh, stray, thermal, key
        self._columns = m.shape[-1]
        self.padded = pad(m).contiguous()
        self._steps = 0
        self._native = available()
        self._remote = self._remote_field()
        self._slope: Tensor | None = None  # of the remote field [A/m/s]

    @property
    def m(self) -> Tensor:
        """The magnetisation, shape (3, rows, columns), a view."""
        return unpad(self.padded, self._columns)

    def advance(self, interval: float, begin: Drives, end: Drives, max_step: float) -> None:
        """Advance by an interval [s] in which the drives change linearly, in steps of at most `max_step` [s]."""
        # The tolerance prevents rounding errors from splitting an interval of n parts into n + 1.
        blocks = max(1, math.ceil(interval / self.refresh - 1e-6))
        steps = max(1, math.ceil(interval / blocks / max_step - 1e-6))
        first, last = begin.numbers(), end.numbers()
        edges = [tuple(a + (b - a) * k / blocks for a, b in zip(first, last, strict=True)) for k in range(blocks + 1)]
        if self._slope is None:
            self._estimate_slope(interval / blocks, steps, edges)
        for block_begin, block_end in itertools.pairwise(edges):
            self._block(interval / blocks, steps, block_begin, block_end)

    def _estimate_slope(self, length: float, steps: int, edges: list[tuple[float, ...]]) -> None:
        """Take a trial block to estimate the slope of the remote field, then restore the state."""
        self._slope = torch.zeros_like(self._remote)
        padded, remote, count = self.padded.clone(), self._remote, self._steps
        self._block(length, steps, edges[0], edges[1])
        self.padded, self._remote, self._steps = padded, remote, count

    def _block(self, length: float, steps: int, begin: tuple[float, ...], end: tuple[float, ...]) -> None:
        dt = length / steps
        assert self._slope is not None
        stray = torch.cat([self._remote, self._slope * dt])
        thermal = self._thermal / math.sqrt(dt)
        if self._native:
            numbers = self.terms.numbers(thermal)
            counter = {"first": self._steps, "key": self._key}
            compiled.advance(self.padded, self.terms.cells, stray, steps, GAMMA0 * dt, numbers, (begin, end), **counter)
        else:
            self._torch_steps(stray, steps, dt, thermal, begin, end)
        self._steps += steps
        before, self._remote = self._remote, self._remote_field()
        self._slope = (self._remote - before) / length

    def _remote_field(self) -> Tensor:
        """Return the stray field without that of each cell on itself, -Ms m_z."""
        field = pad(self.stray(self.m))
        field[2] += self.terms.Ms * self.padded[2]
        return field

    def _torch_steps(
        self, stray: Tensor, steps: int, dt: float, thermal: float, begin: tuple[float, ...], end: tuple[float, ...]
    ) -> None:
        """Take the steps in plain PyTorch, as the compiled kernel does."""
        remote, slope = stray[:3], stray[3:]
        _, rows, stride = self.padded.shape
        scaled = GAMMA0 * dt
        for step in range(steps):
            thermal_field = torch.zeros_like(remote)
            if thermal:
                normals = counter_normals(self._key, self._steps + step, 1, 3 * (rows - 2) * stride)
                thermal_field[:, 1:-1] = thermal * normals.reshape(3, rows - 2, stride).to(remote)

            def rate(m: Tensor, fraction: float, step: int = step, thermal_field: Tensor = thermal_field) -> Tensor:
                at = (step + fraction) / steps
                drives = Drives.from_numbers(tuple(a + (b - a) * at for a, b in zip(begin, end, strict=True)))
                return self.terms.rate(m, remote + (step + fraction) * slope + thermal_field, drives)

            m = self.padded
            k1 = rate(m, 0.0)
            k2 = rate(m + scaled / 2 * k1, 0.5)
            k3 = rate(m + scaled / 2 * k2, 0.5)
            k4 = rate(m + scaled * k3, 1.0)
            moved = m + scaled / 6 * (k1 + 2 * (k2 + k3) + k4)
            length = torch.linalg.vector_norm(moved, dim=0)
            self.padded = moved / torch.where(length > 0, length, 1)


def run(
    stepper: Stepper,
    time: Tensor,
    drives: Callable[[int], tuple[Drives, Drives]],
    max_step: float,
    inside: Tensor,
    observe: Callable[[Tensor], object] | None,
) -> FilmRun:
    """Advance a film over the sample times and record it.

    Args:
        stepper: Integrator with the initial magnetisation.
        time: Sample times [s], shape (time,).
        drives: Function of a sample that returns the drives at the start and at the end of the interval after it.
        max_step: Longest step [s].
        inside: Mask of the magnetic cells, shape (rows, columns).
        observe: Function of m, shape (rows, columns, 3), that is called at each sample time.

    Raises:
        ConfigError: the magnetisation is not finite any more.
    """
    cells = inside.sum()
    means, observed = [], []
    for sample, interval in enumerate([*torch.diff(time).tolist(), None]):
        means.append(stepper.m.sum((-1, -2)) / cells)
        if not bool(means[-1].isfinite().all()):
            raise ConfigError(
                f"the magnetisation is not finite at t = {float(time[sample]):.4g} s: a step of {max_step:.3g} s is too "
                "long for the fields; pass a smaller max_step, or check the units of the drives."
            )
        if observe is not None:
            observed.append(observe(stepper.m.movedim(0, -1).clone()))
        if interval is not None:
            stepper.advance(interval, *drives(sample), max_step)
    return FilmRun(time, torch.stack(means), observed, stepper.m.movedim(0, -1).clone())


def max_stable_step(largest_field: float) -> float:
    """Return the longest stable step [s] on a grid with fields up to `largest_field` [A/m]."""
    return _MAX_ANGLE / (GAMMA0 * largest_field)
