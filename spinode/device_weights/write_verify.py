"""`WriteVerify`: closed-loop programming, which reads a weight after every pulse train."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..validation import number, whole_number
from .indices import check_indices

#: Length of a train from which on its effect says how far a device can be moved, and number of such trains that decide.
LONG, TRIALS = 32, 3


class WritableWeights(Protocol):
    """Weights that `WriteVerify` can program; `DeviceWeights` implements it."""

    @property
    def device(self) -> torch.device:
        """The torch device on which the weights are stored."""
        ...

    def check(self, values: Tensor, name: str) -> None:
        """Raise a `ConfigError` if values for the weights have another shape or are not finite."""

    def editing(self) -> AbstractContextManager[None]:
        """Return a context within which `pulse` may change some of the weights in place."""
        ...

    def read(self, *, indices: Tensor) -> Tensor:
        """Return the weights at these indices of the flattened weights."""
        ...

    def pulse(self, counts: Tensor, *, indices: Tensor) -> int:
        """Apply pulses to the weights at these indices, and return how many pulses all devices received."""
        ...


@dataclass(frozen=True, eq=False)
class WriteResult:
    """Result of a write.

    Attributes:
        unreached: True where a weight is still outside the tolerance, shape of the weights.
        pulses: Total number of pulses of all devices.
    """

    unreached: Tensor
    pulses: int


@dataclass(frozen=True)
class WriteVerify:
    """Closed loop: read a weight, pulse it towards its target, repeat until |error| <= tolerance or the pulses do not suffice.

    The length of a train follows from the last one: as many pulses as the remaining error needs at the observed step size, but
    at most 1.5 times the last length, and at most a quarter of it after an overshoot. On a device with equal steps every
    overshoot is thus smaller than the previous one, read noise cannot cause a long train, and no model of the device is
    needed. Devices that have reached their target receive no more pulses. Neither do those that `TRIALS` trains in a row, each
    of `LONG` pulses or more, have moved so little that the remainder of `max_pulses` would not suffice, such as at the end of
    their range.

    Attributes:
        tolerance: Largest |error| that is accepted, in units of the weight; at least half a step to be reachable.
        max_pulses: Largest number of pulses of one write into one weight.

    Raises:
        ConfigError: a tolerance that is negative or not finite, or fewer than one pulse.

    Example:
        >>> from spinode.surrogates import DeviceWeights, IdealSynapse
        >>> weights = DeviceWeights((3,), IdealSynapse(step=0.01), seed=0)
        >>> result = weights.write(torch.tensor([-0.5, 0.2, 9.0]), WriteVerify(0.02, max_pulses=500))
        >>> result.unreached.tolist()
        [False, False, True]
    """

    tolerance: float
    max_pulses: int = 10_000

    def __post_init__(self) -> None:
        object.__setattr__(self, "tolerance", number("tolerance", self.tolerance, 0))
        object.__setattr__(self, "max_pulses", whole_number("max_pulses", self.max_pulses, 1))

    def write(self, weights: WritableWeights, target: Tensor, indices: Tensor | None = None) -> WriteResult:
        """Program weights to a target.

        Args:
            weights: The weights to program.
            target: Requested weights, shape of the weights.
            indices: Indices of the flattened weights to program, shape (n,); all of them if omitted.

        Raises:
            ConfigError: a target of another shape, NaN or infinite; indices that occur twice.
        """
        weights.check(target, "the target")
        check_indices(indices, target.numel())
        # Single precision at least: numbers of pulses are not exact in half precision.
        goal = target.detach().to(weights.device, torch.promote_types(target.dtype, torch.float32)).reshape(-1)
        unreached = torch.zeros(goal.numel(), dtype=torch.bool, device=goal.device)
        active = torch.arange(goal.numel(), device=goal.device) if indices is None else indices
        length = torch.ones_like(goal[active])
        spent, last_error, failed = torch.zeros_like(length), torch.zeros_like(length), torch.zeros_like(length)
        total = 0
        with weights.editing():
            while True:
                error = goal[active] - weights.read(indices=active)
                outside = error.abs() > self.tolerance
                unreached[active] = outside
                failed = torch.where(self._suffices(error, last_error, length, spent), 0.0, failed + 1)
                outside &= (spent < self.max_pulses) & (failed < TRIALS)
                if not bool(outside.any()):
                    return WriteResult(unreached.reshape(target.shape), total)
                active, error = active[outside], error[outside]
                length, spent, last_error, failed = length[outside], spent[outside], last_error[outside], failed[outside]
                length = _train_length(error, last_error, length).minimum(self.max_pulses - spent)
                total += weights.pulse(length * error.sign(), indices=active)
                spent, last_error = spent + length, error

    def _suffices(self, error: Tensor, last_error: Tensor, length: Tensor, spent: Tensor) -> Tensor:
        """Return False where the last train was long, and the remaining pulses do not suffice at its step."""
        moved = (last_error - error) * last_error.sign()
        needed = (error.abs() - self.tolerance) * length
        return (length < LONG) | (error * last_error < 0) | (needed <= moved * (self.max_pulses - spent))


def _train_length(error: Tensor, last_error: Tensor, length: Tensor) -> Tensor:
    """Return the length of the next train, from the errors now and before the last train; no train yet if that is zero."""
    moved = (last_error - error) * last_error.sign()
    estimate = torch.where(moved > 0, error.abs() * length / moved, math.inf).round()
    bound = torch.where(error * last_error > 0, (1.5 * length).ceil(), (length / 4).floor())
    return estimate.minimum(bound).clamp(min=1)
