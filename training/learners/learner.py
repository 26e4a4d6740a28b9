"""`Learner`: the base of all learners, a LightningModule that learns batch by batch and is tested after each task."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from ...contracts.task_stream import Task, TaskStream, check_description
from ...errors import ConfigError
from ...identity import module_parts
from ...validation import is_number, seed_number
from ..scopes import Scope, refuse_unused
from .diverged import likely_cause

#: Batches between two logged losses: logging each would take as long as learning it.
LOG_INTERVAL = 50
#: Attributes of Lightning (its hyperparameters from the first use on), of `Learner` itself, and what `settings` returns.
_NOT_IDENTITY = frozenset(vars(LightningModule())) | {"_hparams", "_hparams_initial", "_hparams_name", "origin", "_settings"}


class Learner(LightningModule):
    """Base of the learners. A member writes `learn` and `log_probabilities`, and the hooks that it needs.

    A learner receives the data batch by batch, and is notified where tasks begin and end if the stream has boundaries. All of
    its randomness comes from `generator`, which is part of checkpoints; tests use generators of their own and do not change it.

    Attributes:
        rule: Name of the learning rule, in messages and checkpoints.
        views: Ways to respond to a test that are scored separately, such as with the norms of the task ("task", which requires
            the identity of the task) and with the newest ones ("shared").
        block: Batches per call of `learn`: 1, or many where one call processes several batches faster.
        scopes: With which other settings a setting has an effect.
        generator: Source of all randomness in learning.

    Args:
        seed: Seed of the generator.
    """

    rule = "learner"
    views: tuple[str, ...] = ("shared",)
    block = 1
    scopes: tuple[Scope, ...] = ()
    automatic_optimization = False  # rules other than gradient descent step themselves

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        #: Checkpoint of the newest run, and the identity of the learner when it began: a repeated call resumes.
        self.origin: tuple[Path, Any] | None = None
        self.seed = seed_number("seed", seed)
        self.generator = torch.Generator().manual_seed(self.seed)

    @property
    def smallest_batch(self) -> int:
        """Samples without which it cannot learn: a smaller last batch of a task joins the one before."""
        return 1

    # --- what a member writes -----------------------------------------------------------------------------------------

    def learn(self, inputs: Tensor, labels: Tensor, batch_size: int) -> Tensor:
        """Learn from inputs in their order, in batches of `batch_size`.

        Args:
            inputs: One batch, or `block` consecutive ones, shape (samples, *input).
            labels: Classes, shape (samples,).
            batch_size: Samples per batch over all processes; the last batch of a task may be smaller.

        Returns:
            Mean loss, without gradient.
        """
        raise NotImplementedError

    def log_probabilities(self, inputs: Tensor, *, generator: torch.Generator, task: int, view: str) -> Tensor:
        """Return the responses to test inputs as natural logarithms of class probabilities.

        Args:
            inputs: Inputs of a single task, shape (inputs, *input).
            generator: Source of the draws of the weights.
            task: Index of the task; only views that require it may use it.
            view: One of `views`.

        Returns:
            Shape (draws of the weights, inputs, classes).
        """
        raise NotImplementedError

    def check(self, stream: TaskStream) -> None:
        """Check before a run that the learner fits a stream.

        Raises:
            ConfigError: another number of features or classes.
        """

    def begin_task(self, index: int) -> None:
        """Prepare for a task; called before each task of a stream with boundaries."""

    def end_task(self, index: int, task: Task) -> None:
        """Consolidate a task; called after each task of a stream with boundaries, before the tests."""

    def settings(self) -> dict[str, Any]:
        """Return the settings, plain numbers and names, for messages and logs."""
        return {}

    def identity_parts(self) -> dict[str, Any]:
        """Return what a checkpoint must agree with: rule, settings and all attributes, weights and parts but Lightning's."""
        return {"rule": self.rule, "settings": self.settings(), **module_parts(self, _NOT_IDENTITY)}

    def default_settings(self) -> dict[str, Any]:
        """Return the defaults of settings by name, as far as they are numbers; by default those of the constructor."""
        return {name: value for name, value in self.constructor_defaults().items() if is_number(value)}

    @classmethod
    def constructor_defaults(cls) -> dict[str, Any]:
        """Return the defaults of all arguments of the constructor that have one, by name."""
        defaults: dict[str, Any] = {}
        for each in reversed(cls.__mro__):
            if issubclass(each, Learner) and "__init__" in vars(each):
                given = inspect.signature(vars(each)["__init__"]).parameters.values()
                defaults |= {one.name: one.default for one in given if one.default is not one.empty}
        return defaults

    def refuse_unused(self, values: Mapping[str, Any]) -> None:
        """Check that all settings have an effect, see `scopes`.

        Args:
            values: Arguments of the constructor by name.

        Raises:
            ConfigError: a setting other than its default that would change nothing.
        """
        refuse_unused(self.scopes, values, self.constructor_defaults())

    def likely_cause(self, inputs: Tensor) -> str:
        """Return a sentence that names the setting to change after a loss that was not finite.

        Args:
            inputs: Inputs of the batch.
        """
        return likely_cause(self.settings(), inputs, defaults=self.default_settings())

    def generators(self) -> Iterator[tuple[str, torch.Generator]]:
        """Yield the generators that a checkpoint contains, by name."""
        yield "learner", self.generator

    def footprint(self) -> dict[str, float]:
        """Return the cost of the rule, such as bytes of memory and pulses of devices, for the result."""
        return {"memory [B]": float(count_bytes([*self.parameters(), *self.buffers()]))}

    # --- Lightning's own ----------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """Return None: most learners step their own optimiser; a member may return an optimiser of torch instead."""
        return None

    def training_step(self, batch: tuple[Tensor, Tensor, int], batch_idx: int) -> None:
        """Call `learn` once and log the loss."""
        inputs, labels, batch_size = batch
        loss = self.learn(inputs, labels, batch_size)
        if batch_idx % LOG_INTERVAL == 0 or self.block > 1:
            self.log("train/loss", loss, prog_bar=True, batch_size=len(labels))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what resuming needs besides weights and optimisers: tensors and plain values only."""
        states = {name: generator.get_state() for name, generator in self.generators()}
        checkpoint["learner"] = {"generators": states}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the generators; `train` has checked that the checkpoint is this learner's."""
        for name, generator in self.generators():
            generator.set_state(checkpoint["learner"]["generators"][name])


def count_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the memory that tensors take, in bytes."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def stream_sizes(stream: TaskStream) -> tuple[int, int]:
    """Return the numbers of features and classes of a stream.

    Raises:
        ConfigError: something that is not a task stream.
    """
    if isinstance(stream, type) or not isinstance(stream, TaskStream):
        raise ConfigError(f"the stream is {stream!r}; expected a stream of tasks, such as PermutedTasks(mnist(), tasks=5).")
    check_description(stream)
    return math.prod(stream.shape), int(stream.classes)


def check_sizes(stream: TaskStream, features: int, classes: int) -> None:
    """Raise a `ConfigError` if a stream has other features or more classes than a learner was made for."""
    stream_features, stream_classes = stream_sizes(stream)
    if stream_features != features or stream_classes > classes:
        raise ConfigError(
            f"the stream {stream.name!r} has {stream_features} features and {stream_classes} classes, but the learner was made "
            f"for {features} and {classes}; make it from this stream."
        )
