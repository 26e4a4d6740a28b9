"""Voltage-dependent synaptic plasticity: `SwitchingLaw`, ideal and as the switching of devices, and `DeviceVariation`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ...errors import ConfigError
from ...validation import number, whole_number

#: Largest exponent a (s - t) of a law, for which e^x is still a number.
MAX_EXPONENT = 50.0


@dataclass(frozen=True)
class SwitchingLaw:
    """Change of a synapse when its output neuron fires, by the membrane potential V of its input neuron.

        V < 0 (it fired not long ago): dW =  rate (1 - W)^g+ (e^(a+ (s+ |V| - t+)) - 1) where s+ |V| > t+
        V > 0 (it is silent):          dW = -rate W^g-       (e^(a- (s- |V| - t-)) - 1) where s- |V| > t-

    with + for potentiation and - for depression; s |V| is the voltage across the device [V], and t its threshold. W stays
    within 0 .. 1. No trace of the input is stored: its potential, which a spike resets to -1 and which then charges, is one.

    Attributes:
        rate: Learning rate; 1 for a device, whose switching is the change.
        gamma: Exponents g+ and g- of the state.
        alpha: Constants a+ and a- [1/V].
        threshold: t+ and t- [V].
        scale: s+ and s- [V].
        floor: W up to which the factor W^g- is 1: so that full depression takes finitely many pulses.
        low: Share of the largest conductance that remains at W = 0: W is read as low + (1 - low) W.

    Raises:
        ConfigError: constants that are negative or not finite, low outside 0 .. 1.

    Example:
        >>> weight, potential = torch.tensor([0.5, 0.5, 0.5]), torch.tensor([-1.0, 0.0, 1.0])
        >>> SwitchingLaw(rate=0.1).step(weight, potential)
        tensor([ 0.0859,  0.0000, -0.0859])

    Source: Garg et al., Front. Neurosci. 16, 983950 (2022) for ideal synapses; Garg et al., arXiv:2510.25787, for devices.
    """

    rate: float = 0.004
    gamma: tuple[float, float] = (1.0, 1.0)
    alpha: tuple[float, float] = (1.0, 1.0)
    threshold: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)
    floor: float = 0.0
    low: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            name, high = f"{field.name} of the switching law", 1 if field.name in ("floor", "low") else None
            if isinstance(field.default, tuple):
                if not isinstance(value, Sequence) or len(value) != 2:
                    raise ConfigError(f"{name} is {value!r}; expected two numbers, of potentiation and of depression.")
                checked: object = tuple(number(name, each, 0) for each in value)
            else:
                checked = number(name, value, 0, high, below=high is not None)
            object.__setattr__(self, field.name, checked)
        for alpha, scale, threshold in zip(self.alpha, self.scale, self.threshold, strict=True):
            if alpha * (scale - threshold) > MAX_EXPONENT:
                raise ConfigError(
                    f"alpha is {alpha:g} of the switching law, with which a potential of 1 moves a device by exp("
                    f"{alpha * (scale - threshold):.3g}); expected at most exp({MAX_EXPONENT:g}). Lower alpha or scale."
                )

    def step(self, weight: Tensor, potential: Tensor) -> Tensor:
        """Return the change dW, before W is clipped to 0 .. 1.

        Args:
            weight: W, 0 .. 1.
            potential: V of the input neurons, of the same shape.
        """
        rises, falls = self._drive(potential, 0), self._drive(potential, 1)
        up = (1 - weight).pow(self.gamma[0])
        down = weight.pow(self.gamma[1]).where(weight > self.floor, 1.0)
        return self.rate * (up * rises - down * falls)

    def pulses(self, potential: Tensor) -> tuple[int, int]:
        """Return the numbers of devices whose voltage exceeds the threshold of SET and of RESET."""
        up, down = (int((self._excess(potential, side) > 0).sum()) for side in (0, 1))
        return up, down

    def _excess(self, potential: Tensor, side: int) -> Tensor:
        towards = -potential if side == 0 else potential
        return (towards * self.scale[side] - self.threshold[side]).where(towards > 0, -1.0)

    def _drive(self, potential: Tensor, side: int) -> Tensor:
        excess = self._excess(potential, side)
        return ((self.alpha[side] * excess).exp() - 1).where(excess > 0, 0.0)


def _device(
    gamma: float,
    alpha: float,
    threshold: float,
    ratios: tuple[float, float, float],
    overdrive: tuple[float, float],
    on_off: float,
) -> SwitchingLaw:
    """Return the law of a device from the published constants: those of SET, and the ratios of RESET to SET.

    |V| = 1 is `overdrive` times the threshold.
    """
    both = (threshold, threshold * ratios[2])
    return SwitchingLaw(
        rate=1.0,
        gamma=(gamma, gamma * ratios[0]),
        alpha=(alpha, alpha * ratios[1]),
        threshold=both,
        scale=(both[0] * overdrive[0], both[1] * overdrive[1]),
        floor=0.01,
        low=1 / on_off,
    )


#: Laws by the name of their device; the constants of the memristors are those fitted to measured pulses in arXiv:2510.25787.
LAWS: dict[str, SwitchingLaw] = {
    "ideal": SwitchingLaw(),
    "tio2": _device(1.67958, 0.67896, 1.43233, (0.94386, 1.12480, 1.09212), (1.05, 1.11), 7.5),
    "hzo": _device(1.06790, 1.15921, 0.41171, (1.57983, 0.47415, 0.94379), (1.05, 1.26), 2.65),
    "hfo2": _device(1.01720, 0.96082, 0.80384, (0.5, 1.33565, 1.05963), (1.08, 1.08), 4.0),
    # The same device, driven less far beyond its thresholds: a quarter of the step of SET, a third of that of RESET.
    "hfo2-gentle": _device(1.01720, 0.96082, 0.80384, (0.5, 1.33565, 1.05963), (1.02, 1.025), 4.0),
}


@dataclass(frozen=True)
class DeviceVariation:
    """Imperfections of devices that follow a `SwitchingLaw`.

    Attributes:
        cycle_spread: Steps vary from pulse to pulse by a factor that is uniform within 1 +- cycle_spread.
        device_spread: Steps of each device have a constant factor that is uniform within 1 +- device_spread.
        stuck_low: Share of devices that stay at W = 0.
        stuck_high: Share of devices that stay at W = 1.
        levels: Number of states, evenly spaced over 0 .. 1; a step smaller than their spacing reaches the next one with the
            probability that makes its mean right. 0 for any W.

    Raises:
        ConfigError: spreads outside 0 .. 1, shares that are negative or more than 1 together, a single level.

    Example:
        >>> DeviceVariation(cycle_spread=0.5, levels=16).levels
        16
    """

    cycle_spread: float = 0.0
    device_spread: float = 0.0
    stuck_low: float = 0.0
    stuck_high: float = 0.0
    levels: int = 0

    def __post_init__(self) -> None:
        for name in ("cycle_spread", "device_spread", "stuck_low", "stuck_high"):
            object.__setattr__(self, name, number(f"{name} of devices", getattr(self, name), 0, 1))
        object.__setattr__(self, "levels", whole_number("levels of devices", self.levels, 0))
        if self.levels == 1:
            raise ConfigError("levels is 1, and a device of one state stores nothing; expected 2 or more, or 0 for any state.")
        if self.stuck_low + self.stuck_high > 1:
            raise ConfigError(
                f"stuck_low and stuck_high are {self.stuck_low:g} and {self.stuck_high:g}; expected at most 1 together."
            )

    def factors(self, weights: Tensor, generator: torch.Generator) -> Tensor | None:
        """Return the factor of each device's steps, 0 for stuck ones, and set the weights of these; None if all are 1.

        Args:
            weights: Initial W; changed in place.
            generator: Source of randomness.
        """
        if self.levels:
            weights.mul_(self.levels - 1).round_().div_(self.levels - 1)
        if not (self.device_spread or self.stuck_low or self.stuck_high):
            return None
        draw = torch.rand(2, *weights.shape, generator=generator, dtype=weights.dtype)
        factors = 1 + self.device_spread * (2 * draw[0] - 1)
        is_low, is_high = draw[1] < self.stuck_low, draw[1] > 1 - self.stuck_high
        weights.masked_fill_(is_low, 0.0).masked_fill_(is_high, 1.0)
        return factors.masked_fill_(is_low | is_high, 0.0)
