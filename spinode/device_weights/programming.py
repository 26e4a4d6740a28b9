"""Open-loop programming: from requested changes of weights to whole numbers of pulses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ..errors import ConfigError
from ..validation import number
from .write_verify import WriteVerify


@runtime_checkable
class Programmer(Protocol):
    """Open-loop programming: the number of pulses for a requested change, without reading the device."""

    def counts(self, update: Tensor, generator: torch.Generator) -> Tensor:
        """Return the number of pulses for each weight.

        Args:
            update: Requested change of each weight, finite.
            generator: Source of randomness, for programmers that round stochastically.

        Returns:
            Whole numbers of the update's shape and type, above zero where the weight grows.
        """


def check_programmer(programmer: object) -> None:
    """Raise a `ConfigError` for anything but a `Programmer`, a `WriteVerify` or None."""
    known = isinstance(programmer, Programmer | WriteVerify) and not isinstance(programmer, type)
    if programmer is not None and not known:
        raise ConfigError(f"programmer is {programmer!r}; expected an instance, such as SignProgrammer() or WriteVerify(0.01).")


@dataclass(frozen=True)
class SignProgrammer:
    """One pulse in the direction of the update: n = sign(dw) where |dw| > threshold, else 0.

    Attributes:
        threshold: Updates up to this size are ignored, in units of the weight.

    Raises:
        ConfigError: a threshold that is negative or not finite.

    Example:
        >>> SignProgrammer(0.1).counts(torch.tensor([0.3, 0.05, -2.0]), torch.Generator()).tolist()
        [1.0, 0.0, -1.0]
    """

    threshold: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "threshold", number("threshold", self.threshold, 0))

    def counts(self, update: Tensor, generator: torch.Generator) -> Tensor:
        """Return the number of pulses for each weight, see `Programmer.counts`."""
        sign = update.sign()
        return sign if self.threshold == 0 else sign.mul_(update.abs() > self.threshold)


@dataclass(frozen=True)
class StochasticProgrammer:
    """Stochastic rounding: n = floor(dw / step + u) with u uniform on 0 .. 1, so the mean of n is exactly dw / step.

    Rounding to the nearest number would lose updates much smaller than a step; this keeps them on average.

    Attributes:
        step: Change of the weight by one pulse, such as `DeviceWeights.step`.

    Raises:
        ConfigError: a step that is not positive.

    Example:
        >>> counts = StochasticProgrammer(0.1).counts(torch.full((10_000,), 0.025), torch.Generator().manual_seed(0))
        >>> sorted(set(counts.tolist())), round(float(counts.mean()), 2)
        ([0.0, 1.0], 0.25)
    """

    step: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "step", number("step", self.step, 0, above=True))

    def counts(self, update: Tensor, generator: torch.Generator) -> Tensor:
        """Return the number of pulses for each weight, see `Programmer.counts`."""
        uniform = torch.rand(update.shape, generator=generator, dtype=update.dtype, device=update.device)
        return uniform.add_(update, alpha=1 / self.step).floor_()


@dataclass(frozen=True)
class ProportionalProgrammer:
    """Rounding to the nearest number, with a bound: n = round(min(max(dw * pulses_per_unit, -max_pulses), max_pulses)).

    Attributes:
        pulses_per_unit: Pulses for a change of one unit. 1 for an optimiser whose learning rate is counted in pulses.
        max_pulses: Largest number of pulses of one update; infinity for no bound.

    Raises:
        ConfigError: a number that is not positive, or a bound below one pulse.

    Example:
        >>> ProportionalProgrammer(10.0).counts(torch.tensor([0.32, -9.0]), torch.Generator()).tolist()
        [3.0, -14.0]

    Source: with one pulse per unit and a bound of 14, this is the rule that Majumdar et al., IEEE Trans. Electron Devices
    (2021), arXiv 2107.06064, combine with Adam for binary weights of two devices.
    """

    pulses_per_unit: float = 1.0
    max_pulses: float = 14.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "pulses_per_unit", number("pulses_per_unit", self.pulses_per_unit, 0, above=True))
        object.__setattr__(self, "max_pulses", number("max_pulses", self.max_pulses, 1, finite=False))

    def counts(self, update: Tensor, generator: torch.Generator) -> Tensor:
        """Return the number of pulses for each weight, see `Programmer.counts`."""
        exact = update * self.pulses_per_unit
        return (exact if self.max_pulses == math.inf else exact.clamp_(-self.max_pulses, self.max_pulses)).round_()
