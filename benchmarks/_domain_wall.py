"""The part of `benchmarks/synapses.py` on multi-state domain walls: trained in place, and trained elsewhere and written."""

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
#: Deviation of the placement, in track lengths.
SIGMAS = (0.0, 0.05, 0.1, 0.2)
EPOCHS = 5
BATCH = 500
#: Rate of Adam: the best of 1e-3 .. 5e-2 in place, on the last 10 000 training images.
RATE = 1e-2
#: Writes that one device gets at most when a trained network is written.
TRIES = 20
IMAGES = 60_000


class WallLinear(nn.Module):
    """y = x W^T, W the conductances (-1 .. 1) of domain walls, which follow precise hidden weights; trained in place.

    The loss is that of the walls as they lie, its gradient goes to the hidden weights (straight through), and `update`
    writes the walls that do not hold their weight: another level, or further from it than the margin.

    Attributes:
        hidden: The precise weights, kept elsewhere.
        state: The devices.
        writes: Writes of all devices so far.
        rewrites: Those of them that a wall beyond the margin took, its level being right.
    """

    def __init__(self, inputs: int, outputs: int, device: DomainWall, generator: torch.Generator) -> None:
        super().__init__()
        self.device, self.generator = device, generator
        start = torch.empty(outputs, inputs).uniform_(device.low, device.high, generator=generator)
        self.hidden = nn.Parameter(start)
        self.state = device.initial(start.shape, generator=generator)
        self.writes = self.rewrites = 0

    def weights(self) -> Tensor:
        """What the layer computes with, without a gradient."""
        return self.device.read(self.state)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, shape (..., outputs)."""
        return functional.linear(x, self.hidden + (self.weights() - self.hidden).detach())

    @torch.no_grad()
    def clip(self) -> None:
        """Hold the hidden weights in the range of the device, where a gradient still finds them."""
        self.hidden.clamp_(self.device.low, self.device.high)

    @torch.no_grad()
    def update(self) -> int:
        """Write the walls that do not hold their weight, and say how many that were."""
        before = self.state["level"]
        self.state, where = self.device.update(self.state, self.hidden, generator=self.generator)
        written = int(where.sum())
        self.writes += written
        self.rewrites += written - int((self.state["level"] != before).sum())
        return written

    def beyond(self) -> int:
        """How many walls do not hold their weight."""
        return int(self.device.needs_write(self.state, self.hidden.detach()).sum())


class Precursor(WallLinear):
    """The same trained elsewhere, by the characterised device: levels and placement errors within the margin, drawn anew.

    The errors of each pass are normal ones cut at the margin, which is how walls lie that were written until they were
    within it. `deploy` ends this: from then on the layer computes with its walls.
    """

    def __init__(self, inputs: int, outputs: int, device: DomainWall, generator: torch.Generator) -> None:
        super().__init__(inputs, outputs, device, generator)
        self.deployed = False

    @torch.no_grad()
    def weights(self) -> Tensor:
        """The weights of the model with errors in training and without them in evaluation, or those of the walls."""
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
        # Below one in single precision, where the inverse is infinite: then it ends at five deviations.
        share = min(math.erf(margin / (sigma * 2**0.5)), 1 - 2**-23)
        uniform = torch.empty_like(self.hidden).uniform_(-share, share, generator=self.generator)
        return uniform.erfinv_().mul_(2**0.5 * sigma * span)

    def deploy(self, tries: int = TRIES) -> None:
        """Write the walls until each holds its weight, at most so many times."""
        self.deployed = True
        for _ in range(tries):
            if not self.update():
                break


def network(kind: type[WallLinear], device: DomainWall, seed: int) -> nn.Sequential:
    """Five layers of neurons on walls, with batch normalisation and hard tanh."""
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(SIZES):
        layers += [kind(inputs, outputs, device, generator), nn.BatchNorm1d(outputs), nn.Hardtanh()]
    return nn.Sequential(*layers[:-1])


def walls(model: nn.Sequential) -> list[WallLinear]:
    """The layers on walls."""
    return [layer for layer in model if isinstance(layer, WallLinear)]


def train(model: nn.Sequential, data: Any, *, epochs: int, seed: int, rate: float = RATE) -> float:
    """Adam on the hidden weights, after each step of which the walls in place are written; test accuracy in the end."""
    layers = walls(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)

    def after(*_: Any) -> None:
        for layer in layers:
            layer.clip()
            if not isinstance(layer, Precursor):
                layer.update()

    after()
    optimizer.register_step_post_hook(after)
    return list(epochs_of(model, optimizer, data, epochs=epochs, seed=seed, batch=BATCH))[-1]


def domain_wall(shared: Path, seeds: list[int], epochs: int = EPOCHS) -> Iterator[dict[str, Any]]:
    """MNIST on domain walls of 2, 3 and 5 states, against the noise of their placement: trained in place, or elsewhere.

    Protocol as far as the abstract of Misba et al. (arXiv 2111.07284) gives it. In-situ: a precise memory accumulates the
    updates, its weights are quantised, and a wall is written where its level is another one, or where it lies beyond the
    tolerance margin; every write draws its error anew. Ex-situ: a precursor is trained on the levels with errors within the
    same margin, then its weights are written, each wall until it lies within the margin, at most 20 times.

    Ours, since the published ones were not reachable: five layers of 784, 256, 128, 64 and 10 neurons ("5-layer DNN" is
    published), a margin of half the spacing of the levels, deviations of 0 .. 0.2 of the track, equal at all levels, Adam at
    1e-2 (chosen on training images), batch 500, 5 epochs in place of 10. An energy is 3 fJ a write ("few fJ" of the device
    paper); published are 13 pJ an inference for ten epochs of training, sizes and batch unknown. `float` is the same network
    with the hidden weights themselves, clipped to the range of the device as these are.
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
    """The hidden weights themselves: what quantised ones are to be compared with."""

    def weights(self) -> Tensor:
        """The hidden weights."""
        return self.hidden.detach()


def in_situ(device: DomainWall, data: Any, epochs: int, seed: int) -> dict[str, Any]:
    """Train in place; the energy is that of the whole training."""
    model = network(WallLinear, device, seed)
    score = train(model, data, epochs=epochs, seed=seed)
    return {"accuracy": score, **costs(model), "energy_J_per_image": costs(model)["energy_J"] / (IMAGES * epochs)}


def ex_situ(device: DomainWall, data: Any, epochs: int, seed: int) -> dict[str, Any]:
    """Train a precursor and write it; `precursor` is its own accuracy without errors."""
    model = network(Precursor, device, seed)
    before = train(model, data, epochs=epochs, seed=seed)
    for layer in walls(model):
        assert isinstance(layer, Precursor)
        layer.deploy()
    return {"accuracy": accuracy(model, data[2], data[3]), "precursor": before, **costs(model)}


def costs(model: nn.Sequential) -> dict[str, Any]:
    """Writes and their energy, and the share of devices that do not hold their weight."""
    layers = walls(model)
    devices = sum(layer.hidden.numel() for layer in layers)
    writes = sum(layer.writes for layer in layers)
    return {
        "devices": devices, "writes": writes, "writes_per_device": writes / devices,
        "rewrites_per_device": sum(layer.rewrites for layer in layers) / devices,
        "beyond_margin": sum(layer.beyond() for layer in layers) / devices,
        "energy_J": writes * layers[0].device.write_energy,
    }  # fmt: skip
