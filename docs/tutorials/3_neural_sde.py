"""
3. A noisy oscillator as a neural SDE
=====================================

Thermal noise moves the state of an oscillator. A neural SDE learns the motion and the noise.
"""

# %%
# A recording
# -----------
# A quarter of a millisecond of a simulated spin-torque oscillator under random currents; ``read_trace`` reads your own file.
import torch
from matplotlib.figure import Figure

import spinode
from spinode.datasets import SpinTorqueOscillator
from spinode.surrogates import fit_stochastic

device = SpinTorqueOscillator(interval=100e-9)


def generator(seed):
    """Return a seeded source of randomness."""
    return torch.Generator().manual_seed(seed)


def current(samples, seed):
    """Return random currents [A], each held for two samples."""
    return 5.5e-3 + 2e-3 * torch.rand(samples // 2, generator=generator(seed), dtype=torch.float64).repeat_interleave(2)


surrogate = fit_stochastic(device.trace(current(2500, 0), generator=generator(1)), order=1, hidden=(12,))
print(surrogate)

# %%
# Another drive: mean and scatter of many runs
# --------------------------------------------
drive = current(60, 2)


def runs(model, copies=200):
    """Return outputs of many runs under one drive, shape (copies, time)."""
    batch = drive[:, None].expand(copies, -1, 1)
    with torch.no_grad():
        start = model.initial_state(batch[:, 0], generator=generator(3))
        return model.step_block(start, batch, generator=generator(4)).output[..., 0]


truth, model = runs(device), runs(surrogate)
for name, each in (("device", truth), ("surrogate", model)):
    print(f"{name:10} mean {1e3 * float(each.mean()):.3f} mV, scatter between runs {1e3 * float(each.std(0).mean()):.3f} mV")

# %%
# A file to keep, and the picture: the middle 90 % of the runs
surrogate.save("oscillator.safetensors")
assert spinode.load("oscillator.safetensors").outputs == surrogate.outputs
figure = Figure(figsize=(8, 3.4), layout="constrained")
ax = figure.subplots()
levels = torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)
time = 1e6 * device.interval * torch.arange(len(drive))
for name, each, color in (("device", truth, "#1a1a1a"), ("neural SDE", model, "#0072b2")):
    low, middle, high = 1e3 * torch.quantile(each, levels, dim=0)
    ax.fill_between(time, low, high, color=color, alpha=0.2, linewidth=0)
    ax.plot(time, middle, color=color, label=name)
ax.set_xlabel("time (µs)")
ax.set_ylabel("output (mV)")
ax.legend(frameon=False)
figure.savefig("oscillator.png", dpi=100)
