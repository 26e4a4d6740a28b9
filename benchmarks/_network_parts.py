"""The parts of `benchmarks/synapses.py` that train networks: weak RESET on MNIST, and bit errors of MRAM."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from _networks import accuracy, binary_network, epochs_of, mnist, optimizer_of
from torch import Tensor, nn

from spinode import Synapse
from spinode.datasets import STTMRAM, WeakReset, flip_bits, overdrive_for, write_energy
from spinode.surrogates import DeviceLinear, zoo

EPOCHS = 20
#: Imperfections that each ablation keeps.
ABLATIONS = {"all": "c2c rtn d2d", "none": "", "c2c": "c2c", "rtn": "rtn", "d2d": "d2d"}


def device(kind: str, ablation: str) -> Synapse:
    """Return the physical model or the shipped surrogate of weak RESET, with the imperfections of an ablation."""
    imperfections = ABLATIONS[ablation].split()
    if kind == "physical":
        return WeakReset(pink="c2c" in imperfections, rtn="rtn" in imperfections, d2d="d2d" in imperfections)
    surrogate = zoo.open_synapse("hfox-weak-reset")
    return surrogate.only(c2c="c2c" in imperfections, rtn="rtn" in imperfections, d2d="d2d" in imperfections)


def weak_reset_networks(
    shared: Path, seeds: list[int], kinds: list[str], ablations: list[str], epochs: int = EPOCHS
) -> Iterator[dict[str, Any]]:
    """Train binarised 784-512-10 on MNIST, two weak-RESET devices per weight: physical model and surrogate, by imperfection.

    Protocol of Majumdar et al. (arXiv 2107.06064): Adam whose step of 100 is a number of weak RESETs clamped at 14, batch 1000,
    20 epochs, rates halved every 7; 512 hidden units in place of 3000. No accuracy was published in numbers.
    """
    data = mnist(shared)
    for ablation in ablations:
        for kind in kinds:
            scores = []
            for seed in seeds:
                torch.manual_seed(seed)
                model = binary_network(device(kind, ablation), seed)
                curve = list(epochs_of(model, optimizer_of(model), data, epochs=epochs, seed=seed))
                scores.append(curve[-1])
                layers = [layer for layer in model if isinstance(layer, DeviceLinear)]
                pulses = sum(layer.weights.pulses for layer in layers)
                yield {
                    "part": "weak-reset network", "synapse": kind, "ablation": ablation, "seed": seed, "epochs": epochs,
                    "accuracy": curve[-1], "best": max(curve), "first": curve[0],
                    "pulses_per_device": pulses / sum(layer.weights.wear.numel() for layer in layers),
                }  # fmt: skip
            yield {
                "part": "weak-reset network", "synapse": kind, "ablation": ablation, "seeds": seeds,
                "mean": statistics.mean(scores), "sd": statistics.stdev(scores) if len(scores) > 1 else None,
            }  # fmt: skip


def mram(shared: Path, seeds: list[int], epochs: int = EPOCHS) -> Iterator[dict[str, Any]]:
    """Flip bits of the stored binary weights of such a network, and compute the write energy of each error rate.

    Hirtzlin et al. (arXiv 1908.04085) find little effect up to an error rate of 1e-3; their table of accuracies was not
    accessible. Energies follow from the closed form of Butler et al. (2012) with the default cell of this package, at its
    default pulse width.
    """
    data = mnist(shared)
    cell = STTMRAM()
    for seed in seeds:
        torch.manual_seed(seed)
        model = binary_network(WeakReset(), seed)
        list(epochs_of(model, optimizer_of(model), data, epochs=epochs, seed=seed))
        frozen = _frozen(model)
        clean = accuracy(frozen, data[2], data[3])
        yield {"part": "st-mram", "seed": seed, "bit_error_rate": 0.0, "accuracy": clean}
        for rate in (1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1):
            scores = [_with_errors(frozen, rate, 100 * seed + draw, data[2], data[3]) for draw in range(5)]
            yield {
                "part": "st-mram", "seed": seed, "bit_error_rate": rate, "accuracy": statistics.mean(scores),
                "sd_of_draws": statistics.stdev(scores), "loss_in_points": 100 * (clean - statistics.mean(scores)),
                "write_energy_J": _energy(cell, rate),
            }  # fmt: skip


def _energy(cell: STTMRAM, rate: float) -> float:
    width = cell.width
    assert width is not None
    overdrive = overdrive_for(
        rate, width, stability=cell.stability, damping=cell.damping, anisotropy_field=cell.anisotropy_field
    )
    return float(write_energy(overdrive, width, critical_current=cell.critical_current, resistance=cell.r_p))


def _frozen(model: nn.Sequential) -> nn.Sequential:
    """Return the network with its binary weights as ordinary linear layers."""
    layers: list[nn.Module] = []
    for layer in model:
        if isinstance(layer, DeviceLinear):
            linear = nn.Linear(layer.in_features, layer.out_features, bias=False)
            with torch.no_grad():
                linear.weight.copy_(layer.weight)
            layer = linear
        layers.append(layer)
    return nn.Sequential(*layers)


def _with_errors(model: nn.Sequential, rate: float, seed: int, images: Tensor, labels: Tensor) -> float:
    """Return the accuracy with every stored bit flipped independently at this rate."""
    generator = torch.Generator().manual_seed(seed)
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    weights = [layer.weight.detach().clone() for layer in layers]
    with torch.no_grad():
        for layer in layers:
            layer.weight.copy_(flip_bits(layer.weight, rate, generator))
        score = accuracy(model, images, labels)
        for layer, weight in zip(layers, weights, strict=True):
            layer.weight.copy_(weight)
    return score
