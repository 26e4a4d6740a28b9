"""`ProgrammedSynapses`: devices whose programming voltage is the membrane potential of their input neuron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...contracts.synapse import Synapse, check_synapse
from ...device_weights.weights import DeviceWeights
from ...device_weights.write_verify import WriteVerify
from ...errors import ConfigError
from ...validation import number

#: Accuracy of initial weights, and pulses for one: they are random, and need not be exact.
WRITE_TOLERANCE, MAX_WRITE_PULSES = 0.1, 500


class ProgrammedSynapses(nn.Module):
    """Synapses of a layer, one device each.

    When an output neuron fires, each of its devices gets one pulse of the amplitude s |V|, where V is the potential of its
    input neuron: SET (with s = voltages[0]) for V < 0, RESET (voltages[1]) for V > 0. A device gets no pulse whose amplitude is
    below the range for which its model is valid: it is taken as too weak to switch it.

    Args:
        synapse: The devices.
        weights: Initial weights 0 .. 1, shape (inputs, outputs). Devices whose model has a method `at` begin there, others are
            written by pulses; then the weights are set to their reads.
        voltages: Amplitudes [V] of SET and RESET at |V| = 1; if omitted, the largest for which the model is valid, or its usual
            ones.
        width: Width [s] of the pulses; the device's own if omitted.
        stuck: True for devices that do not respond, shape (inputs, outputs), or None.
        generator: Source of device-to-device variation and noise.

    Raises:
        ConfigError: devices without a voltage, or of one polarity; voltages below the range of their model.

    Example:
        >>> from spinode.datasets import TiO2
        >>> weights = torch.full((3, 2), 0.5, dtype=torch.float64)
        >>> synapses = ProgrammedSynapses(TiO2(), weights, generator=torch.Generator().manual_seed(0))
        >>> synapses.program(1, torch.tensor([-1.0, 0.2, 1.0]), weights)
        >>> (weights[:, 1] - weights[:, 0]).sign().tolist()
        [1.0, 0.0, -1.0]
    """

    pulsed: Tensor
    stuck: Tensor

    def __init__(
        self,
        synapse: Synapse,
        weights: Tensor,
        *,
        voltages: Sequence[float] | None = None,
        width: float | None = None,
        stuck: Tensor | None = None,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        usual, bounds = _amplitudes(check_synapse(synapse))
        self.voltages = usual if voltages is None else _pair(voltages)
        self.least = 0.0 if bounds is None else bounds[0]
        if min(self.voltages) < self.least:
            raise ConfigError(
                f"voltages is {list(self.voltages)}, and {type(synapse).__name__} is valid from {self.least:g} V on: a "
                f"potential of 1 would give no pulse. Expected at least {self.least:g} V for SET and RESET."
            )
        self.width = None if width is None else number("width of the pulses", width, 0, above=True, unit="s")
        self.inputs, outputs = weights.shape
        span = synapse.high - synapse.low
        self.array = DeviceWeights(
            (outputs, self.inputs), synapse, kind="single", scale=1 / span, reference=synapse.low, seed=generator
        )
        self.register_buffer("stuck", torch.zeros(outputs, self.inputs, dtype=torch.bool))
        if stuck is not None:
            self.stuck.copy_(stuck.T)
        self._prepare(weights.T.float(), generator)
        self.register_buffer("pulsed", torch.zeros(2, dtype=torch.int64))  # SET and RESET, without the initial writes
        weights.copy_(self.read(weights))

    def _prepare(self, target: Tensor, generator: torch.Generator) -> None:
        """Set the devices to their initial weights: those of a model by its method `at`, all others by writing."""
        synapse: Any = self.array.synapse
        if not hasattr(synapse, "at"):
            target = torch.where(self.stuck, self.array.read(noisy=False), target)
            self.array.write(target, WriteVerify(max(WRITE_TOLERANCE, self.array.step), MAX_WRITE_PULSES))
            return
        conductance = synapse.low + target.contiguous() * (synapse.high - synapse.low)
        self.array.replace_state(synapse.at(conductance[None], generator=generator))

    @property
    def low(self) -> float:
        """Smallest weight as a share of the largest, as the currents of the devices are: their ratio of conductances."""
        synapse = self.array.synapse
        return max(float(synapse.low), 0.0) / float(synapse.high) if synapse.unit == "S" else 0.0

    @torch.no_grad()
    def read(self, stuck: Tensor) -> Tensor:
        """Return the weights 0 .. 1 as read from the devices, float64, shape (inputs, outputs).

        Args:
            stuck: Weights from which those of stuck devices are taken, of the same shape.
        """
        return torch.where(self.stuck.T, stuck, self.array.read().T.double().clamp(0, 1)).contiguous()

    @torch.no_grad()
    def program(self, neuron: int, potential: Tensor, weights: Tensor) -> None:
        """Apply the pulses of a neuron that fired, and update its weights.

        Args:
            neuron: Index of the output neuron.
            potential: V of the input neurons, shape (inputs,).
            weights: Changed in place: the devices that got a pulse are read again.
        """
        rises = potential < 0
        up, down = self.voltages
        amplitude = potential.abs() * torch.where(rises, up, down)
        chosen = ((amplitude >= self.least) & (amplitude > 0) & ~self.stuck[neuron]).nonzero()[:, 0]
        if not len(chosen):
            return
        counts = torch.where(rises[chosen], 1.0, -1.0)
        indices = neuron * self.inputs + chosen
        self.array.pulse(counts, indices=indices, voltage=amplitude[chosen].float(), width=self.width)
        risen = int((counts > 0).sum())
        self.pulsed += torch.tensor([risen, len(chosen) - risen])
        weights[chosen, neuron] = self.array.read(indices=indices).double().clamp(0, 1)

    def footprint(self) -> dict[str, float]:
        """Return the cost of the devices: their number, pulses in learning, and energy [J] of all pulses where it is known."""
        figures = {
            "devices": float(self.array.wear.numel()),
            "SET pulses": float(self.pulsed[0]),
            "RESET pulses": float(self.pulsed[1]),
            "pulses of initial writes": float(self.array.pulses - int(self.pulsed.sum())),
            "most pulses of a device": float(self.array.wear.max()),
        }
        return figures if self.array.energy is None else {**figures, "energy [J]": float(self.array.energy)}


def _amplitudes(synapse: Any) -> tuple[tuple[float, float], tuple[float, float] | None]:
    """Return the amplitudes [V] of SET and RESET at |V| = 1, and the range of amplitudes if the model has one."""
    usual, bounds = getattr(synapse, "voltage", None), getattr(synapse, "voltage_range", None)
    if usual is None and bounds is None:
        raise ConfigError(
            f"{type(synapse).__name__} does not depend on the voltage of its pulses, and the membrane potential is the "
            "programming voltage of this rule; use a device with one, such as tio2 or the zoo's tio2-nili or vteam, or one of "
            "the switching laws."
        )
    return ((bounds[1], bounds[1]), bounds) if bounds is not None else (_pair(usual), None)


def _pair(voltages: Any) -> tuple[float, float]:
    if not isinstance(voltages, Sequence) or len(voltages) != 2:
        raise ConfigError(f"voltages is {voltages!r}; expected two amplitudes [V] at |V| = 1, of SET and of RESET.")
    up, down = (number("an amplitude in voltages", each, 0, above=True, unit="V") for each in voltages)
    return up, down
