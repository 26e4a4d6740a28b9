"""The effect of one pulse and one read on the typical fresh device of a synapse, measured by simulation."""

from __future__ import annotations

import torch

from ..contracts.synapse import SET, Pulses, Synapse

_SAMPLES = 256  # devices from which a deviation is estimated


def pulse_step(synapse: Synapse, *, both: bool) -> float:
    """Return the change of conductance [unit] by one pulse: of the stronger polarity, or the sum over both polarities."""
    typical = synapse.initial((1,), dtype=torch.float64)
    sizes = []
    for polarity in synapse.polarities:
        pulse = Pulses(torch.full((1,), 1.0 if polarity == SET else -1.0))
        change = synapse.read(synapse.program(typical, pulse)) - synapse.read(typical)
        sizes.append(abs(float(change.detach())))
    return sum(sizes) if both else max(sizes)


def pulse_deviation(synapse: Synapse, *, pulses: bool, read: bool) -> float:
    """Return the standard deviation of the conductance [unit] after one pulse, over equal devices.

    Args:
        synapse: The device model.
        pulses: Include the noise of the pulse.
        read: Include the noise of the read.
    """
    generator = torch.Generator().manual_seed(0)
    typical = synapse.initial((_SAMPLES,), dtype=torch.float64)
    pulse = Pulses(torch.full((_SAMPLES,), 1.0 if SET in synapse.polarities else -1.0))
    with torch.no_grad():
        after = synapse.program(typical, pulse, generator=generator if pulses else None)
        conductance = synapse.read(after, generator=generator if read else None)
    return float(conductance.std())


def draws_in_read(synapse: Synapse) -> bool:
    """Return True if reads advance the generator that they are given; otherwise one read is valid for many."""
    generator = torch.Generator().manual_seed(0)
    devices = synapse.initial((2,), generator=generator)
    before = generator.get_state()
    synapse.read(devices, generator=generator)
    return not torch.equal(before, generator.get_state())
