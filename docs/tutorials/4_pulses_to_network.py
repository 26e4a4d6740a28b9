"""
4. From a pulse file to a network trained on the device
=======================================================

Reads after programming pulses become a model of the device, its copies become the weights of a network, and the same network on
ideal weights says what the imperfections cost.
"""

# %%
# A pulse file
# ------------
# Reads after 60 RESET and 60 SET pulses of 12 simulated devices, written as a laboratory would save them.
import torch
from matplotlib.figure import Figure

from spinode.datasets import SoftBounds, made_digits, pulse_traces, read_trace, write_pulses
from spinode.surrogates import DeviceLinear, DeviceOptimizer, IdealSynapse, fit_synapse
from spinode.surrogates.synapses.plots import plot_drift

pulses = torch.cat([torch.ones(60), -torch.ones(60)])
device = SoftBounds()
write_pulses("pulses.csv", pulse_traces(device, pulses, devices=12, generator=torch.Generator().manual_seed(0)))

# %%
# The model, with what it knows and what it does not
# --------------------------------------------------
traces = read_trace("pulses.csv", pulses="long")
synapse = fit_synapse(traces, rounds=2)
print(synapse.describe())
synapse.save("device.safetensors")

# %%
# One layer of 10 classes, three kinds of weight
# ----------------------------------------------
images = made_digits(train=400, test=200)
inputs, labels = images.train_images.flatten(1).float() / 255, images.train_labels
test_inputs, test_labels = images.test_images.flatten(1).float() / 255, images.test_labels


def accuracy(kind, epochs=4):
    """Train on one kind of device, and return the accuracy after each epoch."""
    layer = DeviceLinear(inputs.shape[1], 10, kind, kind="pair", seed=0)
    optimizer = DeviceOptimizer(torch.optim.Adam(layer.parameters(), lr=3e-3), layer)
    found = []
    for _ in range(epochs):
        for start in range(0, len(inputs), 20):
            optimizer.zero_grad()
            part = slice(start, start + 20)
            torch.nn.functional.cross_entropy(layer(inputs[part]), labels[part]).backward()
            optimizer.step()
        with torch.no_grad():
            found.append(float((layer(test_inputs).argmax(1) == test_labels).float().mean()))
    return found


curves = {name: accuracy(each) for name, each in {"ideal": IdealSynapse(), "device": device, "fitted model": synapse}.items()}
for name, values in curves.items():
    print(f"{name:14} accuracy {values[-1]:.2f}")

# %%
# ``spinode sensitivity`` measures which imperfection costs most. The picture: the device, and the network on it.
figure = Figure(figsize=(9, 3.4), layout="constrained")
left, right = figure.subplots(1, 2)
plot_drift(synapse, ax=left)
for name, values in curves.items():
    right.plot(range(1, len(values) + 1), values, "o-", label=name)
right.set_xlabel("epoch")
right.set_ylabel("accuracy on unseen digits")
right.legend(frameon=False)
figure.savefig("network.png", dpi=100)
