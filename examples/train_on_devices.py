"""Train a network whose binary weights are pairs of resistive memories, programmed by pulses."""

import torch
from torch import nn

from spinode.datasets import WeakReset
from spinode.surrogates import DeviceLinear, DeviceOptimizer

torch.manual_seed(0)
torch.set_num_threads(1)  # the network is small: more threads would be slower
generator = torch.Generator().manual_seed(0)

# Two classes that a plane cannot separate: points in an inner and in an outer ring.
radius = torch.rand(1000, generator=generator) + torch.arange(1000) % 2
angle = torch.rand(1000, generator=generator) * 2 * torch.pi
points = torch.stack((radius * angle.cos(), radius * angle.sin()), 1)
points, label = torch.cat((points, points**2), 1), torch.arange(1000) % 2
train, test = slice(0, 700), slice(700, 1000)

# An HfOx memory that responds to weak RESET pulses only. A weight is the sign of the difference of two noisy devices.
synapse = WeakReset()
model = nn.Sequential(
    DeviceLinear(4, 64, synapse, kind="sign", seed=generator),
    nn.BatchNorm1d(64),
    nn.Hardtanh(),
    DeviceLinear(64, 2, synapse, kind="sign", seed=generator),
    nn.BatchNorm1d(2),
)

# The learning rate of weights in devices is in pulses; batch norms and biases are trained as usual.
layers = [module for module in model if isinstance(module, DeviceLinear)]
device_weights = [layer.weight for layer in layers]
others = [parameter for parameter in model.parameters() if all(parameter is not weight for weight in device_weights)]
adam = torch.optim.Adam([{"params": device_weights, "lr": 5.0}, {"params": others, "lr": 0.01}])
optimizer = DeviceOptimizer(adam, model)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=40, gamma=0.5)

for _ in range(120):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(points[train]), label[train]).backward()
    optimizer.step()
    scheduler.step()

model.eval()
accuracy = (model(points[test]).argmax(1) == label[test]).float().mean().item()
pulses_per_device = sum(layer.weights.pulses for layer in layers) / sum(layer.weights.wear.numel() for layer in layers)
print(f"accuracy {accuracy:.3f} after {pulses_per_device:.0f} pulses per device")
assert accuracy > 0.9
