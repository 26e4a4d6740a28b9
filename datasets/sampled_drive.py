"""Drives between their samples: the one place where simulators of this room read a sampled input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import ConfigError

Values = npt.ArrayLike | Tensor
"""A number, a sequence, a NumPy array or a tensor; read as float64."""


def float64(values: Values, name: str) -> Tensor:
    """The values as a finite float64 tensor; a tensor keeps its graph, so that gradients reach it.

    Raises:
        ConfigError: values that are not numbers, or not finite.
    """
    try:
        # The copy matters: a Trace's arrays are read-only, and torch warns about sharing such memory.
        copy = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, np.float64))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} holds what is not a number ({error}); pass real numbers in SI units.") from None
    tensor = copy.to(torch.float64)
    if not bool(torch.isfinite(tensor).all()):
        raise ConfigError(f"{name} holds NaN or infinite values; pass finite numbers in SI units.")
    return tensor


def instants(time: Values) -> Tensor:
    """Sample instants as a tensor.

    Args:
        time: Instants [s], shape (time,); the steps may differ.

    Raises:
        ConfigError: fewer than two instants, more than one dimension, or instants that do not increase.
    """
    tensor = float64(time, "time")
    if tensor.dim() != 1 or len(tensor) < 2:
        raise ConfigError(f"time has shape {tuple(tensor.shape)}; expected (time,) with at least 2 instants [s].")
    backward = (torch.diff(tensor) <= 0).nonzero()
    if len(backward):
        at = int(backward[0])
        raise ConfigError(
            f"time does not increase after instant {at} ({tensor[at]:.6g} s to {tensor[at + 1]:.6g} s); "
            "sort the instants and drop repeated ones."
        )
    return tensor


@dataclass(frozen=True, eq=False)
class Sampled:
    """A drive with one value per instant, held or linear in between.

    Attributes:
        values: Samples, shape (..., time, channels); a time axis of length 1 stands for a constant.
        held: Sample k lasts from instant k to instant k + 1; linear otherwise.
    """

    values: Tensor
    held: bool = False

    def scaled(self, factor: Tensor) -> Sampled:
        """The same drive in another unit; `factor` broadcasts against the values."""
        return Sampled(self.values * factor, self.held)

    def at(self, sample: int, fraction: float) -> Tensor:
        """Value at a fraction 0 .. 1 of the interval that begins with a sample, shape (..., channels)."""
        if self.values.shape[-2] == 1:
            return self.values[..., 0, :]
        first = self.values[..., sample, :]
        if self.held or fraction == 0.0:
            return first
        return torch.lerp(first, self.values[..., sample + 1, :], fraction)


def held(interpolation: str) -> bool:
    """Whether a drive is held between its samples.

    Raises:
        ConfigError: neither "held" nor "linear".
    """
    if interpolation not in ("held", "linear"):
        raise ConfigError(f"interpolation is {interpolation!r}; expected 'held' or 'linear' (sample a smooth drive finely).")
    return interpolation == "held"


def sampled(values: Values, name: str, samples: int, *, channels: int | None = None, held: bool = False) -> Sampled:
    """Read a drive given as a constant or as one value per instant.

    Args:
        values: Constant, shape () or (channels,), or samples, shape (..., time[, channels]); time may be 1.
        name: What to call it in an error message.
        samples: Number of instants.
        channels: Number of components of a vector drive; a scalar drive if omitted.
        held: Held between the samples; linear otherwise.

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
            f"{name} has shape {given}; expected (..., {samples}{tail}), one value per instant, "
            f"or (..., 1{tail}) for a constant."
        )
    return Sampled(tensor, held)
