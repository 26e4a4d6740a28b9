"""A reservoir on the surrogate of a noisy oscillator: its memory, with and without the noise, beside the oscillator's own."""

import torch

from spinode.datasets import SpinTorqueOscillator, capacity, delayed
from spinode.surrogates import Feedback, Reservoir, RidgeStatistics, fit_stochastic

torch.manual_seed(0)
device = SpinTorqueOscillator(interval=100e-9)


def generator(seed):
    """A source of randomness."""
    return torch.Generator().manual_seed(seed)


# Half a millisecond of the oscillator under random currents stands for a measurement.
current = 5.5e-3 + 2e-3 * torch.rand(2_500, generator=generator(0), dtype=torch.float64).repeat_interleave(2)
surrogate = fit_stochastic(device.trace(current, generator=generator(1)), order=1, hidden=(12,))

u = torch.rand(700, generator=generator(2), dtype=torch.float64)
targets = delayed(u, 6)


def memory(model, noise):
    """Short-term memory of 12 virtual nodes with a delayed feedback."""
    feedback = Feedback(delay=13, gain=0.1, rest=7e-3)  # in nodes; amperes a volt, around 7 mV
    reservoir = Reservoir(model, nodes=12, output="V", scale=0.5e-3, offset=6.5e-3, feedback=feedback, seed=0)
    with torch.no_grad():
        states = reservoir(u, generator=generator(3) if noise else None)
    sums = RidgeStatistics(reservoir.width, targets=6)
    sums.add(states[50:500], targets[50:500])
    return float(capacity(sums.solve()(states[500:]), targets[500:]).sum())


of_device, of_surrogate, noisy = memory(device, False), memory(surrogate, False), memory(surrogate, True)
print(f"memory of the mean response: oscillator {of_device:.2f}, surrogate {of_surrogate:.2f}; with noise {noisy:.2f}")
assert abs(of_device - of_surrogate) < 0.5
assert noisy < of_surrogate
