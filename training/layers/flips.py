"""`StoredSigns`: signs in pairs of binary devices, flipped by SET and RESET pulses without verification."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...contracts.synapse import Pulses, Synapse
from ...device_weights.weights import DeviceWeights
from ...errors import ConfigError
from ...validation import whole_number

#: Share of its range that one pulse moves a fresh device of one bit.
ONE_BIT = 0.9
#: Most pulses of a flip, unless more are requested.
MAX_PULSES = 1000


class StoredSigns(nn.Module):
    """Signs of weights, each that of the conductance difference of a pair of devices.

    A flip is a fixed number of SET pulses on one device and of RESET pulses on the other. Nothing is read back: a write error
    leaves the old sign in the devices, `update` returns it to the rule, and a rule that still wants the flip tries again.

    Args:
        signs: Initial signs, which are written first; those of devices that fail stay what they are.
        synapse: The devices.
        pulses: Pulses on each device for a flip; if omitted 1 for a device of one bit, else as many as take a fresh typical
            pair across three quarters of its range. To be given for a device that one pulse does not move.
        generator: Source of device-to-device variation and noise.

    Raises:
        ConfigError: devices that do not move, or that are SET or RESET only, which cannot flip back.

    Example:
        >>> import torch
        >>> from spinode.datasets import STTMRAM
        >>> signs = torch.tensor([[1.0, -1.0]])
        >>> store = StoredSigns(signs, STTMRAM(), generator=torch.Generator().manual_seed(0))
        >>> store.update(-signs)
        >>> store.read().tolist(), store.weights.pulses
        ([[-1.0, 1.0]], 8)
    """

    flips: Tensor

    def __init__(self, signs: Tensor, synapse: Synapse, *, pulses: int | None = None, generator: torch.Generator) -> None:
        super().__init__()
        self.weights = DeviceWeights(signs.shape, synapse, kind="sign", w_max=1.0, seed=generator)
        if self.weights.policy != "both":
            raise ConfigError(
                f"{type(synapse).__name__} responds to {', '.join(synapse.polarities)} pulses only, and a flip needs SET and "
                "RESET; use another device, such as stt-mram."
            )
        self.pulses = whole_number("pulses_per_flip", self._needed() if pulses is None else pulses, 1)
        self.register_buffer("flips", torch.zeros(2, dtype=torch.int64))  # flips requested, and those that failed
        self._write(torch.arange(signs.numel()), signs.detach().flatten())

    def _needed(self) -> int:
        """Return 1 for a device that one pulse takes across its range, else the pulses for three quarters of that of a pair."""
        synapse = self.weights.synapse
        fresh = synapse.initial((1,))
        moved = synapse.read(synapse.program(fresh, Pulses(torch.ones(1)))) - synapse.read(fresh)
        if float(moved.abs()) >= ONE_BIT * (synapse.high - synapse.low):
            return 1
        return min(math.ceil(1.5 / self.weights.step), MAX_PULSES)

    @torch.no_grad()
    def update(self, signs: Tensor) -> None:
        """Flip the devices whose sign differs, and set `signs` to what the devices then have.

        Args:
            signs: Requested signs; changed in place.
        """
        before = self.read(noisy=False)
        changed = (before != signs).flatten().nonzero()[:, 0]
        if len(changed):
            self._write(changed, signs.detach().flatten()[changed])
            signs.copy_(self.read(noisy=False))

    def _write(self, indices: Tensor, wanted: Tensor) -> None:
        with self.weights.editing():
            self.weights.pulse(wanted * self.pulses, indices=indices)
        failed = self.weights.read(noisy=False, indices=indices) != wanted
        self.flips += torch.stack([torch.tensor(len(indices)), failed.sum()])

    def read(self, *, noisy: bool = True) -> Tensor:
        """Return the signs as read from the devices.

        Args:
            noisy: Include read noise where the devices have it.
        """
        return self.weights.read(noisy=noisy and self.weights.noisy)
