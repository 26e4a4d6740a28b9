"""`Task`, `TaskStream`: what a network learns in turn. Members are in `spinode.datasets`, users in `spinode.training`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ..errors import ConfigError


@dataclass(frozen=True, eq=False)
class Task:
    """A stretch of a stream: what is learned in it, and what tells whether it was learned.

    Attributes:
        name: Such as "permutation 3".
        inputs: What is learned from, floating-point, shape (samples, *input).
        labels: Its classes, whole numbers from 0, shape (samples,).
        test_inputs: What the task is tested with, shape (tests, *input).
        test_labels: Its classes, shape (tests,).

    Raises:
        ConfigError: arrays that do not belong together, no samples, inputs that are not finite, labels that are negative or
            not whole, tests with inputs of another shape, or training labels of one class only.
    """

    name: str
    inputs: Tensor
    labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor

    def __post_init__(self) -> None:
        for kind, inputs, labels in (
            ("training", self.inputs, self.labels),
            ("test", self.test_inputs, self.test_labels),
        ):
            self._check(kind, inputs, labels)
        if self.inputs.shape[1:] != self.test_inputs.shape[1:]:
            raise ConfigError(
                f"task {self.name!r} learns from inputs of shape {tuple(self.inputs.shape[1:])} and is tested with "
                f"{tuple(self.test_inputs.shape[1:])}; expected one shape."
            )
        if int(self.labels.min()) == int(self.labels.max()):
            raise ConfigError(
                f"all {len(self.labels)} training labels of task {self.name!r} are {int(self.labels[0])}; expected two classes "
                "or more: from one alone nothing can be told apart."
            )

    def _check(self, kind: str, inputs: Tensor, labels: Tensor) -> None:
        where = f"the {kind} set of task {self.name!r}"
        for what, value in (("inputs", inputs), ("labels", labels)):
            if not isinstance(value, Tensor):
                raise ConfigError(
                    f"{what} of {where} are a {type(value).__name__}; expected a tensor (torch.from_numpy(array))."
                )
        if not inputs.dtype.is_floating_point or inputs.ndim < 2:
            raise ConfigError(
                f"inputs of {where} have type {inputs.dtype} and shape {tuple(inputs.shape)}; expected floating-point "
                "numbers of shape (samples, features) or (samples, channels, height, width)."
            )
        if labels.dtype != torch.int64 or labels.ndim != 1 or len(labels) != len(inputs) or not len(labels):
            raise ConfigError(
                f"labels of {where} have type {labels.dtype} and shape {tuple(labels.shape)} for {len(inputs)} inputs; "
                "expected one class for each, torch.int64."
            )
        if int(labels.min()) < 0:
            raise ConfigError(f"a label of {where} is {int(labels.min())}; expected classes from 0 on.")
        if not bool(torch.isfinite(inputs.sum())):  # one number: a NaN or an infinity anywhere reaches the sum
            raise ConfigError(f"inputs of {where} hold NaN or infinite values; clean the data first.")

    def __len__(self) -> int:
        """Number of training samples."""
        return len(self.labels)


@runtime_checkable
class TaskStream(Protocol):
    """Tasks in the order in which they are learned, each made when it is asked for.

    `stream[i]` for i = 0 .. len(stream) - 1 is the same each time; asked for more it raises a `ConfigError`.

    Attributes:
        name: Such as "permuted MNIST".
        shape: Shape of one input, such as (784,).
        classes: Number of classes over the whole stream.
        boundaries: Whether the learner may know where a task ends. A learner of a stream without boundaries gets the same
            batches and is told nothing; its scores are taken at the same places.
    """

    @property
    def name(self) -> str:
        """See above; a plain attribute will do, here and below."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Without the dimension of samples."""

    @property
    def classes(self) -> int:
        """Labels are 0 .. classes - 1."""

    @property
    def boundaries(self) -> bool:
        """False: the learner is told nothing."""

    def __len__(self) -> int:
        """Number of tasks."""

    def __getitem__(self, index: int) -> Task:
        """Task number `index`."""

    def test(self, index: int) -> tuple[Tensor, Tensor]:
        """`test_inputs` and `test_labels` of task number `index` alone: old tasks are tested and not learned."""


def check_tasks(stream: TaskStream, wanted: int | None) -> int:
    """How many tasks of a stream are learned: `wanted`, or all.

    Raises:
        ConfigError: what is no stream, or a stream that is shorter.
    """
    if not isinstance(stream, TaskStream):
        raise ConfigError(
            f"stream is a {type(stream).__name__}; expected a task stream, such as PermutedTasks(mnist(), tasks=10) of "
            "spinode.datasets."
        )
    if wanted is None:
        return len(stream)
    if not 1 <= wanted <= len(stream):
        raise ConfigError(f"{wanted} tasks were asked for, and the stream {stream.name!r} has {len(stream)}.")
    return wanted


def check_task(stream: TaskStream, task: Task) -> Task:
    """The task, if it is one of the stream's.

    Raises:
        ConfigError: inputs of another shape, or labels beyond the stream's classes.
    """
    if tuple(task.inputs.shape[1:]) != tuple(stream.shape):
        raise ConfigError(
            f"inputs of task {task.name!r} have shape {tuple(task.inputs.shape[1:])}; the stream {stream.name!r} is of shape "
            f"{tuple(stream.shape)}."
        )
    largest = max(int(task.labels.max()), int(task.test_labels.max()))
    if largest >= stream.classes:
        raise ConfigError(
            f"a label of task {task.name!r} is {largest}; the stream {stream.name!r} has {stream.classes} classes, 0 .. "
            f"{stream.classes - 1}."
        )
    return task
