"""Run a reservoir on the surrogate of a noisy oscillator, and compare its memory with that of the oscillator itself."""

import torch

from spinode.datasets import SpinTorqueOscillator, capacity, delayed
from spinode.surrogates import Feedback, Reservoir, RidgeStatistics, fit_stochastic

torch.manual_seed(0)
device = SpinTorqueOscillator(interval=100e-9)


def generator(seed):
    """Return a seeded source of randomness."""
    return torch.Generator().manual_seed(seed)


# Half a millisecond of the oscillator under random currents stands in for a measurement.
current = 5.5e-3 + 2e-3 * torch.rand(2_500, generator=generator(0), dtype=torch.float64).repeat_interleave(2)
surrogate = fit_stochastic(device.trace(current, generator=generator(1)), order=1, hidden=(12,))

u = torch.rand(700, generator=generator(2), dtype=torch.float64)
targets = delayed(u, 6)


def memory(model, noise):
    """Return the short-term memory capacity of 12 virtual nodes with delayed feedback."""
    feedback = Feedback(delay=13, gain=0.1, rest=7e-3)  # delay in nodes, gain in A/V, rest in V
    reservoir = Reservoir(model, nodes=12, output="V", scale=0.4e-3, offset=6.5e-3, feedback=feedback, seed=0)
    with torch.no_grad():
        states = reservoir(u, generator=generator(3) if noise else None)
    statistics = RidgeStatistics(reservoir.width, targets=6)
    statistics.add(states[50:500], targets[50:500])
    return float(capacity(statistics.solve()(states[500:]), targets[500:]).sum())


device_memory, surrogate_memory = memory(device, noise=False), memory(surrogate, noise=False)
noisy_memory = memory(surrogate, noise=True)
print(f"memory without noise: oscillator {device_memory:.2f}, surrogate {surrogate_memory:.2f}")
print(f"memory with noise: surrogate {noisy_memory:.2f}")
assert abs(device_memory - surrogate_memory) < 0.5
assert noisy_memory < surrogate_memory
