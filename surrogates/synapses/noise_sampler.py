"""Sampling of the fitted noise of a memory device: pulses, reads and random telegraph noise, in torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .noise import LOG_BOUNDS, POLYNOMIAL, RELATIVE, NoiseModel
from .telegraph import TelegraphNoise


@dataclass(frozen=True)
class NoiseSampler:
    """Standard deviations and samples of a noise model at given parameters; all in standard deviations of the state.

    Attributes:
        model: Form of the noise.
        parameters: Its parameters, shape (parameters,).
        state_range: Range of the state outside of which noise no longer changes with the state.
        telegraph: Rates of random telegraph noise; None without.
    """

    model: NoiseModel
    parameters: Tensor
    state_range: tuple[float, float]
    telegraph: TelegraphNoise | None

    def value(self, name: str) -> float:
        """Return one parameter by name."""
        return float(self.parameters[self.model.names.index(name)])

    def accumulating_deviation(self, x: Tensor, polarity: Tensor, step: Tensor | None = None) -> Tensor:
        """Return the standard deviation of the noise that one pulse adds at a state, shape of x.

        Args:
            x: States.
            polarity: +1 or -1, shape of x.
            step: Change by one pulse, shape of x; needed for relative noise.
        """
        deviations = [self._polynomial(x, name, step) for name in self.model.polarities]
        return deviations[0] if len(deviations) == 1 else torch.where(polarity > 0, deviations[0], deviations[1])

    def with_accumulating_noise(
        self, x: Tensor, polarity: Tensor, change: Tensor, pulses: Tensor, normal: Tensor, monotonic: Sequence[str] = ()
    ) -> Tensor:
        """Return the change by some pulses including their noise; noise never reverses a step of monotonic polarities.

        Args:
            x: States, shape (devices...).
            polarity: +1 or -1, shape of x or a single number.
            change: Mean change by all pulses, shape of x.
            pulses: Number of pulses, shape of x.
            normal: Standard normal numbers, shape of x.
            monotonic: Polarities whose steps never reverse.
        """
        if not self.model.relative:
            return torch.addcmul(change, self.accumulating_deviation(x, polarity) * safe_sqrt(pulses), normal)
        step = change.detach() / pulses.detach().clamp(min=1e-6)  # a pulse may be applied in part
        noisy = torch.addcmul(change, self.accumulating_deviation(x, polarity, step) * safe_sqrt(pulses), normal)
        if set(monotonic) != set(self.model.polarities):
            return noisy
        return torch.where(noisy * polarity < 0, torch.zeros_like(noisy), noisy)

    def _polynomial(self, x: Tensor, polarity: str, step: Tensor | None) -> Tensor:
        if not self.model.relative:
            return self._exponential(x, polarity, POLYNOMIAL)
        assert step is not None
        relative = self._exponential(x, polarity, RELATIVE) * step.abs()
        if self.model.pure:
            return relative
        return torch.hypot(relative, relative.new_tensor(math.exp(self.value(f"{POLYNOMIAL[0]} {polarity}"))))

    def _exponential(self, x: Tensor, polarity: str, parts: Sequence[str]) -> Tensor:
        base, slope, curvature = (self.value(f"{part} {polarity}") for part in parts)
        inside = x.clamp(*self.state_range)
        if not (slope or curvature):
            return inside.new_tensor(math.exp(min(max(base, LOG_BOUNDS[0]), LOG_BOUNDS[1])))
        return (base + inside * (slope + curvature * inside)).clamp_(*LOG_BOUNDS).exp_()

    def read_deviation(self, x: Tensor) -> Tensor:
        """Return the standard deviation of white read noise at a state, shape of x."""
        return (self.value("log read") + self.value("its slope") * x.clamp(*self.state_range)).clamp(*LOG_BOUNDS).exp()

    def initial_correlated(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> Tensor:
        """Sample stationary correlated noise; zero without a generator."""
        start = torch.zeros(shape, dtype=dtype) if generator is None else standard_normal(shape, generator, dtype)
        return start.mul_(math.exp(self.value("log correlated read")))

    def correlated_after(self, noise: Tensor, pulses: Tensor, generator: torch.Generator) -> Tensor:
        """Sample correlated noise after a number of pulses: a first-order autoregression in the pulse number."""
        decay = torch.exp(-pulses / math.exp(self.value("log memory")))
        fresh = standard_normal(tuple(noise.shape), generator, noise.dtype).mul_(math.exp(self.value("log correlated read")))
        return torch.addcmul(decay * noise, safe_sqrt(1 - decay * decay), fresh)

    def initial_telegraph(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        """Sample stationary telegraph noise: the shift of the state, zero where the trap is empty."""
        assert self.telegraph is not None
        filled = self.telegraph.sample_stationary(shape, generator, dtype)
        return torch.where(filled, self._depth(shape, generator, dtype), torch.zeros(shape, dtype=dtype))

    def telegraph_after(self, noise: Tensor, pulses: Tensor, generator: torch.Generator) -> Tensor:
        """Sample telegraph noise after a number of pulses; each capture has a new depth."""
        assert self.telegraph is not None
        chain = self.telegraph
        index, u, pulses = chain.candidates(pulses.detach().reshape(-1), generator)
        after = noise.clone(memory_format=torch.contiguous_format)
        flat = after.view(-1)
        filled = flat.index_select(0, index) != 0
        changes = u < torch.where(filled, 1 - chain.occupancy, chain.occupancy) * chain.forgetting(pulses)
        flat.index_fill_(0, index[changes & filled], 0)
        captured = index[changes & ~filled]
        flat.index_copy_(0, captured, self._depth((len(captured),), generator, noise.dtype))
        return after

    def _depth(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        mean, deviation = self.value("depth"), math.exp(self.value("log depth deviation"))
        return mean + deviation * standard_normal(shape, generator, dtype)


def standard_normal(shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Sample independent standard normal numbers."""
    return torch.randn(shape, generator=generator, dtype=dtype)


def safe_sqrt(values: Tensor) -> Tensor:
    """Return the square root with derivative zero at zero, so that a device without pulses has a finite gradient."""
    if not values.requires_grad:
        return values.sqrt()
    positive = values > 0
    return torch.where(positive, values, torch.ones_like(values)).sqrt() * positive


def imperfection_switches(of_devices: bool) -> dict[str, tuple[str, ...]]:
    """Return the switches of a surrogate that belong to each imperfection; the spread of one device is one of its cycles."""
    return {
        "device-to-device": ("with_spread",) if of_devices else (),
        "cycle-to-cycle": ("with_noise",) if of_devices else ("with_noise", "with_spread"),
        "telegraph noise": ("with_telegraph",),
        "read noise": ("with_read",),
    }
