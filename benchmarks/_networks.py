"""Networks on memory devices, for `benchmarks/synapses.py`: a binarised one on pairs of devices, MNIST, and its training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spinode import Synapse
from spinode.surrogates import DeviceLinear, DeviceOptimizer, ProportionalProgrammer


def mnist(shared: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images and labels, then those of the test; images normalised, shape (images, 784)."""
    with np.load(shared / "data/images/mnist.npz") as stored:
        arrays = [stored[name] for name in ("x_train", "y_train", "x_test", "y_test")]
    images = [torch.from_numpy(arrays[i].reshape(len(arrays[i]), 784).astype(np.float32) / 255) for i in (0, 2)]
    images = [(each - 0.1307) / 0.3081 for each in images]
    return images[0], torch.from_numpy(arrays[1].astype(np.int64)), images[1], torch.from_numpy(arrays[3].astype(np.int64))


def binary_network(synapse: Synapse, seed: int, hidden: int = 512) -> nn.Sequential:
    """784 - hidden - 10 with weights sign(G+ - G-), batch normalisation and hard tanh, as Majumdar et al. (2021).

    Every device first gets up to 20 pulses at random: without device-to-device differences all weights would begin alike.
    """
    generator = torch.Generator().manual_seed(seed)
    programmer = ProportionalProgrammer(pulses_per_unit=1.0, max_pulses=14)
    layers: list[DeviceLinear] = []
    for inputs, outputs in ((784, hidden), (hidden, 10)):
        layer = DeviceLinear(
            inputs, outputs, synapse, kind="sign", bias=False, programmer=programmer, initial="devices", seed=generator
        )
        layer.weights.pulse(torch.randint(-20, 21, layer.weight.shape, generator=generator).float())
        layer.sync()
        layers.append(layer)
    return nn.Sequential(layers[0], nn.BatchNorm1d(hidden), nn.Hardtanh(), layers[1], nn.BatchNorm1d(10))


def float_network(seed: int, hidden: int = 512) -> nn.Sequential:
    """The same in floating point."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(784, hidden, bias=False), nn.BatchNorm1d(hidden), nn.Hardtanh(), nn.Linear(hidden, 10, bias=False),
        nn.BatchNorm1d(10),
    )  # fmt: skip


def optimizer_of(model: nn.Sequential, pulses: float = 100.0, other: float = 8e-3) -> DeviceOptimizer:
    """Adam whose step on a weight is a number of pulses, clamped at 14; norms at an ordinary rate."""
    handles = [layer.weight for layer in model if isinstance(layer, DeviceLinear)]
    rest = [value for value in model.parameters() if all(value is not handle for handle in handles)]
    return DeviceOptimizer(torch.optim.Adam([{"params": handles, "lr": pulses}, {"params": rest, "lr": other}]), model)


def epochs_of(
    model: nn.Module, optimizer: Any, data: tuple[Tensor, Tensor, Tensor, Tensor], *, epochs: int, seed: int, batch: int = 1000
) -> Iterator[float]:
    """Train, halving the rates every seven epochs; yields the test accuracy after each epoch."""
    images, labels, test, truth = data
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.5)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        model.train()
        for chosen in torch.randperm(len(images), generator=generator).split(batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            optimizer.step()
        scheduler.step()
        yield accuracy(model, test, truth)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of test images that are recognised."""
    model.eval()
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).double().mean())
