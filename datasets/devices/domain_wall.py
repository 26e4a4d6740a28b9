"""`DomainWall`, a racetrack whose wall stops at a few places, never quite the same: a synapse of two, three or five states."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...contracts.synapse import Pulses, State, SynapseModel
from ...contracts.synapse_registry import register_synapse
from ...errors import ConfigError
from .population import check


@register_synapse("domain-wall", summary="magnetic racetrack of a few levels")
@dataclass(frozen=True, eq=False)
class DomainWall(SynapseModel):
    """A multi-state domain-wall synapse: each write places the wall at its level anew, with an error that stays till the next.

    Level k of K lies at mu_k = k / (K - 1) of the track; a write leaves the wall at w ~ N(mu_k, sigma_k), and there it
    rests: reading is free of noise. The conductance is low + (high - low) w, without a unit by default. A pulse of a
    train moves the wall one level, up for SET, down for RESET; at the ends it is written again. The error is drawn once
    for a train, since its last write decides; without a generator it is zero.

    Training with few states keeps a precise weight W elsewhere and writes the device only if its level is another than
    that of W, or its wall lies further than `margin` from where it should be: `update` does so, `needs_write` says where.

    The state holds "position", w of each device, and "level".

    Attributes:
        states: Number K of levels, 2 or more; 2, 3 and 5 were studied.
        sigma: Standard deviation of the placement, in track lengths: one number, or one for each level. The published
            values were not at hand; the default is a guess of a twentieth.
        margin: Largest distance |w - mu_k|, in track lengths, that needs no new write; half the spacing of the levels if
            None, where a wall begins to look like its neighbour. The published width was not at hand either.
        confined: Placement stops at the ends of the track. Else it is Gaussian at the outermost levels too, and w may
            lie outside 0 .. 1.
        start: Level of a fresh device, placed with noise.
        low: Conductance at w = 0, in `unit`.
        high: Conductance at w = 1.
        unit: "" for the normalised position, "S" with conductances in `low` and `high`.
        write_energy: Energy [J] of one write: a few fJ, as the abstract of the device paper has it.

    Raises:
        ConfigError: a parameter outside its range.

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
        if not (isinstance(self.states, int) and self.states >= 2):
            raise ConfigError(f"states is {self.states!r}; expected a whole number of levels, 2 or more.")
        if not (isinstance(self.start, int) and 0 <= self.start < self.states):
            raise ConfigError(f"start is {self.start!r}; expected a level of 0 .. {self.states - 1}.")
        sigmas = self._sigmas()
        if len(sigmas) != self.states or not all(0 <= each < math.inf for each in sigmas):
            raise ConfigError(
                f"sigma is {self.sigma!r}; expected one number, or {self.states}, of at least 0, in track lengths."
            )
        if self.margin is not None and not self.margin >= 0:
            raise ConfigError(f"margin is {self.margin!r}; expected a distance in track lengths of at least 0, or None.")
        check(self, ("write_energy",), unit="J", closed=True)
        if self.unit not in ("", "S"):
            raise ConfigError(f"unit is {self.unit!r}; expected '' for the position, or 'S'.")
        if self.unit == "S":
            check(self, ("low",), unit="S", closed=True)
        if not (math.isfinite(self.low) and self.low < self.high < math.inf):
            raise ConfigError(f"low and high are {self.low:g} and {self.high:g}; expected two numbers that grow.")

    # --- levels and weights ------------------------------------------------------------------------------------------

    def level_conductance(self, level: Tensor) -> Tensor:
        """Conductance [`unit`] of levels whose walls lie exactly right, of the shape of `level`."""
        return self.low + (self.high - self.low) / (self.states - 1) * level

    def quantise(self, weights: Tensor) -> Tensor:
        """Nearest level of each weight, given as a conductance [`unit`]; whole numbers in the type of `weights`, same shape.

        A weight halfway between two levels goes to the even one.
        """
        scaled = (weights - self.low) * ((self.states - 1) / (self.high - self.low))
        return scaled.round().clamp_(0, self.states - 1)

    def needs_write(self, state: State, weights: Tensor) -> Tensor:
        """Where a device does not hold its weight: another level, or a wall beyond the margin; bool, shape (devices...).

        Args:
            state: The devices.
            weights: Weight of each, as a conductance [`unit`].

        Raises:
            ConfigError: weights of another shape than the devices.
        """
        level = self._levels(state, self.quantise(self._fitting(state, weights)))
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
        """Devices with their walls placed at levels directly; `state` is left as it was.

        Args:
            state: The devices.
            level: Level of each, 0 .. states - 1, shape (devices...).
            where: Devices to write, bool; all if omitted. The others stay.
            generator: Source of the placement errors; none if omitted.

        Raises:
            ConfigError: levels that do not exist, or of another shape than the devices.
        """
        level = self._levels(state, self._fitting(state, level))
        return self._placed(state, level, torch.ones_like(level, dtype=torch.bool) if where is None else where, generator)

    def update(self, state: State, weights: Tensor, *, generator: torch.Generator | None = None) -> tuple[State, Tensor]:
        """Devices that hold their weights, written only where they do not yet, and where that was; see `needs_write`.

        The energy of the update is `write_energy` times the number of devices written.

        Args:
            state: The devices.
            weights: Weight of each, as a conductance [`unit`], shape (devices...).
            generator: Source of the placement errors; none if omitted.
        """
        where = self.needs_write(state, weights)
        return self._placed(state, self.quantise(weights).to(state["level"]), where, generator), where

    # --- the contract ------------------------------------------------------------------------------------------------

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        level = torch.full(shape, float(self.start), dtype=dtype)
        return self._placed({"position": level, "level": level}, level, torch.ones(shape, dtype=torch.bool), generator)

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        level = (state["level"] + pulses.count).clamp_(0, self.states - 1)
        return self._placed(state, level, pulses.count != 0, generator)

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        return self.low + (self.high - self.low) * state["position"]

    def energy(self, state: State, pulses: Pulses) -> Tensor:
        """Energy [J] of the pulses in each device: `write_energy` each, shape (devices...)."""
        return self._complete(state, pulses).count.abs() * self.write_energy

    def _placed(self, state: State, level: Tensor, where: Tensor, generator: torch.Generator | None) -> State:
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

    # --- the door ----------------------------------------------------------------------------------------------------

    def _sigmas(self) -> tuple[float, ...]:
        return self.sigma if isinstance(self.sigma, tuple) else (self.sigma,) * self.states

    def _fitting(self, state: State, values: Tensor) -> Tensor:
        shape = state["level"].shape
        if values.shape != shape:
            raise ConfigError(
                f"there are values of shape {tuple(values.shape)} for devices of {tuple(shape)}; expected one each."
            )
        return values

    def _levels(self, state: State, level: Tensor) -> Tensor:
        level = level.to(state["level"])
        wrong = ~((level == level.round()) & (level >= 0) & (level < self.states))
        if bool(wrong.any()):
            raise ConfigError(
                f"{int(wrong.sum())} devices are given levels such as {float(level[wrong][0]):g}; expected whole numbers of "
                f"0 .. {self.states - 1}. Are there NaN weights?"
            )
        return level
