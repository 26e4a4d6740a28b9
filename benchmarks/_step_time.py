"""The part of `benchmarks/synapses.py` that times training steps with binary weights of device pairs and in floating point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from _measure import machine, spread, timed
from _networks import binary_network, float_network, mnist, optimizer_of
from torch import Tensor, nn

from spinode import Synapse, surrogates
from spinode.datasets import WeakReset

BATCH = 1000
SURROGATE = "hfox-weak-reset"


def step_times(shared: Path, repetitions: int = 41) -> Iterator[dict[str, Any]]:
    """Time a training step of 784-512-10, batch 1000, Adam, one thread, in floating point and on devices by imperfection.

    All networks step in turn in one process, so that load on the machine affects all; the first five steps of each are not
    counted. Processor time of the process; ratios are to the float step of the same round. Images are those of MNIST where
    available, otherwise random numbers, which cost the same.
    """
    steps = {"float": _step(float_network(0), shared)}
    steps |= {f"weak reset, {name}": _step(binary_network(synapse, 0), shared) for name, synapse in _physical().items()}
    for name, synapse in _fitted().items():
        if synapse is None:
            yield {"part": "step time", "network": name, "skipped": f"no surrogate {SURROGATE!r} is shipped here"}
        else:
            steps[name] = _step(binary_network(synapse, 0), shared)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(5 + repetitions):
        for name, step in steps.items():
            cpu = timed(step, 0.0)[0][0]
            if turn >= 5:
                times[name].append(cpu)
    for name, values in times.items():
        ratios = [seconds / base for seconds, base in zip(values, times["float"], strict=True)]
        yield {"part": "step time", "network": name, "cpu": spread(values), "ratio_to_float": spread(ratios)}
    yield {"part": "step time", "batch": BATCH, "threads": torch.get_num_threads(), "machine": machine()}


def _physical() -> dict[str, Synapse]:
    """Return weak RESET with no imperfection, with each alone, and with all."""
    names = ("d2d", "rtn", "pink")
    ablations = {"none": (), **{name: (name,) for name in names}, "all": names}
    return {label: WeakReset(**{name: name in chosen for name in names}) for label, chosen in ablations.items()}


def _fitted() -> dict[str, Synapse | None]:
    """Return the surrogate without and with its randomness; None if it is not shipped."""
    if SURROGATE not in surrogates.zoo.available():
        return {"surrogate": None}
    surrogate = surrogates.zoo.open_synapse(SURROGATE)
    return {"surrogate, none": surrogate.only(c2c=False, rtn=False, d2d=False), "surrogate, all": surrogate}


def _step(model: nn.Sequential, shared: Path) -> Callable[[], None]:
    """Return a function that takes one training step of a network, as `_networks.epochs_of` does."""
    images, labels = _images(shared)
    devices = any(isinstance(layer, surrogates.DeviceLayer) for layer in model)
    optimizer: Any = optimizer_of(model) if devices else torch.optim.Adam(model.parameters(), lr=8e-3)
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        chosen = torch.randint(len(images), (BATCH,), generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        optimizer.step()

    return step


_cache: list[tuple[Tensor, Tensor]] = []


def _images(shared: Path) -> tuple[Tensor, Tensor]:
    if not _cache:
        if (shared / "data/images/mnist.npz").exists():
            _cache.append(mnist(shared)[:2])
        else:
            generator = torch.Generator().manual_seed(0)
            images = torch.randn(10 * BATCH, 784, generator=generator)
            _cache.append((images, torch.randint(10, (len(images),), generator=generator)))
    return _cache[0]
