"""Find the drive that brings a device to a wanted output: gradients run through the surrogate."""

import torch

import spinode
from spinode.datasets import read_trace, sample_path

trace = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")
surrogate = spinode.fit(trace.between(0, 20e-9), order=2, restarts=1, windows=(1, 8, 40), iterations=10)

mean, deviation = trace.drive["Ku"].mean(), trace.drive["Ku"].std()
rest = surrogate.resting_state(torch.tensor([mean]))
level = float(surrogate.simulate(torch.full((2, 1), mean), state=rest)[0, 0].detach())
wanted = level + 0.05  # of mz, at the end of 1 ns

shape = torch.zeros(100, 1, dtype=torch.float64, requires_grad=True)  # in deviations of the recorded drive
optimiser = torch.optim.Adam([shape], lr=0.05)
for _ in range(30):
    optimiser.zero_grad()
    reached = surrogate.simulate(mean + deviation * torch.tanh(shape), state=rest)[-1, 0]
    (reached - wanted).square().backward()
    optimiser.step()

print(f"mz at rest {level:.3f}, wanted {wanted:.3f}, reached {reached.item():.3f}")
assert abs(reached.item() - wanted) < 0.01
