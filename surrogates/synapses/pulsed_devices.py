"""The devices of a programming call that receive pulses, so that the others cost nothing, and their steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError
from .drift import Drift
from .noise_sampler import NoiseSampler, standard_normal

#: Most midpoint steps of one call with noise, about a minute.
MAX_STEPS = 50_000
#: Steps without noise between two comparisons of the states.
CHECKED = 32
#: Above this share of devices with pulses, a selection would cost more than it saves.
_MAX_SHARE = 0.75


class PulsedDevices:
    """Selects the devices with pulses as one flat list, and puts their results back.

    All devices are selected, in their own shape, where most of them have pulses or where the result is differentiated in the
    number of pulses, since dx/dn is not zero at n = 0.

    Args:
        count: Number of pulses, shape (devices...).

    Example:
        >>> active = PulsedDevices(torch.tensor([0.0, 2.0, 0.0, 0.0]))
        >>> active.take(torch.tensor([1.0, 2.0, 3.0, 4.0])), active.put(torch.tensor([9.0]), torch.zeros(4))
        (tensor([2.]), tensor([0., 9., 0., 0.]))
    """

    def __init__(self, count: Tensor) -> None:
        self.shape = count.shape
        self._index: Tensor | None = None
        if count.requires_grad:
            return
        pulsed = (count != 0).reshape(-1).cpu().numpy()
        index = torch.from_numpy(np.flatnonzero(pulsed)).to(count.device)  # four times as fast as torch.nonzero
        if len(index) < _MAX_SHARE * len(pulsed):
            self._index = index

    @property
    def are_some(self) -> bool:
        """True if a selection was made."""
        return self._index is not None

    def take(self, value: Tensor, columns: int = 0) -> Tensor:
        """Return the selected devices of a value that broadcasts to the devices; a single number stays as it is.

        Args:
            value: Shape (devices..., columns...).
            columns: Number of trailing dimensions that are not devices.
        """
        if self._index is None or value.ndim <= columns:
            return value
        trailing = value.shape[value.ndim - columns :]
        return value.expand(*self.shape, *trailing).reshape(self.shape.numel(), *trailing).index_select(0, self._index)

    def put(self, values: Tensor, into: Tensor) -> Tensor:
        """Return a copy of the state of all devices, shape (devices...), with the values of the selected ones."""
        if self._index is None:
            return values
        return into.reshape(-1).index_copy(0, self._index, values).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class DeviceSteps:
    """The steps that the pulses of one programming call take.

    Attributes:
        drift: Change of the state per pulse.
        noise: Samples the noise of pulses; None without.
        chunk: Largest number of pulses in one step.
        limits: Smallest and largest state.
        sign: Polarity of all pulses; None where it is the sign of their number.
    """

    drift: Drift
    noise: NoiseSampler | None
    chunk: float
    limits: tuple[float, float]
    sign: Tensor | None

    def states_after(
        self,
        x: Tensor,
        latents: Tensor,
        first: Tensor,
        count: Tensor,
        largest: float,
        extra: Sequence[Tensor],
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return the states after pulses, shape of x.

        Without noise, the steps end as soon as no state changes any more, such as at an end of the range.

        Args:
            x: States, shape (devices...).
            latents: Latent parameters, shape (devices..., latents).
            first: First states, shape (devices...).
            count: Number of pulses, shape (devices...).
            largest: Largest number of pulses of one device.
            extra: Standardised voltage and log width, as `Drift` takes them.
            generator: Source of the noise; None for the mean.

        Raises:
            ConfigError: a train of pulses with noise that takes too many steps.
        """
        number = count.abs()
        polarity = torch.where(count < 0, -1.0, 1.0).to(x.dtype) if self.sign is None else self.sign
        # Each device takes the number of steps that its own pulses need; further steps have zero pulses for it.
        own_steps = (number.detach() / self.chunk).ceil().clamp(min=1)
        steps = max(1, math.ceil(largest / self.chunk))
        per_step = number / own_steps if steps > 1 else number
        noisy = generator is not None and self.noise is not None
        if steps > MAX_STEPS and noisy:
            raise ConfigError(
                f"a train of {largest:g} pulses with noise takes {steps} steps of {self.chunk:g} pulses; expected at most "
                f"{MAX_STEPS} steps, {MAX_STEPS * self.chunk:g} pulses, in a call. Apply it in parts, or without noise."
            )
        for index in range(steps):
            if index and not (x.requires_grad or count.requires_grad):
                going_on = PulsedDevices(torch.where(own_steps > index, count, torch.zeros_like(count)))
                if going_on.are_some:  # a few long trains among many short ones
                    rest = going_on.take(per_step * (own_steps - index) * count.sign())
                    own = going_on.take(x), going_on.take(latents, 1), going_on.take(first)
                    some = [going_on.take(value) for value in extra]
                    return going_on.put(self.states_after(*own, rest, float(rest.abs().max()), some, generator), x)
            now = per_step if index == 0 else torch.where(own_steps > index, per_step, torch.zeros_like(per_step))
            change = self.drift.change(x, now, polarity, extra, latents, first)
            if generator is not None and self.noise is not None:
                normal = standard_normal(tuple(x.shape), generator, x.dtype)
                change = self.noise.with_accumulating_noise(x, polarity, change, now, normal, self.drift.monotonic)
            last, x = x, (x + change).clamp(*self.limits)
            if not noisy and index % CHECKED == CHECKED - 1 and not x.requires_grad and torch.equal(x, last):
                break
        return x
