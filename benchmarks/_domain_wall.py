"""The part of `benchmarks/synapses.py` on multi-state domain walls: trained in situ, and trained ex situ and then written."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from _networks import accuracy, epochs_of, mnist
from torch import Tensor, nn
from torch.nn import functional

from spinode.datasets import DomainWall

#: Neurons of the five layers.
SIZES = (784, 256, 128, 64, 10)
STATES = (2, 3, 5)
#: Standard deviation of the wall position, in track lengths.
SIGMAS = (0.0, 0.05, 0.1, 0.2)
EPOCHS = 5
BATCH = 500
#: Learning rate of Adam: the best of 1e-3 .. 5e-2 in situ, on the last 10 000 training images.
RATE = 1e-2
#: Maximum number of writes of a device when a trained network is written.
MAX_WRITES = 20
IMAGES = 60_000


class WallLinear(nn.Module):
    """y = x W^T, W the conductances (-1 .. 1) of domain walls, which follow precise hidden weights; trained in situ.

    The loss is that of the actual wall positions, its gradient goes to the hidden weights (straight through), and `update`
    writes the walls that do not represent their weight: at another level, or further from it than the margin.

    Attributes:
        hidden: The precise weights, in digital memory.
        state: The devices.
        writes: Number of writes of all devices.
        rewrites: Number of those writes that corrected a wall beyond the margin, at the right level.
    """

    def __init__(self, inputs: int, outputs: int, device: DomainWall, generator: torch.Generator) -> None:
        super().__init__()
        self.device, self.generator = device, generator
        start = torch.empty(outputs, inputs).uniform_(device.low, device.high, generator=generator)
        self.hidden = nn.Parameter(start)
        self.state = device.initial(start.shape, generator=generator)
        self.writes = self.rewrites = 0

    def weights(self) -> Tensor:
        """Return the conductances of the walls, without a gradient."""
        return self.device.read(self.state)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the layer, shape (..., outputs)."""
        return functional.linear(x, self.hidden + (self.weights() - self.hidden).detach())

    @torch.no_grad()
    def clip(self) -> None:
        """Clip the hidden weights to the range of the device."""
        self.hidden.clamp_(self.device.low, self.device.high)

    @torch.no_grad()
    def update(self) -> int:
        """Write the walls that do not represent their weight, and return their number."""
        before = self.state["level"]
        self.state, where = self.device.update(self.state, self.hidden, generator=self.generator)
        written = int(where.sum())
        self.writes += written
        self.rewrites += written - int((self.state["level"] != before).sum())
        return written

    def beyond_margin(self) -> int:
        """Return the number of walls that do not represent their weight."""
        return int(self.device.needs_write(self.state, self.hidden.detach()).sum())


class Precursor(WallLinear):
    """The same layer trained ex situ, with a model of the device: levels with random placement errors within the margin.

    The errors are sampled in each pass from a normal distribution truncated at the margin, which is the distribution of walls
    that were written until they were within it. After `deploy` the layer computes with its walls.
    """

    def __init__(self, inputs: int, outputs: int, device: DomainWall, generator: torch.Generator) -> None:
        super().__init__(inputs, outputs, device, generator)
        self.deployed = False

    @torch.no_grad()
    def weights(self) -> Tensor:
        """Return the weights of the model, with errors in training only, or those of the walls after `deploy`."""
        if self.deployed:
            return super().weights()
        exact = self.device.level_conductance(self.device.quantise(self.hidden))
        return exact.add_(self._errors()) if self.training else exact

    def _errors(self) -> Tensor | float:
        sigma, margin = self.device.sigma, self.device.margin
        assert isinstance(sigma, float)
        assert margin is not None
        if sigma == 0:
            return 0.0
        span = self.device.high - self.device.low
        # Kept below 1, where the inverse is infinite in single precision: this truncates at five standard deviations.
        share = min(math.erf(margin / (sigma * 2**0.5)), 1 - 2**-23)
        uniform = torch.empty_like(self.hidden).uniform_(-share, share, generator=self.generator)
        return uniform.erfinv_().mul_(2**0.5 * sigma * span)

    def deploy(self, max_writes: int = MAX_WRITES) -> None:
        """Write the walls until each represents its weight, at most `max_writes` times."""
        self.deployed = True
        for _ in range(max_writes):
            if not self.update():
                break


def network(kind: type[WallLinear], device: DomainWall, seed: int) -> nn.Sequential:
    """Build the network on walls, with batch normalisation and hard tanh."""
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(SIZES):
        layers += [kind(inputs, outputs, device, generator), nn.BatchNorm1d(outputs), nn.Hardtanh()]
    return nn.Sequential(*layers[:-1])


def wall_layers(model: nn.Sequential) -> list[WallLinear]:
    """Return the layers on walls."""
    return [layer for layer in model if isinstance(layer, WallLinear)]


def train(model: nn.Sequential, data: Any, *, epochs: int, seed: int, rate: float = RATE) -> float:
    """Train the hidden weights with Adam, writing the walls of in-situ layers after each step; return the test accuracy."""
    layers = wall_layers(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)

    def write_walls(*_: Any) -> None:
        for layer in layers:
            layer.clip()
            if not isinstance(layer, Precursor):
                layer.update()

    write_walls()
    optimizer.register_step_post_hook(write_walls)
    return list(epochs_of(model, optimizer, data, epochs=epochs, seed=seed, batch=BATCH))[-1]


def domain_wall(shared: Path, seeds: list[int], epochs: int = EPOCHS) -> Iterator[dict[str, Any]]:
    """Train MNIST on domain walls of 2, 3 and 5 states, by the noise of their position: in situ or ex situ.

    Protocol as far as the abstract of Misba et al. (arXiv 2111.07284) gives it. In-situ: a precise memory accumulates the
    updates, its weights are quantised, and a wall is written if its level is another one, or if it is beyond the tolerance
    margin; every write has a new random error. Ex-situ: a precursor is trained on the levels with errors within the
    same margin, then its weights are written, each wall until it is within the margin, at most 20 times.

    Choices of ours, since the published ones were not accessible: five layers of 784, 256, 128, 64 and 10 neurons ("5-layer
    DNN" is published), a margin of half the spacing of the levels, deviations of 0 .. 0.2 of the track, equal at all levels,
    Adam at 1e-2 (chosen on training images), batch 500, 5 epochs in place of 10. The energy is 3 fJ per write ("few fJ" of the
    device paper); published are 13 pJ per inference for ten epochs of training, sizes and batch unknown. `float` is the same
    network with the hidden weights themselves, clipped to the same range.
    """
    data = mnist(shared)
    runs: dict[tuple[str, int | None, float | None], list[float]] = {}
    for seed in seeds:
        torch.manual_seed(seed)
        score = train(network(Precise, DomainWall(low=-1.0), seed), data, epochs=epochs, seed=seed)
        runs.setdefault(("float", None, None), []).append(score)
        yield {"part": "domain-wall", "mode": "float", "seed": seed, "epochs": epochs, "accuracy": score}
    for states in STATES:
        for sigma in SIGMAS:
            device = DomainWall(states=states, sigma=sigma, margin=0.5 / (states - 1), low=-1.0, high=1.0)
            for mode, run in (("in-situ", in_situ), ("ex-situ", ex_situ)):
                for seed in seeds:
                    torch.manual_seed(seed)
                    row = run(device, data, epochs, seed)
                    runs.setdefault((mode, states, sigma), []).append(row["accuracy"])
                    yield {
                        "part": "domain-wall", "mode": mode, "states": states, "sigma": sigma, "margin": device.margin,
                        "seed": seed, "epochs": epochs, **row,
                    }  # fmt: skip
    for (mode, states, sigma), scores in runs.items():
        yield {
            "part": "domain-wall", "mode": mode, "states": states, "sigma": sigma, "seeds": seeds,
            "mean": statistics.mean(scores), "sd": statistics.stdev(scores) if len(scores) > 1 else None,
        }  # fmt: skip


class Precise(Precursor):
    """Layer with the hidden weights themselves, the reference of quantised ones."""

    def weights(self) -> Tensor:
        """Return the hidden weights."""
        return self.hidden.detach()


def in_situ(device: DomainWall, data: Any, epochs: int, seed: int) -> dict[str, Any]:
    """Train in situ; the energy is that of the complete training."""
    model = network(WallLinear, device, seed)
    score = train(model, data, epochs=epochs, seed=seed)
    return {"accuracy": score, **costs(model), "energy_J_per_image": costs(model)["energy_J"] / (IMAGES * epochs)}


def ex_situ(device: DomainWall, data: Any, epochs: int, seed: int) -> dict[str, Any]:
    """Train a precursor and write it; `precursor` is its accuracy without errors."""
    model = network(Precursor, device, seed)
    precursor = train(model, data, epochs=epochs, seed=seed)
    for layer in wall_layers(model):
        assert isinstance(layer, Precursor)
        layer.deploy()
    return {"accuracy": accuracy(model, data[2], data[3]), "precursor": precursor, **costs(model)}


def costs(model: nn.Sequential) -> dict[str, Any]:
    """Return the writes, their energy, and the share of devices beyond the margin."""
    layers = wall_layers(model)
    devices = sum(layer.hidden.numel() for layer in layers)
    writes = sum(layer.writes for layer in layers)
    return {
        "devices": devices, "writes": writes, "writes_per_device": writes / devices,
        "rewrites_per_device": sum(layer.rewrites for layer in layers) / devices,
        "beyond_margin": sum(layer.beyond_margin() for layer in layers) / devices,
        "energy_J": writes * layers[0].device.write_energy,
    }  # fmt: skip
