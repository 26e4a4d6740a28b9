"""Where weights live: in exact numbers, or in memory devices that are programmed by pulses and read with noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...contracts.synapse import Synapse
from ...device_weights.programming import StochasticProgrammer, WriteVerify
from ...device_weights.weights import DeviceWeights, checked_synapse
from ...errors import ConfigError
from ..rules.metaplastic_step import level

#: Most pulses of one write, in units of those that one level takes, for devices that go both ways. A device that has not got
#: there by then is left where it is, and counted; a few of these would otherwise take most of the time.
_PATIENCE = 10
#: Most pulses of one write of any device.
MAX_PULSES = 10_000
#: Difference of the two devices of a binary weight, in units of their range.
_CONTRAST = 0.5


class StoredLevels(nn.Module):
    """Levels of digital hidden weights, each stored in a pair of devices and written again when it changes.

    Two levels are the sign of a pair's difference. Devices that can be set and reset are written to half their range on either
    side, to within half of that, so that reads are sure of the sign; those that pulses move one way only, as weak RESET, until
    a read has the wished sign by three times the noise of reads, and no further, for every pulse uses them up. More levels
    are conductance differences, evenly spaced from -1 to 1 in units of the device's range, written by a closed loop to within
    a quarter of the spacing, or one step of the device if that is more.

    Args:
        hidden: Hidden weights.
        interval: As in `spinode.training.rules.metaplastic_step.level`.
        synapse: The devices.
        generator: Source of devices and noise.
    """

    target: Tensor
    counts: Tensor

    def __init__(
        self, hidden: Tensor, interval: tuple[float, int] | None, synapse: Synapse, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.interval = interval
        both_ways = len(set(checked_synapse(synapse).polarities)) > 1
        self.weights = DeviceWeights(hidden.shape, synapse, kind="pair", w_max=1.0, seed=generator)
        self.contrast = _CONTRAST if interval is None and both_ways else 1.0
        spacing = 2 * self.contrast if interval is None else interval[0]
        tolerance = max(spacing / 4, self.weights.step)
        if interval is None and not both_ways:  # the goal is out of reach on purpose: only the nearer edge counts
            tolerance = 1.0 - min(3 * _read_noise(self.weights), 0.25)
        elif tolerance >= spacing / 2:
            raise ConfigError(
                f"{type(synapse).__name__} moves by {self.weights.step:.3g} a pulse, and levels are {spacing:.3g} apart; take "
                "fewer levels, or a device of finer steps."
            )
        most = math.ceil(_PATIENCE * spacing / self.weights.step) if both_ways else MAX_PULSES
        self.verify = WriteVerify(tolerance, min(most, MAX_PULSES))
        self.register_buffer("target", level(hidden.detach(), interval))
        self.register_buffer("counts", torch.zeros(2, dtype=torch.int64))  # writes, and those that did not get there
        self._write(torch.arange(hidden.numel()))

    def follow(self, hidden: Tensor) -> None:
        """Write the levels that have changed."""
        wished = level(hidden.detach(), self.interval)
        changed = (wished != self.target).reshape(-1).nonzero()[:, 0]
        self.target = wished
        if len(changed):
            self._write(changed)

    def _write(self, at: Tensor) -> None:
        written = self.weights.write(self.contrast * self.target, self.verify, at=at)
        self.counts += torch.stack([torch.tensor(len(at)), written.unreached.sum()])

    def read(self, *, noisy: bool = True) -> Tensor:
        """The weights as a read sees them."""
        seen = self.weights.read(noisy=noisy and self.weights.noisy)
        return level(seen) if self.interval is None else seen


class StoredWeights(nn.Module):
    """Weights that live in devices alone: a step of the optimiser becomes pulses, rounded at random to whole ones.

    The parameter that the optimiser moves is a handle, and is set to what the devices hold after each step.

    Args:
        parameter: The handle. For "pair" and "single" its values are written into the devices first; for "sign" it takes
            theirs.
        synapse: The devices.
        kind: As in `DeviceWeights`; of "sign" the handle is the latent weight, and devices that are all alike are first
            pulsed towards its values, for signs that are all the same would teach all units the same.
        w_max: Largest weight.
        generator: Source of devices and noise.
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
        """Set the handle to what the devices hold."""
        parameter.copy_(self.weights.latent(noisy=False))

    @torch.no_grad()
    def follow(self, parameter: nn.Parameter) -> None:
        """Give the devices the change of the handle as pulses.

        Raises:
            ConfigError: an update that is not finite, or of more than a million pulses; the handle is then as it was.
        """
        held = self.weights.latent(noisy=False)
        try:
            self.weights.program(parameter - held, self.programmer)
        except ConfigError:
            parameter.copy_(held)
            raise
        self.synchronise(parameter)
        self._noise = None  # it may depend on the state

    def read(self, *, noisy: bool = True) -> Tensor:
        """The weights as a read sees them."""
        return self.weights.read(noisy=noisy and self.weights.noisy)

    @property
    def noise(self) -> float:
        """Standard deviation of two reads of the same devices, over all of them; 0 where reads are exact."""
        if self._noise is None:
            self._noise = _read_noise(self.weights)
        return self._noise


@contextmanager
def drawing_from(stores: Iterable[Any], generator: torch.Generator) -> Iterator[None]:
    """Within it the noise of all stores comes from one generator, so that tests do not move theirs."""
    with ExitStack() as stack:
        for each in stores:
            stack.enter_context(each.weights.drawing_from(generator))
        yield


def device_footprint(stores: Iterable[Any]) -> dict[str, float]:
    """What devices have cost: their number, pulses, joules where the model knows them, wear, and how many are at their end."""
    stores = [each for each in stores if each is not None]
    if not stores:
        return {}
    held: list[DeviceWeights] = [each.weights for each in stores]
    devices = sum(each.wear.numel() for each in held)
    figures = {
        "devices": float(devices),
        "pulses": float(sum(each.pulses for each in held)),
        "most pulses of a device": float(max(int(each.wear.max()) for each in held)),
        "devices at a bound [share]": sum(_at_bounds(each) for each in held) / devices,
    }
    energies = [each.energy for each in held]
    if all(each is not None for each in energies):
        figures["energy [J]"] = float(sum(each for each in energies if each is not None))
    written = [each.counts for each in stores if isinstance(each, StoredLevels)]
    if written:
        writes, missed = torch.stack(written).sum(0).tolist()
        figures |= {"writes": float(writes), "writes out of tolerance [share]": missed / max(writes, 1)}
    return figures


def _read_noise(weights: DeviceWeights) -> float:
    """Standard deviation of the difference of two reads of the same devices, by the root of two."""
    if not weights.noisy:
        return 0.0
    with weights.drawing_from(torch.Generator().manual_seed(0)):
        first, second = weights.latent(noisy=True), weights.latent(noisy=True)
    return float((first - second).std()) / 2**0.5


def _at_bounds(weights: DeviceWeights) -> int:
    """Devices that have had pulses and are within a thousandth of their range of an end of it."""
    synapse = weights.synapse
    conductance = synapse.read(weights.state)
    margin = 1e-3 * (synapse.high - synapse.low)
    low, high = conductance <= synapse.low + margin, conductance >= synapse.high - margin
    worn = weights.wear > 0
    return int(((low | high) & worn).sum())
