"""`DomainWall`: a racetrack whose domain wall stops near a few positions, as a synapse of two, three or five states."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...contracts.reduced_synapse import FINENESS
from ...contracts.synapse import Pulses, State, SynapseModel
from ...contracts.synapse_registry import register_synapse
from ...errors import ConfigError
from ...validation import number, whole_number
from .population import check_numbers


@register_synapse("domain-wall", summary="magnetic racetrack of a few levels")
@dataclass(frozen=True, eq=False)
class DomainWall(SynapseModel):
    """A multi-state domain-wall synapse: each write places the wall at a level, with a random error until the next write.

    Level k of K is at mu_k = k / (K - 1) of the track. A write places the wall at w ~ N(mu_k, sigma_k), where it stays: reads
    are noiseless. The conductance is low + (high - low) w, without a unit by default. Each pulse of a train moves the wall by
    one level, up for SET, down for RESET; at the ends it is written again. The error is drawn once for a train, since only
    the last write matters; without a generator it is zero.

    Training with few states keeps a precise weight W elsewhere and writes the device only if its level differs from that of
    W, or if its wall is further than `margin` from the level: `update` does this, and `needs_write` returns where.

    The state contains "position", w of each device, and "level".

    Attributes:
        states: Number K of levels, 2 or more; 2, 3 and 5 were studied.
        sigma: Standard deviation of the placement, in track lengths: one number, or one for each level. The published
            values were not available; the default of a twentieth is a guess.
        margin: Largest distance |w - mu_k|, in track lengths, without a new write; if None, half the spacing of the levels,
            where neighbouring levels can no longer be distinguished. The published width was not available either.
        confined: Limit the placement to the track. Otherwise it is Gaussian at the outermost levels too, and w may be
            outside 0 .. 1.
        start: Level of a fresh device, placed with noise.
        low: Conductance at w = 0, in `unit`.
        high: Conductance at w = 1.
        unit: "" for the normalised position, "S" with conductances in `low` and `high`.
        write_energy: Energy [J] of one write; a few fJ according to the abstract of the device paper.

    Raises:
        ConfigError: a parameter outside its range.

    Example:
        >>> synapse = DomainWall(states=5)
        >>> state, written = synapse.update(synapse.initial((3,)), torch.tensor([0.0, 0.24, 1.0]))
        >>> synapse.read(state).tolist(), written.tolist()
        ([0.0, 0.25, 1.0], [False, True, True])

    Source: W. A. Misba et al., arXiv 2111.07284 (networks) and 2010.10076 (device), from their abstracts; the form of the
    abstraction, mu_k and sigma_k are ours.
    """

    states: int = 3
    sigma: float | tuple[float, ...] = 0.05
    margin: float | None = None
    confined: bool = False
    start: int = 0
    low: float = 0.0
    high: float = 1.0
    unit: str = ""
    write_energy: float = 3e-15

    def __post_init__(self) -> None:
        object.__setattr__(self, "states", whole_number("states", self.states, 2))
        object.__setattr__(self, "start", whole_number("start", self.start, 0, self.states - 1))
        if isinstance(self.sigma, tuple | list):
            if len(self.sigma) != self.states:
                raise ConfigError(
                    f"sigma has {len(self.sigma)} values for {self.states} states; expected one number, or one each."
                )
            object.__setattr__(self, "sigma", tuple(number("a value of sigma", each, 0) for each in self.sigma))
        else:
            check_numbers(self, ("sigma",), closed=True)
        if self.margin is not None:
            check_numbers(self, ("margin",), closed=True)
        check_numbers(self, ("write_energy",), unit="J", closed=True)
        if self.unit not in ("", "S"):
            raise ConfigError(f"unit is {self.unit!r}; expected '' for the normalised position, or 'S'.")
        check_numbers(self, ("low",), 0.0 if self.unit == "S" else -sys.float_info.max, unit=self.unit, closed=True)
        check_numbers(self, ("high",), self.low, unit=self.unit)

    def imperfections(self) -> dict[str, DomainWall | None]:
        """Return the device without its own imperfections: the error of the placement, and the small number of levels.

        The spread over fresh devices is that error, too.
        """
        finer = None
        if not isinstance(self.sigma, tuple):
            finer = replace(self, states=(self.states - 1) * FINENESS + 1, start=self.start * FINENESS)
        exact = replace(self, sigma=0.0) if self.sigma else None
        return {
            "cycle-to-cycle": exact,
            "number of pulses": finer,
            "device-to-device": None,
            "nonlinearity": None,
            "asymmetry": None,
        }

    # --- levels and weights ------------------------------------------------------------------------------------------

    def level_conductance(self, level: Tensor) -> Tensor:
        """Return the conductance [`unit`] of levels without placement errors, of the shape of `level`."""
        return self.low + (self.high - self.low) / (self.states - 1) * level

    def quantise(self, weights: Tensor) -> Tensor:
        """Return the nearest level of each weight, as whole numbers in the type and shape of `weights`.

        A weight halfway between two levels is rounded to the even one.

        Args:
            weights: Weights as conductances [`unit`].
        """
        scaled = (weights - self.low) * ((self.states - 1) / (self.high - self.low))
        return scaled.round().clamp_(0, self.states - 1)

    def needs_write(self, state: State, weights: Tensor) -> Tensor:
        """Return where a device needs a write: another level, or a wall beyond the margin; bool, shape (devices...).

        Args:
            state: The devices.
            weights: Weight of each, as a conductance [`unit`].

        Raises:
            ConfigError: weights of another shape than the devices.
        """
        level = self._checked_levels(state, self.quantise(self._checked_shape(state, weights)))
        margin = 0.5 / (self.states - 1) if self.margin is None else self.margin
        return (level != state["level"]) | ((state["position"] - level / (self.states - 1)).abs() > margin)

    def write(
        self,
        state: State,
        level: Tensor,
        *,
        where: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> State:
        """Return devices with their walls placed at given levels; `state` is not changed.

        Args:
            state: The devices.
            level: Level of each, 0 .. states - 1, shape (devices...).
            where: Devices to write, bool; all if omitted. The others are not changed.
            generator: Source of the placement errors; none if omitted.

        Raises:
            ConfigError: levels that do not exist, or of another shape than the devices.
        """
        level = self._checked_levels(state, self._checked_shape(state, level))
        return self._place(state, level, torch.ones_like(level, dtype=torch.bool) if where is None else where, generator)

    def update(self, state: State, weights: Tensor, *, generator: torch.Generator | None = None) -> tuple[State, Tensor]:
        """Write weights to devices where needed; return the devices and where they were written, see `needs_write`.

        The energy of the update is `write_energy` times the number of devices written.

        Args:
            state: The devices.
            weights: Weight of each, as a conductance [`unit`], shape (devices...).
            generator: Source of the placement errors; none if omitted.
        """
        where = self.needs_write(state, weights)
        return self._place(state, self.quantise(weights).to(state["level"]), where, generator), where

    # --- the contract ------------------------------------------------------------------------------------------------

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        level = torch.full(shape, float(self.start), dtype=dtype)
        return self._place({"position": level, "level": level}, level, torch.ones(shape, dtype=torch.bool), generator)

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        level = (state["level"] + pulses.count).clamp_(0, self.states - 1)
        return self._place(state, level, pulses.count != 0, generator)

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        return self.low + (self.high - self.low) * state["position"]

    def energy(self, state: State, pulses: Pulses) -> Tensor:
        """Return the energy [J] of the pulses in each device, `write_energy` each, shape (devices...)."""
        return self._complete(state, pulses).count.abs() * self.write_energy

    def _place(self, state: State, level: Tensor, where: Tensor, generator: torch.Generator | None) -> State:
        position = level / (self.states - 1)
        if generator is not None:
            error = torch.randn(level.shape, generator=generator, dtype=level.dtype)
            sigmas = self._sigmas()
            scale: float | Tensor = sigmas[0]
            if any(each != sigmas[0] for each in sigmas):
                scale = torch.tensor(sigmas, dtype=level.dtype)[level.long()]
            position = position + error.mul_(scale)
            if self.confined:
                position = position.clamp_(0, 1)
        return state | {
            "position": torch.where(where, position, state["position"]),
            "level": torch.where(where, level, state["level"]),
        }

    # --- checks ----------------------------------------------------------------------------------------------------

    def _sigmas(self) -> tuple[float, ...]:
        return self.sigma if isinstance(self.sigma, tuple) else (self.sigma,) * self.states

    def _checked_shape(self, state: State, values: Tensor) -> Tensor:
        shape = state["level"].shape
        if values.shape != shape:
            raise ConfigError(
                f"there are values of shape {tuple(values.shape)} for devices of {tuple(shape)}; expected one per device."
            )
        return values

    def _checked_levels(self, state: State, level: Tensor) -> Tensor:
        level = level.to(state["level"])
        wrong = ~((level == level.round()) & (level >= 0) & (level < self.states))
        if bool(wrong.any()):
            raise ConfigError(
                f"{int(wrong.sum())} devices have levels such as {float(level[wrong][0]):g}; expected whole numbers from 0 to "
                f"{self.states - 1}. Are there NaN weights?"
            )
        return level
