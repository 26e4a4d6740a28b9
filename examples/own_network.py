"""Train a convolutional network of your own, its weights in devices, on one class after another, by MESU and replay."""

from torch import nn

from spinode.datasets import ClassSplit, TiO2, made_digits
from spinode.surrogates import DeviceConv2d, DeviceLinear
from spinode.training import NetworkLearner, to_bayesian, train

stream = ClassSplit(made_digits(train=1000, test=200), groups=1, flatten=False)  # ten tasks, each of a single class
device = TiO2()
network = nn.Sequential(
    DeviceConv2d(1, 8, 5, device, stride=3, seed=0), nn.ReLU(), nn.Flatten(), DeviceLinear(8 * 8 * 8, 10, device, seed=1)
)
accuracy = {}
for plugins in ([], ["replay"]):
    # A copy with a sigma for each weight; the means stay in the devices, and the noise of their reads is part of the draws.
    learner = NetworkLearner(to_bayesian(network), stream, rule="mesu", plugins=plugins, seed=0)
    result = train(learner, stream, epochs=2, batch_size=20)
    accuracy[bool(plugins)] = result.accuracy.accuracy
    print(f"{learner.rule}: all classes {result.accuracy.accuracy:.2f}, {result.footprint['pulses']:.0f} pulses")
assert accuracy[True] > accuracy[False] + 0.2
