"""The runs of `kills.py`: each takes a folder, leaves its checkpoints there, and returns a digest of its result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spinode import Trace, fit
from spinode.datasets import PermutedTasks, SpinTorqueOscillator, TiO2, made_digits, pulse_traces
from spinode.digest import content_digest
from spinode.surrogates import fit_stochastic, fit_synapse, zoo
from spinode.training import MetaplasticBNN, OnlineLearner, PlainLearner, StreamConfig, train

CHECKPOINT = "checkpoint"


def digest_of(module: torch.nn.Module) -> str:
    """Return a digest of the weights and buffers of a module."""
    tensors = {name: value for name, value in module.state_dict().items() if isinstance(value, torch.Tensor)}
    return content_digest("", tensors)


def run_fit(folder: Path) -> str:
    """Fit a driven resonator of 600 samples with the search of its structure."""
    rng = np.random.default_rng(0)
    drive = np.repeat(rng.uniform(-1, 1, 60), 10)
    state, velocity, output = 0.0, 0.0, []
    for value in drive:
        velocity += 0.2 * (value - state - 0.3 * state**3 - 0.6 * velocity)
        state += 0.2 * velocity
        output.append(state)
    trace = Trace(np.arange(600) * 1e-9, {"V": drive}, {"y": np.array(output)})
    return digest_of(fit(trace, effort="quick", checkpoint=folder / CHECKPOINT))


def run_synapse(folder: Path) -> str:
    """Fit a synapse to ten devices of 60 pulses."""
    generator = torch.Generator().manual_seed(0)
    pulses = torch.where(torch.rand(60, generator=generator) < 0.5, 1.0, -1.0)
    traces = pulse_traces(TiO2(write_noise=0.1, read_noise=0.01), pulses, devices=10, generator=generator)
    surrogate = fit_synapse(traces, hidden=4, rounds=3, iterations=10, checkpoint=folder / CHECKPOINT)
    return digest_of(surrogate)


def run_stochastic(folder: Path) -> str:
    """Fit drift and noise of an oscillator to 1500 samples."""
    generator = torch.Generator().manual_seed(0)
    trace = SpinTorqueOscillator().trace(6e-3 + 1e-3 * torch.rand(1500, generator=generator), generator=generator)
    surrogate = fit_stochastic(trace, order=2, hidden=(8,), iterations=60, checkpoint=folder / CHECKPOINT)
    return digest_of(surrogate)


def _train(folder: Path, make: Callable[..., Any], settings: dict[str, Any], **arguments: Any) -> str:
    stream = PermutedTasks(made_digits(train=400, test=50), tasks=3, seed=1)
    learner = make(stream, seed=0, **settings)
    config = StreamConfig(batch_size=arguments.pop("batch_size", 4), epochs=2)
    result = train(learner, stream, config, checkpoint=folder, checkpoint_every=0.0, **arguments)
    return content_digest("", {"accuracy": torch.as_tensor(result.accuracy.values)})


def run_batches(folder: Path) -> str:
    """Train a plain network in mini-batches."""
    return _train(folder, PlainLearner, {"rule": "adam", "hidden": [20], "rate": 0.005})


def run_online(folder: Path) -> str:
    """Train sample by sample."""
    return _train(folder, OnlineLearner, {"rule": "mesu", "hidden": [20]}, batch_size=1)


def run_devices(folder: Path) -> str:
    """Train a binary network whose weights are in devices."""
    settings = {"hidden": [10], "metaplasticity": 2.0, "synapse": zoo.open("tio2-nili")}
    return _train(folder, MetaplasticBNN, settings, batch_size=40)


def run_processes(folder: Path) -> str:
    """Train in mini-batches that two processes share."""
    return _train(folder, PlainLearner, {"rule": "sgd", "hidden": [20], "rate": 0.05}, batch_size=40, processes=2)


JOBS: dict[str, Callable[[Path], str]] = {
    "fit": run_fit,
    "fit-synapse": run_synapse,
    "fit-stochastic": run_stochastic,
    "train": run_batches,
    "train-online": run_online,
    "train-devices": run_devices,
    "train-processes": run_processes,
}
