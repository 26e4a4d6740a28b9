"""The pairs of runs of `right_experiment.py`: for each kind of run its first one, and what the second one does otherwise."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _own_code import OWN, own

from spinode import Trace, fit
from spinode.cli import main as command_line
from spinode.datasets import ContinuousTasks, PermutedTasks, TaskList, made_digits, pulse_traces
from spinode.errors import FitError
from spinode.surrogates import fit_stochastic, fit_synapse, zoo
from spinode.surrogates.testing import resonator
from spinode.training import BayesianLearner, MetaplasticBNN, OnlineLearner, PlainLearner, StreamConfig, train

CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Pair:
    """The second run of a pair.

    Attributes:
        change: What it does otherwise than the first one.
        run: Runs it in a folder that contains the checkpoint of the first one.
        names: Text that the refusal must contain; None if it must be accepted.
    """

    change: str
    run: Callable[[Path], Any]
    names: str | None


Kind = tuple[Callable[[Path], Any], list[Pair]]


def pairs_of(
    run: Callable[..., Any], refused: dict[str, tuple[dict[str, Any], str]], accepted: dict[str, dict[str, Any]]
) -> Kind:
    """Return a kind of run from the arguments by which its second runs differ from its first one."""
    pairs = [
        Pair(change, lambda folder, other=other: run(folder, **other), names) for change, (other, names) in refused.items()
    ]
    pairs += [Pair(change, lambda folder, other=other: run(folder, **other), None) for change, other in accepted.items()]
    return run, pairs


# --- train ----------------------------------------------------------------------------------------------------------------


def digits(pixel: float | None = None, label: bool = False) -> Any:
    """Return made digits, with a pixel or a label changed."""
    images = made_digits(train=60, test=30)
    changed = {"train_images": images.train_images.clone(), "train_labels": images.train_labels.clone()}
    if pixel is not None:
        changed["train_images"][7, 14, 14] += 1
    if label:
        changed["train_labels"][3] = (changed["train_labels"][3] + 1) % 10
    return replace(images, **changed)


PERMUTED = {"tasks": 2, "seed": 1}


def permuted(images: Any = None, **settings: Any) -> PermutedTasks:
    return PermutedTasks(digits() if images is None else images, **{**PERMUTED, **settings})


def run_train(
    folder: Path,
    *,
    learner: Callable[..., Any] = PlainLearner,
    stream: Any = None,
    settings: dict[str, Any] | None = None,
    defaults: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    **arguments: Any,
) -> Any:
    stream = permuted() if stream is None else stream
    own = learner(stream, **{**(defaults or {"rule": "sgd", "hidden": [4], "rate": 0.05}), **(settings or {})})
    return train(own, stream, StreamConfig(**{"batch_size": 20, **(config or {})}), checkpoint=folder, **arguments)


def train_pairs() -> Kind:
    refused = {
        "seed of the learner": ({"settings": {"seed": 1}}, "learner.seed is 0 in the checkpoint and 1 here"),
        "rule": ({"settings": {"rule": "adam"}}, "learner.rule is 'sgd' in the checkpoint and 'adam' here"),
        "rate": ({"settings": {"rate": 0.01}}, "rate is 0.05 in the checkpoint and 0.01 here"),
        "hidden units": ({"settings": {"hidden": [5]}}, "hidden.0 is 4 in the checkpoint and 5 here"),
        "another hidden layer": ({"settings": {"hidden": [4, 4]}}, "hidden"),
        "devices": ({"settings": {"synapse": zoo.open_synapse("soft-bounds")}}, "synapse"),
        "seed of the stream": ({"stream": permuted(seed=2)}, "stream.seed is 1 in the checkpoint and 2 here"),
        "scale of the stream": (
            {"stream": permuted(scale="standard")},
            "stream.scale is 'unit' in the checkpoint and 'standard' here",
        ),
        "first permutation": ({"stream": permuted(first_identity=True)}, "stream.first_identity"),
        "boundaries": ({"stream": permuted(boundaries=False)}, "stream.boundaries"),
        "number of tasks": ({"stream": permuted(tasks=3)}, "stream.tasks is 2 in the checkpoint and 3 here"),
        "one pixel": ({"stream": permuted(digits(pixel=1))}, "stream.images.train_images has other values"),
        "one label": ({"stream": permuted(digits(label=True))}, "stream.images.train_labels has other values"),
        "other images of the same shape": ({"stream": permuted(made_digits(5, train=60, test=30))}, "stream.images."),
        "another kind of stream": ({"stream": ContinuousTasks(permuted(), segments_per_task=1)}, "ContinuousTasks"),
        "seed of the run": ({"config": {"seed": 1}}, "config.seed is 0 in the checkpoint and 1 here"),
        "epochs": ({"config": {"epochs": 2}}, "config.epochs is 1 in the checkpoint and 2 here"),
        "batch size": ({"config": {"batch_size": 10}}, "config.batch_size is 20 in the checkpoint and 10 here"),
        "order of samples": ({"config": {"shuffle": False}}, "config.shuffle"),
        "tasks of the run": ({"config": {"tasks": 1}}, "config.tasks is 2 in the checkpoint and 1 here"),
        "tests": ({"config": {"evaluate": "all"}}, "config.evaluate"),
        "test batch": ({"config": {"test_batch": 7}}, "config.test_batch"),
        "out-of-distribution tests": ({"ood": permuted(seed=9)}, "ood"),
        "precision": ({"trainer": {"precision": "64-true"}}, "trainer.precision"),
    }
    more = {"stream": permuted(tasks=3)}
    accepted: dict[str, dict[str, Any]] = {
        "nothing": {},
        "images made again": {"stream": permuted(digits())},
        "how often it is saved": {"checkpoint_every": 1e9},
        "a callback that watches": {"trainer": {"log_every_n_steps": 5}},
    }
    kind = pairs_of(run_train, refused, accepted)
    continued = {
        "continued with more tasks": more,
        "continued with more epochs": {"config": {"epochs": 2}},
        "continued at another rate": {"settings": {"rate": 0.01}, **more},
        "continued with other batches": {"config": {"batch_size": 10}, **more},
    }
    kind[1].extend(
        Pair(change, lambda folder, other=other: run_train(folder, continue_from=folder, **other), None)
        for change, other in continued.items()
    )
    fixed: dict[str, tuple[dict[str, Any], str]] = {
        "continued with another seed": ({"settings": {"seed": 1}, **more}, "learner.seed"),
        "continued with other data": ({"stream": permuted(digits(pixel=1), tasks=3)}, "stream.images.train_images"),
        "continued at another scale": ({"stream": permuted(scale="standard", tasks=3)}, "task 0"),
        "continued with other layers": ({"settings": {"hidden": [5]}, **more}, "size mismatch for layers.0.weight"),
    }
    kind[1].extend(
        Pair(change, lambda folder, other=other: run_train(folder, continue_from=folder, **other), names)
        for change, (other, names) in fixed.items()
    )
    return kind


def learners_pairs() -> Kind:
    """Return runs of the other learners, each with a checkpoint in a folder of its own."""
    kinds: dict[str, tuple[dict[str, Any], dict[str, tuple[dict[str, Any], str]]]] = {
        "online": (
            {"learner": OnlineLearner, "defaults": {"rule": "mesu", "hidden": 4}, "config": {"batch_size": 1}},
            {"seed": ({"seed": 1}, "learner.seed"), "memory": ({"memory": 5.0}, "memory"), "rule": ({"rule": "bgd"}, "rule")},
        ),
        "bnn": (
            {"learner": MetaplasticBNN, "defaults": {"hidden": [4]}},
            {"metaplasticity": ({"metaplasticity": 3.0}, "metaplasticity"), "norm": ({"norm": "none"}, "norm")},
        ),
        "bayesian": (
            {"learner": BayesianLearner, "defaults": {"hidden": [4], "samples": 2, "test_samples": 2}},
            {"draws": ({"samples": 3}, "samples is 2 in the checkpoint and 3"), "spread": ({"spread": 0.4}, "spread")},
        ),
    }

    def base(folder: Path) -> None:
        for name, (arguments, _) in kinds.items():
            run_train(folder / name, **arguments)

    def run(folder: Path, name: str, settings: dict[str, Any]) -> Any:
        return run_train(folder / name, **kinds[name][0], settings=settings)

    pairs = []
    for name, (_, refused) in kinds.items():
        pairs.append(Pair(f"{name}: nothing", lambda folder, name=name: run(folder, name, {}), None))
        for change, (other, names) in refused.items():
            pairs.append(Pair(f"{name}: {change}", lambda folder, name=name, other=other: run(folder, name, other), names))
    return base, pairs


def own_pairs() -> Kind:
    """Return runs of learners and streams of the user's own."""

    def run(folder: Path, code: str = OWN, gain: float = 1.0, noise: float = 0.1, shift: float = 0.0, arrays: int = 0) -> Any:
        parts = own(code)
        generator = torch.Generator().manual_seed(arrays)
        tasks = [(torch.rand(40, 4, generator=generator), torch.arange(40) % 2) for _ in range(2)]
        inner = TaskList([(*task, *task) for task in tasks])
        stream = parts["OwnStream"](inner, shift)
        return train(parts["OwnLearner"](gain, noise), stream, batch_size=20, checkpoint=folder)

    refused = {
        "arrays of the same shape": ({"arrays": 1}, "stream.inner._tasks.0.inputs has other values"),
        "argument of a stream": ({"shift": 0.5}, "stream.shift is 0.0 in the checkpoint and 0.5 here"),
        "attribute of a learner": ({"noise": 0.2}, "learner.noise is 0.1 in the checkpoint and 0.2 here"),
        "constant in a closure": ({"gain": 2.0}, "gain is 1.0 in the checkpoint and 2.0 here"),
        "code of a learner": ({"code": OWN.replace("torch.tanh(", "torch.sin(")}, "(OwnLearner.learn) has other code"),
        "code of a network": (
            {"code": OWN.replace("inputs @ self.weight", "inputs @ -self.weight")},
            "(OwnNetwork.forward) has other code",
        ),
        "code of a stream": ({"code": OWN.replace("+ self.shift", "- self.shift")}, "(OwnStream.__getitem__) has other code"),
        "code of a helper": ({"code": OWN.replace("x * 2", "x * 3")}, "(double) has other code"),
        "a global constant": ({"code": OWN.replace("RATE = 0.1", "RATE = 0.2")}, "RATE is 0.1 in the checkpoint and 0.2"),
        "a default": ({"code": OWN.replace("factor=1.0", "factor=1.5")}, "defaults.0 is 1.0 in the checkpoint and 1.5"),
    }
    accepted = {
        "nothing": {},
        "a comment": {"code": OWN.replace("return x * 2", "return x * 2  # twice\n\n")},
        "a docstring": {"code": OWN.replace("Twice x.", "Two times x.")},
    }
    return pairs_of(run, refused, accepted)


# --- fits -----------------------------------------------------------------------------------------------------------------


def recording(change: float = 0.0, seed: int = 0, **settings: Any) -> Trace:
    voltage = np.repeat(np.random.default_rng(seed).normal(size=24), 10)
    drive = torch.as_tensor(voltage)[:, None]
    output = resonator().simulate(drive, interpolation={"V": "held"}).detach().numpy()[:, 0].copy()
    output[100] += change
    return Trace(1e-11 * np.arange(240), {"V": voltage}, {"y": output}, **{"interpolation": {"V": "held"}, **settings})


QUICK = {"effort": "quick", "embedding": "derivative", "order": 1, "ridge": 1e-6, "windows": (1, 8), "hidden": 2}


def run_fit(folder: Path, data: Any = None, code: str | None = OWN, gain: float = 1.0, **settings: Any) -> Any:
    field = None if code is None else own(code)["own_field"](gain)
    arguments = {**QUICK, "restarts": 1, "iterations": 2, **settings}
    return fit(data or recording(), vector_field=field, checkpoint=folder / CHECKPOINT, **arguments)


def fit_pairs() -> Kind:
    refused = {
        "one value": ({"data": recording(change=1e-9)}, "data.0.output.y has other values"),
        "other data of the same shape": ({"data": recording(seed=1)}, "data.0.drive.V has other values"),
        "interpolation": ({"data": recording(interpolation={"V": "linear"})}, "interpolation.V is 'held' in the checkpoint"),
        "unit": ({"data": recording(units={"y": "T"})}, "data.0.units.y"),
        "a second recording": ({"data": [recording(), recording(seed=1)]}, "data.1"),
        "seed": ({"seed": 1}, "config.seed is 0 in the checkpoint and 1 here"),
        "order": ({"order": 2}, "config.order is 1 in the checkpoint and 2 here"),
        "ridge": ({"ridge": 1e-5}, "config.ridge"),
        "code of a field": ({"code": OWN.replace("torch.tanh(x @", "torch.sin(x @")}, "(OwnField.forward) has other code"),
        "code of its helper": ({"code": OWN.replace("x * 2", "x * 3")}, "(double) has other code"),
        "constant of a field": ({"gain": 2.0}, "gain is 1.0 in the checkpoint and 2.0 here"),
        "no field": ({"code": None}, "vector_field"),
    }
    accepted = {
        "nothing": {},
        "recording made again": {"data": recording()},
        "provenance": {"data": recording(provenance={"file": "elsewhere.csv"})},
        "a comment in a field": {"code": OWN.replace("return x * 2", "return x * 2  # twice")},
    }
    return pairs_of(run_fit, refused, accepted)


def pulsed(seed: int = 0) -> Any:
    device = zoo.open_synapse("soft-bounds")
    return pulse_traces(device, torch.ones(30), generator=torch.Generator().manual_seed(seed))


def run_synapse(folder: Path, seed_of_data: int = 0, waiting: int | None = None, **settings: Any) -> Any:
    retention = None
    if waiting is not None:
        times, reads = np.linspace(1, 100, 20), 1e-6 * (1 - 0.001 * np.arange(20) - 1e-4 * waiting)
        retention = Trace(times, {"SET": np.zeros(20), "RESET": np.zeros(20)}, {"conductance": reads})
    arguments = {"hidden": 2, "rounds": 1, "iterations": 1, **settings}
    return fit_synapse(pulsed(seed_of_data), retention=retention, checkpoint=folder / CHECKPOINT, **arguments)


def synapse_pairs() -> Kind:
    refused = {
        "other data of the same shape": ({"seed_of_data": 1}, "data.0.output."),
        "seed": ({"seed": 1}, "config.seed is 0 in the checkpoint and 1 here"),
        "hidden": ({"hidden": 3}, "config.hidden.0 is 2 in the checkpoint and 3 here"),
        "rounds": ({"rounds": 2}, "config.rounds is 1 in the checkpoint and 2 here"),
    }
    # Waiting devices are fitted after the saved steps, and always anew.
    return pairs_of(run_synapse, refused, {"nothing": {}, "recordings of waiting devices": {"waiting": 0}})


def noisy(change: float = 0.0, names: tuple[str, str] = ("V", "W")) -> Trace:
    generator = np.random.default_rng(0)
    drives = {name: generator.normal(size=300) for name in ("V", "W")}
    output = np.convolve(drives["V"] + 0.1 * generator.normal(size=300), [0.5, 0.3, 0.1])[:300]
    output[5] += change
    return Trace(1e-9 * np.arange(300), {name: drives[name] for name in names}, {"y": output})


def run_stochastic(folder: Path, data: Any = None, **settings: Any) -> Any:
    arguments = {"order": 1, "hidden": (3,), "iterations": 10, **settings}
    return fit_stochastic(data or noisy(), checkpoint=folder / CHECKPOINT, **arguments)


def stochastic_pairs() -> Kind:
    refused = {
        "one value": ({"data": noisy(change=1e-3)}, "data.0.output.y has other values"),
        "order of channels": ({"data": noisy(names=("W", "V"))}, "data.0.order"),
        "seed": ({"seed": 1}, "config.seed is 0 in the checkpoint and 1 here"),
        "iterations": ({"iterations": 20}, "config.iterations"),
        "ridge": ({"ridge": 1e-3}, "config.ridge"),
    }
    return pairs_of(run_stochastic, refused, {"nothing": {}})


# --- command line ---------------------------------------------------------------------------------------------------------


def run_command(
    folder: Path, rule: str = "sgd", *, rate: str = "0.05", scale: str = "unit", words: tuple[str, ...] = ()
) -> None:
    fixed = ["--stream", "made-digits", "--batch-size", "20", "--set", f"rate={rate}", "--set-stream", f"scale={scale}"]
    fixed += ["--set-stream", "train=60", "--set-stream", "test=30", "--hidden", "4", "--save", str(folder), "--quiet"]
    tasks = [] if "--tasks" in words else ["--tasks", "2"]
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = command_line(["train", rule, *fixed, *tasks, *words])
    if code:
        raise FitError(said.getvalue().strip())


def command_pairs() -> Kind:
    refused = {
        "rate": ({"rate": "0.01"}, "rate is 0.05 in the checkpoint and 0.01 here"),
        "scale": ({"scale": "standard"}, "stream.scale is 'unit' in the checkpoint and 'standard' here"),
        "rule": ({"rule": "adam"}, "learner.rule is 'sgd' in the checkpoint and 'adam' here"),
        "tasks": ({"words": ("--tasks", "3")}, "config.tasks is 2 in the checkpoint and 3 here"),
        "another recipe for another seed": ({"rate": "0.01", "words": ("--seed", "1")}, "settings.rate is 0.05"),
    }
    kind = pairs_of(run_command, refused, {"nothing": {}, "another seed, in a folder of its own": {"words": ("--seed", "1")}})
    more = ("--tasks", "3")
    kind[1].append(
        Pair(
            "continued with more tasks",
            lambda folder: run_command(folder, words=(*more, "--continue-from", str(folder))),
            None,
        )
    )
    return kind


KINDS: dict[str, Callable[[], Kind]] = {
    "train": train_pairs,
    "learners": learners_pairs,
    "own": own_pairs,
    "fit": fit_pairs,
    "fit_synapse": synapse_pairs,
    "fit_stochastic": stochastic_pairs,
    "command": command_pairs,
}
