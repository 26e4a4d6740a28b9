"""`LookUpTable`: a device described by the measured distribution of its steps at each conductance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...contracts.synapse import Pulses, State, SynapseModel
from ...errors import ConfigError
from ..sampled_drive import float64
from .population import check_numbers


@dataclass(frozen=True, eq=False)
class LookUpTable(SynapseModel):
    """A synapse whose steps are sampled from a table dG(u, G), with u the cumulative probability and G the conductance.

    Each pulse does G <- G + dG(u, G) with a new u ~ U(0, 1). The table is interpolated bilinearly and constant beyond its
    outermost probabilities; G stays within the bins. There is one table for SET and one for RESET. Without a generator a
    pulse takes the mean step, the integral of dG over u (exact for the interpolated table).

    Tables of several devices describe a population: each virtual device keeps one of them, chosen at random. The tables of a
    single device contain its cycle-to-cycle noise but no differences between devices, so all virtual devices are equal then.
    The typical device is the one whose mean SET step, averaged over its range, is the median of all.

    The state contains "conductance" [S], and "table", the number of each device's table, if there are several.

    Attributes:
        bins: Conductances G [S], increasing, shape (bins,) or (tables, bins). Tensors or arrays here and below; stored as
            float64 with the tables as first dimension.
        cumulative: Probabilities u, increasing within 0 .. 1, shape (points,); the same for all tables.
        increasing: Steps dG [S] of SET, shape (points, bins) or (tables, points, bins).
        decreasing: Steps [S] of RESET, of the same shape.
        start: Conductance of a fresh device, 0 (lowest bin) .. 1 (highest).
        low: Lowest bin of all tables [S].
        high: Highest bin of all tables [S].

    Raises:
        ConfigError: shapes that do not match, values that are not finite, bins or probabilities that do not increase, or
            tables whose bins are spaced differently, relative to their range.

    Example:
        >>> from spinode import Pulses
        >>> bins, cumulative = torch.linspace(1e-5, 1e-4, 10), torch.tensor([0.25, 0.75])
        >>> steps = torch.full((2, 10), 1e-6)
        >>> synapse = LookUpTable(bins, cumulative, steps, -steps)
        >>> state = synapse.program(synapse.initial((1,)), Pulses(torch.tensor([5.0])))
        >>> round(float(synapse.read(state)) * 1e6, 3)  # uS
        15.0

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
        check_numbers(self, ("start",), 0.0, 1.0, closed=True)
        both = torch.stack(tables)  # (2, tables, points, bins)
        mean = torch.einsum("p,stpb->stb", _weights(points), both)
        values = {
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
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def tables(self) -> int:
        """Return the number of devices whose tables these are."""
        return int(self._steps.shape[1])

    def mean_step(self, conductance: Tensor, polarity: int, table: int = 0) -> Tensor:
        """Return the mean step [S] of a pulse at conductances [S], of their shape.

        Args:
            conductance: Conductances [S].
            polarity: 1 for SET, -1 for RESET.
            table: Number of the table.
        """
        polarities = torch.full_like(conductance, polarity)
        tables = torch.full(conductance.shape, table, dtype=torch.long)
        return self._step(conductance, polarities, tables, None)

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
        lengths = count.abs()
        table = state["table"].flatten() if "table" in state else None
        active = lengths.nonzero()[:, 0]
        done = 0
        while len(active):
            chosen = None if table is None else table[active]
            before = conductance[active]
            conductance[active] = self._clamped(before + self._step(before, count[active], chosen, generator), chosen)
            done += 1
            active = active[lengths[active] > done]
        return state | {"conductance": conductance.reshape(state["conductance"].shape)}

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        return state["conductance"]

    def _clamped(self, conductance: Tensor, table: Tensor | None) -> Tensor:
        if table is None:
            return conductance.clamp_(self.low, self.high)
        low, high = (self.bins[:, i].to(conductance)[table] for i in (0, -1))
        return torch.minimum(torch.maximum(conductance, low), high)

    def _step(self, here: Tensor, polarity: Tensor, table: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Return the step [S] of one pulse of each device; only the table entries around each device are gathered."""
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
    """Return the position of values on an increasing grid: the node before, and the fraction 0 .. 1 of the way to the next."""
    before = torch.searchsorted(grid, values, right=True).sub_(1).clamp_(0, len(grid) - 2)
    lower = grid[before]
    return before, ((values - lower) / (grid[before + 1] - lower)).clamp_(0, 1)


def _between(flat: Tensor, at: Tensor, fraction: Tensor) -> Tensor:
    """Return entries of a flat table, interpolated between an entry and its right neighbour."""
    return torch.lerp(flat[at], flat[at + 1], fraction)


def _weights(points: Tensor) -> Tensor:
    """Return the weights of the integral over u in 0 .. 1 of a function linear between the points and constant beyond them."""
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
        raise ConfigError("bins or cumulative do not increase, or have fewer than 2 values; sort them and drop repeated ones.")
    if float(points[0]) < 0 or float(points[-1]) > 1:
        raise ConfigError(f"cumulative runs from {float(points[0]):g} to {float(points[-1]):g}; expected 0 .. 1.")
    if float(bins.min()) < 0:
        raise ConfigError(f"the lowest bin is {float(bins.min()):g} S; expected conductances of at least 0.")
    relative = (bins - bins[:, :1]) / (bins[:, -1:] - bins[:, :1])
    if bool(((relative - relative[0]).abs() > 1e-4 / bins.shape[-1]).any()):
        raise ConfigError(
            "the bins of the tables are spaced differently, relative to their range; interpolate them to one spacing first."
        )
