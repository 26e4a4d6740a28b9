"""Networks for `benchmarks/synapses.py`: MNIST, a binarised network on pairs of memory devices, and its training."""

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
    """Read the images and labels of training and test; images normalised, shape (images, 784)."""
    with np.load(shared / "data/images/mnist.npz") as stored:
        arrays = [stored[name] for name in ("x_train", "y_train", "x_test", "y_test")]
    images = [torch.from_numpy(arrays[i].reshape(len(arrays[i]), 784).astype(np.float32) / 255) for i in (0, 2)]
    images = [(each - 0.1307) / 0.3081 for each in images]
    return images[0], torch.from_numpy(arrays[1].astype(np.int64)), images[1], torch.from_numpy(arrays[3].astype(np.int64))


def binary_network(synapse: Synapse, seed: int, hidden: int = 512) -> nn.Sequential:
    """Build 784 - hidden - 10 with weights sign(G+ - G-), batch normalisation and hard tanh, as Majumdar et al. (2021).

    Every device first gets up to 20 random pulses: without device-to-device differences all weights would start equal.
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
    """Build the same network in floating point."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(784, hidden, bias=False), nn.BatchNorm1d(hidden), nn.Hardtanh(), nn.Linear(hidden, 10, bias=False),
        nn.BatchNorm1d(10),
    )  # fmt: skip


def optimizer_of(model: nn.Sequential, pulses: float = 100.0, other: float = 8e-3) -> DeviceOptimizer:
    """Return Adam whose step on a weight is a number of pulses, clamped at 14; norms have an ordinary learning rate."""
    handles = [layer.weight for layer in model if isinstance(layer, DeviceLinear)]
    others = [value for value in model.parameters() if all(value is not handle for handle in handles)]
    return DeviceOptimizer(torch.optim.Adam([{"params": handles, "lr": pulses}, {"params": others, "lr": other}]), model)


def epochs_of(
    model: nn.Module, optimizer: Any, data: tuple[Tensor, Tensor, Tensor, Tensor], *, epochs: int, seed: int, batch: int = 1000
) -> Iterator[float]:
    """Train, halving the learning rates every seven epochs, and yield the test accuracy after each epoch."""
    images, labels, test_images, test_labels = data
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.5)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        model.train()
        for batch_index in torch.randperm(len(images), generator=generator).split(batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch_index]), labels[batch_index]).backward()
            optimizer.step()
        scheduler.step()
        yield accuracy(model, test_images, test_labels)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of test images that are classified correctly."""
    model.eval()
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).double().mean())
