"""Weights in memory devices, which are programmed by pulses and read with noise: `StoredLevels` and `StoredWeights`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...contracts.synapse import Synapse, check_synapse
from ...device_weights.programming import StochasticProgrammer
from ...device_weights.weights import DeviceWeights
from ...device_weights.write_verify import WriteVerify
from ...errors import ConfigError
from ..rules.levels import Interval, nearest_level

#: Maximal number of pulses of one write of a bidirectional device, in units of those that one level takes. A device that has
#: not reached its target by then is counted as unreached; a few of these would otherwise take most of the time.
MAX_PULSES_PER_LEVEL = 10
#: Maximal number of pulses of one write of any device.
MAX_PULSES = 10_000
#: Difference of the two devices of a binary weight, in units of their range.
BINARY_CONTRAST = 0.5


class StoredLevels(nn.Module):
    """Levels of digital hidden weights, each stored in a pair of devices and rewritten when it changes.

    Two levels are the sign of a pair's difference. Devices with SET and RESET are written to half their range on either side,
    to within half of that, so that reads determine the sign reliably. Unidirectional devices (such as weak RESET) are pulsed
    until a read has the requested sign by three times the read noise, and no further, since every pulse uses up their range.
    More levels are conductance differences, evenly spaced from -1 to 1 in units of the device's range, written by write and
    verify to within a quarter of the spacing, or one step of the device if that is larger.

    Args:
        hidden: Hidden weights.
        interval: As for `spinode.training.rules.levels.nearest_level`.
        synapse: The devices.
        generator: Source of device-to-device variation and noise.

    Raises:
        ConfigError: devices whose steps are too coarse for the levels.
    """

    target: Tensor
    counts: Tensor

    def __init__(self, hidden: Tensor, interval: Interval, synapse: Synapse, *, generator: torch.Generator) -> None:
        super().__init__()
        self.interval = interval
        bidirectional = len(set(check_synapse(synapse).polarities)) > 1
        self.weights = DeviceWeights(hidden.shape, synapse, kind="pair", w_max=1.0, seed=generator)
        self.contrast = BINARY_CONTRAST if interval is None and bidirectional else 1.0
        spacing = 2 * self.contrast if interval is None else interval[0]
        tolerance = max(spacing / 4, self.weights.step)
        if interval is None and not bidirectional:  # the target is out of reach on purpose: only the nearer edge matters
            tolerance = 1.0 - min(3 * read_noise(self.weights), 0.25)
        elif tolerance >= spacing / 2:
            raise ConfigError(
                f"{type(synapse).__name__} moves by {self.weights.step:.3g} per pulse, and levels are {spacing:.3g} apart; use "
                "fewer levels, or a device of finer steps."
            )
        pulses = math.ceil(MAX_PULSES_PER_LEVEL * spacing / self.weights.step) if bidirectional else MAX_PULSES
        self.verify = WriteVerify(tolerance, min(pulses, MAX_PULSES))
        self.register_buffer("target", nearest_level(hidden.detach(), interval))
        self.register_buffer("counts", torch.zeros(2, dtype=torch.int64))  # writes, and those that missed the target
        self._write(torch.arange(hidden.numel()))

    def update(self, hidden: Tensor) -> None:
        """Write the levels that have changed."""
        target = nearest_level(hidden.detach(), self.interval)
        changed = (target != self.target).reshape(-1).nonzero()[:, 0]
        self.target = target
        if len(changed):
            self._write(changed)

    def _write(self, indices: Tensor) -> None:
        written = self.weights.write(self.contrast * self.target, self.verify, indices=indices)
        self.counts += torch.stack([torch.tensor(len(indices)), written.unreached.sum()])

    def read(self, *, noisy: bool = True) -> Tensor:
        """Return the weights as read from the devices.

        Args:
            noisy: Include read noise where the devices have it.
        """
        weight = self.weights.read(noisy=noisy and self.weights.noisy)
        return nearest_level(weight) if self.interval is None else weight


class StoredWeights(nn.Module):
    """Weights that exist in devices only: a step of the optimiser becomes pulses, stochastically rounded to whole ones.

    The parameter that the optimiser changes is a handle, and is set to the state of the devices after each step.

    Args:
        parameter: The handle. For "pair" and "single" its values are written into the devices first; for "sign" it is set to
            theirs.
        synapse: The devices.
        kind: As for `DeviceWeights`; for "sign" the handle is the latent weight, and devices that are all alike are first
            pulsed towards its values, since equal signs would make all units learn the same.
        w_max: Largest weight.
        generator: Source of device-to-device variation and noise.
    """

    def __init__(
        self, parameter: nn.Parameter, synapse: Synapse, *, kind: str, w_max: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.weights = DeviceWeights(parameter.shape, synapse, kind=kind, w_max=w_max, seed=generator)
        self.programmer = StochasticProgrammer(self.weights.step)
        self._noise: float | None = None
        if kind != "sign":
            self.weights.write(parameter.detach().clamp(-w_max, w_max))
        elif not float(self.weights.latent(noisy=False).std(correction=0)) > 0:
            self.weights.program(parameter.detach(), self.programmer)
        self.synchronise(parameter)

    @torch.no_grad()
    def synchronise(self, parameter: nn.Parameter) -> None:
        """Set the handle to the state of the devices."""
        parameter.copy_(self.weights.latent(noisy=False))

    @torch.no_grad()
    def update(self, parameter: nn.Parameter) -> None:
        """Apply the change of the handle to the devices as pulses.

        Raises:
            ConfigError: an update that is not finite, or of more than a million pulses; the handle is then reset.
        """
        before = self.weights.latent(noisy=False)
        try:
            self.weights.program(parameter - before, self.programmer)
        except ConfigError:
            parameter.copy_(before)
            raise
        self.synchronise(parameter)
        self._noise = None  # it may depend on the state

    def read(self, *, noisy: bool = True) -> Tensor:
        """Return the weights as read from the devices.

        Args:
            noisy: Include read noise where the devices have it.
        """
        return self.weights.read(noisy=noisy and self.weights.noisy)

    @property
    def noise(self) -> float:
        """Standard deviation of reads of the same devices, over all of them; 0 where reads are exact."""
        if self._noise is None:
            self._noise = read_noise(self.weights)
        return self._noise


@contextmanager
def drawing_from(stores: Iterable[Any], generator: torch.Generator) -> Iterator[None]:
    """Take the noise of all stores from one generator within the block, so that tests do not advance theirs."""
    with ExitStack() as stack:
        for store in stores:
            stack.enter_context(store.weights.drawing_from(generator))
        yield


def device_footprint(stores: Iterable[Any]) -> dict[str, float]:
    """Return the cost of the devices: number, pulses, energy [J] where the model knows it, wear, devices at their bounds."""
    stores = [store for store in stores if store is not None]
    if not stores:
        return {}
    arrays: list[DeviceWeights] = [store.weights for store in stores]
    devices = sum(array.wear.numel() for array in arrays)
    figures = {
        "devices": float(devices),
        "pulses": float(sum(array.pulses for array in arrays)),
        "mean pulses of a device": sum(array.pulses for array in arrays) / devices,
        "most pulses of a device": float(max(int(array.wear.max()) for array in arrays)),
        "devices at a bound [share]": sum(_count_at_bounds(array) for array in arrays) / devices,
    }
    energies = [array.energy for array in arrays]
    if all(energy is not None for energy in energies):
        figures["energy [J]"] = float(sum(energy for energy in energies if energy is not None))
    counts = [store.counts for store in stores if isinstance(store, StoredLevels)]
    if counts:
        writes, missed = torch.stack(counts).sum(0).tolist()
        figures |= {"writes": float(writes), "writes out of tolerance [share]": missed / max(writes, 1)}
    return figures


def read_noise(weights: DeviceWeights) -> float:
    """Return the standard deviation of reads, from the difference of two reads of the same devices."""
    if not weights.noisy:
        return 0.0
    with weights.drawing_from(torch.Generator().manual_seed(0)):
        first, second = weights.latent(noisy=True), weights.latent(noisy=True)
    return float((first - second).std()) / 2**0.5


def _count_at_bounds(weights: DeviceWeights) -> int:
    """Return the number of pulsed devices within a thousandth of their range of either bound."""
    synapse = weights.synapse
    conductance = synapse.read(weights.state)
    margin = 1e-3 * (synapse.high - synapse.low)
    low, high = conductance <= synapse.low + margin, conductance >= synapse.high - margin
    worn = weights.wear > 0
    return int(((low | high) & worn).sum())
