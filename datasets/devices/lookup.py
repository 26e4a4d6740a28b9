"""`LookUpTable`, a device as measured: the distribution of its steps at each conductance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...contracts.synapse import Pulses, State, SynapseModel
from ...errors import ConfigError
from ..sampled_drive import float64


@dataclass(frozen=True, eq=False)
class LookUpTable(SynapseModel):
    """A synapse whose pulses draw their step from a table dG(u, G): u the cumulative probability, G the conductance.

    Each pulse does G <- G + dG(u, G), u ~ U(0, 1) anew, the table interpolated bilinearly and held constant beyond its
    outermost probabilities; G stays within the bins. One table serves SET, one RESET. Without a generator a pulse takes the
    mean step, the integral of dG over u (exact for the interpolated table).

    Tables of several devices make a population: each virtual device draws one of them for good. The tables of one device
    hold its noise from cycle to cycle and nothing about differences between devices, so none are offered then. The typical
    device is that whose mean SET step, averaged over its range, is the median of all.

    The state holds "conductance" [S], and "table", the number of each device's table, if there are several.

    Attributes:
        bins: Conductances G [S], growing, shape (bins,) or (tables, bins). Tensors or arrays here and below; kept in float64
            with the tables as first dimension.
        cumulative: Probabilities u, growing within 0 .. 1, shape (points,); the same for all tables.
        increasing: Steps dG [S] of SET, shape (points, bins) or (tables, points, bins).
        decreasing: Steps of RESET, likewise.
        start: Conductance of a fresh device, 0 (lowest bin) .. 1 (highest).
        low: Lowest bin of all tables [S].
        high: Highest.

    Raises:
        ConfigError: shapes that do not fit, values that are not finite, bins or probabilities that do not grow, or tables
            whose bins are spaced differently, in units of their range.

    Source: the form of the tables and their sampling: CrossSim (Sandia National Laboratories), look-up-table update model.
    """

    bins: Tensor
    cumulative: Tensor
    increasing: Tensor
    decreasing: Tensor
    start: float = 0.0
    low: float = field(init=False, default=0.0)
    high: float = field(init=False, default=0.0)
    _steps: Tensor = field(init=False, repr=False)
    _mean: Tensor = field(init=False, repr=False)
    _typical: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        bins, points = float64(self.bins, "bins"), float64(self.cumulative, "cumulative")
        bins = bins if bins.dim() == 2 else bins[None]
        tables = [float64(getattr(self, name), name) for name in ("increasing", "decreasing")]
        tables = [table if table.dim() == 3 else table[None] for table in tables]
        _check(bins, points, tables)
        if not 0 <= self.start <= 1:
            raise ConfigError(f"start is {self.start!r}; expected 0 (lowest bin) to 1 (highest).")
        both = torch.stack(tables)  # (2, tables, points, bins)
        mean = torch.einsum("p,stpb->stb", _weights(points), both)
        made = {
            "bins": bins,
            "cumulative": points,
            "increasing": tables[0],
            "decreasing": tables[1],
            "low": float(bins.min()),
            "high": float(bins.max()),
            "_steps": both,
            "_mean": mean,
            "_typical": int(mean[0].mean(-1).argsort()[(len(bins) - 1) // 2]),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)

    @property
    def tables(self) -> int:
        """Number of devices whose tables these are."""
        return int(self._steps.shape[1])

    def mean_step(self, conductance: Tensor, polarity: int, table: int = 0) -> Tensor:
        """Mean step [S] of a pulse at conductances [S], of their shape: SET for a polarity of +1, RESET for -1."""
        which = torch.full_like(conductance, polarity)
        number = torch.full(conductance.shape, table, dtype=torch.long)
        return self._step(conductance, which, number, None)

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        bins = self.bins
        first = (bins[:, 0] + self.start * (bins[:, -1] - bins[:, 0])).to(dtype)
        if self.tables == 1:
            return {"conductance": first.expand(shape).clone()}
        if generator is None:
            table = torch.full(shape, self._typical)
        else:
            table = torch.randint(self.tables, shape, generator=generator)
        return {"conductance": first[table], "table": table}

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        conductance = state["conductance"].flatten().clone()
        count = pulses.count.flatten()
        left = count.abs()
        table = state["table"].flatten() if "table" in state else None
        active = left.nonzero()[:, 0]
        done = 0
        while len(active):
            chosen = None if table is None else table[active]
            here = conductance[active]
            conductance[active] = self._clipped(here + self._step(here, count[active], chosen, generator), chosen)
            done += 1
            active = active[left[active] > done]
        return state | {"conductance": conductance.reshape(state["conductance"].shape)}

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        return state["conductance"]

    def _clipped(self, conductance: Tensor, table: Tensor | None) -> Tensor:
        if table is None:
            return conductance.clamp_(self.low, self.high)
        low, high = (self.bins[:, i].to(conductance)[table] for i in (0, -1))
        return torch.minimum(torch.maximum(conductance, low), high)

    def _step(self, here: Tensor, polarity: Tensor, table: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """One pulse of each device [S]; the entries of the table around it are gathered, the table is never spread out."""
        bins, points = self.bins.to(here), self.cumulative.to(here)
        first, last = bins[:, 0], bins[:, -1]
        if table is None:
            place = (here - first[0]) / (last[0] - first[0])
        else:
            place = (here - first[table]) / (last[table] - first[table])
        column, right = _bracket((bins[0] - first[0]) / (last[0] - first[0]), place)
        base = (polarity < 0).long() * self.tables + (0 if table is None else table)
        if generator is None:
            flat = self._mean.to(here).flatten()
            return _between(flat, base * bins.shape[1] + column, right)
        u = torch.rand(here.shape, generator=generator, dtype=here.dtype)
        row, up = _bracket(points, u)
        flat = self._steps.to(here).flatten()
        at = (base * len(points) + row) * bins.shape[1] + column
        return torch.lerp(_between(flat, at, right), _between(flat, at + bins.shape[1], right), up)


# --- interpolating ------------------------------------------------------------------------------------------------------


def _bracket(grid: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Place of values on a growing grid: the node before, and the fraction 0 .. 1 of the way to the next."""
    before = torch.searchsorted(grid, values, right=True).sub_(1).clamp_(0, len(grid) - 2)
    here = grid[before]
    return before, ((values - here) / (grid[before + 1] - here)).clamp_(0, 1)


def _between(flat: Tensor, at: Tensor, fraction: Tensor) -> Tensor:
    """Entries of a flat table between one and its right neighbour."""
    return torch.lerp(flat[at], flat[at + 1], fraction)


def _weights(points: Tensor) -> Tensor:
    """Weights of the integral over u in 0 .. 1 of what is linear between the points and constant beyond them."""
    gaps = points.diff()
    weights = torch.zeros_like(points)
    weights[:-1] += gaps / 2
    weights[1:] += gaps / 2
    weights[0] += points[0]
    weights[-1] += 1 - points[-1]
    return weights


def _check(bins: Tensor, points: Tensor, tables: Sequence[Tensor]) -> None:
    shape = (bins.shape[0], points.numel(), bins.shape[-1])
    for name, table in zip(("increasing", "decreasing"), tables, strict=True):
        if bins.dim() != 2 or points.dim() != 1 or tuple(table.shape) != shape:
            raise ConfigError(
                f"{name} has shape {tuple(table.shape)}, with bins of {tuple(bins.shape)} and {points.numel()} probabilities; "
                f"expected {shape}: tables, points, bins."
            )
    if points.numel() < 2 or bins.shape[-1] < 2 or not bool((points.diff() > 0).all()) or not bool((bins.diff() > 0).all()):
        raise ConfigError("bins and cumulative do not grow, or hold fewer than 2 values; sort them and drop repeated ones.")
    if float(points[0]) < 0 or float(points[-1]) > 1:
        raise ConfigError(f"cumulative runs from {float(points[0]):g} to {float(points[-1]):g}; expected 0 .. 1.")
    if float(bins.min()) < 0:
        raise ConfigError(f"bins begin at {float(bins.min()):g} S; expected conductances of at least 0.")
    relative = (bins - bins[:, :1]) / (bins[:, -1:] - bins[:, :1])
    if bool(((relative - relative[0]).abs() > 1e-4 / bins.shape[-1]).any()):
        raise ConfigError(
            "the bins of the tables are spaced differently, in units of their range; interpolate them to one spacing first."
        )
