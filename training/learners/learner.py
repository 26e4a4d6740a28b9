"""`Learner`: what every trainer is, a LightningModule that learns batch by batch and is tested after each task."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from ...contracts.task_stream import Task, TaskStream
from ...errors import ConfigError

#: Batches between two logged losses: logging each would cost as much as learning it.
LOG_EVERY = 50


class Learner(LightningModule):
    """Base of the trainers. A member writes `learn` and `log_probabilities`, and the hooks that it needs.

    A learner is told the data batch by batch, and where tasks begin and end if the stream says so. All of its randomness comes
    from `generator`, which checkpoints hold; tests draw from generators of their own and disturb nothing.

    Attributes:
        rule: Name of the learning rule, in messages and checkpoints.
        views: Ways to answer a test that are scored side by side, such as with the norms of the task ("task", which needs to
            know the task) and with the newest ones ("shared").
        block: Batches that one call of `learn` gets: 1, or many where one call works off a row of batches faster.
        generator: Source of all randomness in learning.

    Args:
        seed: Seed of the generator.
    """

    rule = "learner"
    views: tuple[str, ...] = ("shared",)
    block = 1
    automatic_optimization = False  # rules that are no gradient descent step themselves

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
            raise ConfigError(f"seed is {seed!r}; expected a whole number from 0 on.")
        self.seed = seed
        self.generator = torch.Generator().manual_seed(seed)

    # --- what a member writes -----------------------------------------------------------------------------------------

    def learn(self, inputs: Tensor, labels: Tensor, batch_size: int) -> Tensor:
        """Learn from inputs, shape (samples, *input), in their order and in batches of `batch_size`.

        Args:
            inputs: One batch, or `block` of them in a row.
            labels: Classes, shape (samples,).
            batch_size: Samples of a batch over all processes; the last batch of a task may be smaller.

        Returns:
            Mean loss, without gradient.
        """
        raise NotImplementedError

    def log_probabilities(self, inputs: Tensor, *, generator: torch.Generator, task: int, view: str) -> Tensor:
        """Answers to a test, natural logarithms, shape (samples of the weights, inputs, classes).

        Args:
            inputs: Shape (inputs, *input): of one task alone.
            generator: Source of the samples.
            task: Number of the task; only views that say so may make use of it.
            view: One of `views`.
        """
        raise NotImplementedError

    def check(self, stream: TaskStream) -> None:
        """Called before a run.

        Raises:
            ConfigError: a stream that the learner was not made for.
        """

    def begin_task(self, index: int) -> None:
        """Called before each task of a stream with boundaries."""

    def end_task(self, index: int, task: Task) -> None:
        """Called after each task of a stream with boundaries, before the tests."""

    def settings(self) -> dict[str, Any]:
        """What a checkpoint must agree with: plain numbers and names."""
        return {}

    def generators(self) -> Iterator[tuple[str, torch.Generator]]:
        """Generators that a checkpoint holds, by name."""
        yield "learner", self.generator

    def footprint(self) -> dict[str, float]:
        """What the rule costs, such as bytes of memory and pulses of devices, for the result."""
        held = [*self.parameters(), *self.buffers()]
        return {"memory [B]": float(sum(each.numel() * each.element_size() for each in held))}

    # --- Lightning's own ----------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """None: most rules hold their own; a member whose rule is an optimiser of torch returns it."""
        return None

    def training_step(self, batch: tuple[Tensor, Tensor, int], batch_idx: int) -> None:
        """One call of `learn`."""
        inputs, labels, batch_size = batch
        loss = self.learn(inputs, labels, batch_size)
        if batch_idx % LOG_EVERY == 0 or self.block > 1:
            self.log("train/loss", loss, prog_bar=True, batch_size=len(labels))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what resuming needs beyond weights and optimisers: tensors and plain values alone."""
        states = {name: generator.get_state() for name, generator in self.generators()}
        checkpoint["learner"] = {"rule": self.rule, "settings": self.settings(), "generators": states}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back; `check_checkpoint` has seen that it is this learner's."""
        for name, generator in self.generators():
            generator.set_state(checkpoint["learner"]["generators"][name])


def sizes(stream: TaskStream) -> tuple[int, int]:
    """Features and classes of a stream.

    Raises:
        ConfigError: something that is no stream.
    """
    if isinstance(stream, type) or not isinstance(stream, TaskStream):
        raise ConfigError(f"the stream is {stream!r}; expected a stream of tasks, such as PermutedTasks(mnist(), tasks=5).")
    return math.prod(stream.shape), int(stream.classes)


def check_sizes(stream: TaskStream, features: int, classes: int) -> None:
    """Raise a `ConfigError` if a stream has other features or more classes than a learner was made for."""
    found, wanted = sizes(stream)
    if found != features or wanted > classes:
        raise ConfigError(
            f"the stream {stream.name!r} has {found} features and {wanted} classes, and the learner was made for "
            f"{features} and {classes}; make it from this stream."
        )


def check_checkpoint(learner: Learner, checkpoint: Any, path: Any) -> None:
    """See that a checkpoint was written by this learner, before any of it is touched.

    Raises:
        ConfigError: a checkpoint of another program, another rule, or other settings.
    """
    if not isinstance(checkpoint, dict) or "learner" not in checkpoint or "stream" not in checkpoint:
        raise ConfigError(f"{path} is no checkpoint of a spinode trainer; pass another folder, or delete it to begin anew.")
    stored = checkpoint["learner"]
    if stored["rule"] != learner.rule:
        raise ConfigError(
            f"{path} is a checkpoint of {stored['rule']!r}, and this is {learner.rule!r}; pass another folder, or delete the "
            "checkpoint to begin anew."
        )
    check_same(stored["settings"], learner.settings(), path)


def check_same(stored: dict[str, Any], own: dict[str, Any], path: Any) -> None:
    """Raise a `ConfigError` that names the settings in which a checkpoint differs."""
    names = sorted({*stored, *own})
    different = [
        f"{name} = {stored.get(name)!r} there, {own.get(name)!r} here" for name in names if stored.get(name) != own.get(name)
    ]
    if different:
        raise ConfigError(
            f"the checkpoint {path} belongs to other settings: {'; '.join(different)}. Take these, pass another folder, or "
            "delete the checkpoint to begin anew."
        )
