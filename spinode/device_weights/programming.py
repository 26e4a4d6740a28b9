"""From wished changes of weights to whole numbers of pulses: the open-loop programmers, and `WriteVerify`, which reads back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..errors import ConfigError

if TYPE_CHECKING:
    from .weights import DeviceWeights


@runtime_checkable
class Programmer(Protocol):
    """Open-loop programming: how many pulses a wished change takes, decided without reading the device."""

    def counts(self, update: Tensor, generator: torch.Generator) -> Tensor:
        """Whole numbers of pulses of the update's shape and type, above zero where the weight shall grow.

        Args:
            update: Wished change of each weight, finite.
            generator: Source of randomness, for programmers that round at random.
        """


def check_programmer(programmer: object) -> None:
    """Raise a `ConfigError` for what is neither a `Programmer` nor a `WriteVerify`; None is one to be chosen."""
    known = isinstance(programmer, Programmer | WriteVerify) and not isinstance(programmer, type)
    if programmer is not None and not known:
        raise ConfigError(f"programmer is {programmer!r}; expected an instance, such as SignProgrammer() or WriteVerify(0.01).")


@dataclass(frozen=True)
class SignProgrammer:
    """One pulse in the direction of the update: n = sign(dw) where |dw| > threshold, else 0.

    Attributes:
        threshold: Updates up to this size are left out, in units of the weight.

    Raises:
        ConfigError: a threshold that is negative or not finite.
    """

    threshold: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.threshold < math.inf):
            raise ConfigError(f"threshold is {self.threshold}; expected a number of at least 0, in units of the weight.")

    def counts(self, update: Tensor, generator: torch.Generator) -> Tensor:
        """See `Programmer.counts`."""
        sign = update.sign()
        return sign if self.threshold == 0 else sign.mul_(update.abs() > self.threshold)


@dataclass(frozen=True)
class StochasticProgrammer:
    """Rounding at random: n = floor(dw / step + u), u uniform on 0 .. 1, so that the mean of n is dw / step exactly.

    Updates much smaller than a step are lost by rounding to the nearest, and kept in the mean by this.

    Attributes:
        step: Change of the weight by one pulse, such as `DeviceWeights.step`.

    Raises:
        ConfigError: a step that is not positive.
    """

    step: float

    def __post_init__(self) -> None:
        if not (0 < self.step < math.inf):
            raise ConfigError(f"step is {self.step}; expected a positive number, the change of the weight by one pulse.")

    def counts(self, update: Tensor, generator: torch.Generator) -> Tensor:
        """See `Programmer.counts`."""
        uniform = torch.rand(update.shape, generator=generator, dtype=update.dtype, device=update.device)
        return uniform.add_(update, alpha=1 / self.step).floor_()


@dataclass(frozen=True)
class ProportionalProgrammer:
    """Rounding to the nearest, bounded: n = round(min(max(dw * pulses_per_unit, -most), most)).

    Attributes:
        pulses_per_unit: Pulses for a change of one unit. 1 for an optimiser whose learning rate is counted in pulses.
        most: Most pulses of one update; infinity for no bound.

    Raises:
        ConfigError: a number that is not positive, or a bound below one pulse.

    Source: with one pulse per unit and a bound of 14, the rule that Majumdar et al., IEEE Trans. Electron Devices (2021),
    arXiv 2107.06064, put behind Adam for binary weights of two devices.
    """

    pulses_per_unit: float = 1.0
    most: float = 14.0

    def __post_init__(self) -> None:
        if not (0 < self.pulses_per_unit < math.inf):
            raise ConfigError(
                f"pulses_per_unit is {self.pulses_per_unit}; expected a positive number, such as 1 / weights.step."
            )
        if not self.most >= 1:
            raise ConfigError(f"most is {self.most}; expected at least one pulse, such as 14, or math.inf for no bound.")

    def counts(self, update: Tensor, generator: torch.Generator) -> Tensor:
        """See `Programmer.counts`."""
        wished = update * self.pulses_per_unit
        return (wished if self.most == math.inf else wished.clamp_(-self.most, self.most)).round_()


@dataclass(frozen=True, eq=False)
class Written:
    """What a write reached.

    Attributes:
        unreached: Whether a weight was left outside the tolerance, of the weights' shape.
        pulses: Pulses that the write took, over all devices.
    """

    unreached: Tensor
    pulses: int


@dataclass(frozen=True)
class WriteVerify:
    """Closed loop: read a weight, pulse it towards its target, read again, until |error| <= tolerance or `most` pulses.

    A train is as long as the last one says that the rest of the way needs, but at most half as long again as it, and at most
    a quarter of it where the target was passed: an overshoot is then smaller than the one before it on a device of even
    steps, noise cannot provoke a long train, and nothing about the device need be known. Devices that have reached their
    target are left alone.

    Attributes:
        tolerance: Largest |error| that is left as it is, in units of the weight; at least half a step to be reachable.
        most: Most pulses of one write into one weight.

    Raises:
        ConfigError: a tolerance that is negative or not finite, or no pulses.
    """

    tolerance: float
    most: int = 10_000

    def __post_init__(self) -> None:
        if not (0 <= self.tolerance < math.inf):
            raise ConfigError(f"tolerance is {self.tolerance}; expected a number of at least 0, in units of the weight.")
        if self.most < 1:
            raise ConfigError(f"most is {self.most}; expected at least one pulse.")

    def write(self, weights: DeviceWeights, target: Tensor, at: Tensor | None = None) -> Written:
        """Program the weights to the target, shape of the weights.

        Args:
            weights: The devices.
            target: Wished weights.
            at: Places in the flattened weights that are written, shape (some,); all of them if omitted.

        Raises:
            ConfigError: a target of another shape, NaN or infinite.
        """
        weights.check(target, "the target")
        goal = target.detach().to(weights.wear.device).reshape(-1)
        unreached = torch.zeros(goal.numel(), dtype=torch.bool, device=goal.device)
        if at is None:
            at = torch.arange(goal.numel(), device=goal.device)  # the weights still on their way
        size = torch.ones_like(goal[at])
        spent, last = torch.zeros_like(size), torch.zeros_like(size)
        total = 0
        with weights.editing():
            while True:
                error = goal[at] - weights.read(at=at)
                far = error.abs() > self.tolerance
                unreached[at] = far
                far &= spent < self.most
                if not bool(far.any()):
                    return Written(unreached.reshape(target.shape), total)
                at, error, size, spent, last = at[far], error[far], size[far], spent[far], last[far]
                size = _train(error, last, size).minimum(self.most - spent)
                total += weights.pulse(size * error.sign(), at=at)
                spent, last = spent + size, error


def _train(error: Tensor, last: Tensor, size: Tensor) -> Tensor:
    """Length of the next train, from the errors now and before the last train; a `last` of zero is none."""
    moved = (last - error) * last.sign()
    wanted = torch.where(moved > 0, error.abs() * size / moved, math.inf).round()
    bound = torch.where(error * last > 0, (1.5 * size).ceil(), (size / 4).floor())
    return wanted.minimum(bound).clamp(min=1)
