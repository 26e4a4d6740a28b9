"""Find the drive that brings a device to a target output, by gradients through its surrogate."""

import torch

import spinode
from spinode.datasets import read_trace, sample_path

trace = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")
quick = {"embedding": "derivative", "order": 2, "ridge": 3e-7, "restarts": 1, "windows": (1, 8, 40), "iterations": 10}
surrogate = spinode.fit(trace.between(0, 20e-9), **quick)

mean, deviation = trace.drive["Ku"].mean(), trace.drive["Ku"].std()
resting_state = surrogate.resting_state(torch.tensor([mean]))
mz_at_rest = float(surrogate.simulate(torch.full((2, 1), mean), state=resting_state)[0, 0].detach())
target = mz_at_rest + 0.03  # at the end of 1 ns

# The unknown: 100 samples of the drive, in standard deviations of the recorded drive.
waveform = torch.zeros(100, 1, dtype=torch.float64, requires_grad=True)
optimizer = torch.optim.Adam([waveform], lr=0.05)
for _ in range(30):
    optimizer.zero_grad()
    final_mz = surrogate.simulate(mean + 0.8 * deviation * torch.tanh(waveform), state=resting_state)[-1, 0]
    (final_mz - target).square().backward()
    optimizer.step()

print(f"mz at rest {mz_at_rest:.3f}, target {target:.3f}, reached {final_mz.item():.3f}")
assert abs(final_mz.item() - target) < 0.01
