"""Drives between their samples: the one place where the simulators of this folder read a sampled input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import ConfigError
from ..validation import one_of

#: A number, a sequence, a NumPy array or a tensor; read as float64.
Values: TypeAlias = npt.ArrayLike | Tensor


def float64(values: Values, name: str) -> Tensor:
    """Return values as a finite float64 tensor; a tensor keeps its graph, so that gradients reach it.

    Args:
        values: Real numbers of any shape.
        name: Name of the argument in messages.

    Raises:
        ConfigError: values that are not numbers, or not finite.
    """
    try:
        # The copy matters: a Trace's arrays are read-only, and torch warns about sharing such memory.
        copy = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, np.float64))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} contains a value that is not a number ({error}); pass real numbers in SI units.") from None
    tensor = copy.to(torch.float64)
    if not bool(torch.isfinite(tensor).all()):
        raise ConfigError(f"{name} contains NaN or infinite values; pass finite numbers in SI units.")
    return tensor


def sample_times(time: Values) -> Tensor:
    """Return the sample times as a tensor, after checking that they increase.

    Args:
        time: Sample times [s], shape (time,); the steps may differ.

    Raises:
        ConfigError: fewer than two samples, more than one dimension, or times that do not increase.
    """
    tensor = float64(time, "time")
    if tensor.dim() != 1 or len(tensor) < 2:
        raise ConfigError(f"time has shape {tuple(tensor.shape)}; expected (time,) with at least 2 sample times [s].")
    backward = (torch.diff(tensor) <= 0).nonzero()
    if len(backward):
        index = int(backward[0])
        raise ConfigError(
            f"time does not increase after sample {index} ({tensor[index]:.6g} s to {tensor[index + 1]:.6g} s); "
            "sort the samples and drop repeated times."
        )
    return tensor


@dataclass(frozen=True, eq=False)
class SampledDrive:
    """A drive with one value per sample time and a zero-order hold or linear interpolation in between.

    Attributes:
        values: Samples, shape (..., time, channels); a time axis of length 1 is a constant.
        hold: True for a zero-order hold: sample k is valid until sample k + 1. False for linear interpolation.
    """

    values: Tensor
    hold: bool = False

    def scaled(self, factor: Tensor) -> SampledDrive:
        """Return the same drive in another unit; `factor` broadcasts against the values."""
        return SampledDrive(self.values * factor, self.hold)

    def at(self, sample: int, fraction: float) -> Tensor:
        """Return the value at a fraction 0 .. 1 of the interval that begins with a sample, shape (..., channels)."""
        if self.values.shape[-2] == 1:
            return self.values[..., 0, :]
        first = self.values[..., sample, :]
        if self.hold or fraction == 0.0:
            return first
        return torch.lerp(first, self.values[..., sample + 1, :], fraction)


def is_hold(interpolation: str) -> bool:
    """Return True for a zero-order hold ("held"), False for linear interpolation ("linear").

    Raises:
        ConfigError: another value.
    """
    return bool(one_of("interpolation", interpolation, ("held", "linear")) == "held")


def read_drive(values: Values, name: str, samples: int, *, channels: int | None = None, hold: bool = False) -> SampledDrive:
    """Read a drive given as a constant or as one value per sample time.

    Args:
        values: Constant, shape () or (channels,), or samples, shape (..., time[, channels]); time may be 1.
        name: Name of the drive in messages.
        samples: Number of sample times.
        channels: Number of components of a vector drive; a scalar drive if omitted.
        hold: Zero-order hold between the samples; linear interpolation otherwise.

    Raises:
        ConfigError: another shape, or values that are not finite numbers.
    """
    tensor = float64(values, name)
    given = tuple(tensor.shape)
    if channels is None:
        tensor = tensor.unsqueeze(-1)
    if tensor.dim() == 1:
        tensor = tensor.unsqueeze(0)
    if tensor.dim() < 2 or tensor.shape[-1] != (channels or 1) or tensor.shape[-2] not in (1, samples):
        tail = "" if channels is None else f", {channels}"
        raise ConfigError(
            f"{name} has shape {given}; expected (..., {samples}{tail}), one value per sample time, "
            f"or (..., 1{tail}) for a constant."
        )
    return SampledDrive(tensor, hold)
