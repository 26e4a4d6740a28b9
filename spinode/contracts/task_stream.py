"""`TaskStream`, the contract of sequences of classification tasks, and `Task`.

Streams are in `spinode.datasets`, their users in `spinode.training`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..errors import ConfigError
from ..validation import describe_type, is_whole_number, whole_number


@dataclass(frozen=True, eq=False)
class Task:
    """A classification task: a training set and a test set.

    Attributes:
        name: Name of the task, such as "permutation 3".
        inputs: Training inputs, floating-point, shape (samples, *input).
        labels: Classes of the training inputs, integers of any width from 0, shape (samples,); stored as int64.
        test_inputs: Test inputs, shape (tests, *input).
        test_labels: Classes of the test inputs, shape (tests,).

    Raises:
        ConfigError: inputs and labels of different lengths, no samples, inputs that are not finite, labels that are negative
            or not of an integer type, or test inputs of another shape.

    Example:
        >>> inputs, labels = torch.rand(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
        >>> len(Task("first", inputs, labels, inputs, labels))
        6
    """

    name: str
    inputs: Tensor
    labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor

    def __post_init__(self) -> None:
        self._check_set("training", "", self.inputs, self.labels)
        self._check_set("test", "test_", self.test_inputs, self.test_labels)
        if self.inputs.shape[1:] != self.test_inputs.shape[1:]:
            raise ConfigError(
                f"task {self.name!r} has training inputs of shape {tuple(self.inputs.shape[1:])} and test inputs of shape "
                f"{tuple(self.test_inputs.shape[1:])}; expected one shape."
            )

    def _check_set(self, kind: str, prefix: str, inputs: Tensor, labels: Tensor) -> None:
        checked = _check_set(f"the {kind} set of task {self.name!r}", inputs, labels)
        if checked is not labels:
            object.__setattr__(self, f"{prefix}labels", checked)

    def __len__(self) -> int:
        """Return the number of training samples."""
        return len(self.labels)


def _check_set(label: str, inputs: Any, labels: Any) -> Tensor:
    """Return the labels of a training or test set as int64.

    Args:
        label: The set in messages.
        inputs: Its inputs.
        labels: Its labels.

    Raises:
        ConfigError: see `Task`.
    """
    for name, value in (("inputs", inputs), ("labels", labels)):
        if not isinstance(value, Tensor):
            raise ConfigError(f"{name} of {label} are a {type(value).__name__}; expected a tensor (torch.from_numpy(array)).")
    if not inputs.dtype.is_floating_point or inputs.ndim < 2:
        raise ConfigError(
            f"inputs of {label} have type {inputs.dtype} and shape {tuple(inputs.shape)}; expected floating-point "
            "numbers of shape (samples, features) or (samples, channels, height, width)."
        )
    is_integer = not (labels.dtype.is_floating_point or labels.dtype.is_complex)
    if not is_integer or labels.ndim != 1 or len(labels) != len(inputs) or not len(labels):
        raise ConfigError(
            f"labels of {label} have type {labels.dtype} and shape {tuple(labels.shape)} for {len(inputs)} inputs; "
            "expected one class for each input, of an integer type."
        )
    if labels.dtype != torch.int64:
        labels = labels.to(torch.int64)
    if int(labels.min()) < 0:
        raise ConfigError(f"a label of {label} is {int(labels.min())}; expected classes that count from 0.")
    if not bool(torch.isfinite(inputs.sum())):  # one number: a NaN or an infinity anywhere reaches the sum
        raise ConfigError(f"inputs of {label} contain NaN or infinite values; clean the data first.")
    result: Tensor = labels
    return result


@runtime_checkable
class TaskStream(Protocol):
    """Tasks in the order in which they are learned; each is generated when it is requested.

    `stream[i]` for i = 0 .. len(stream) - 1 is the same each time; any other index raises a `ConfigError`.

    Attributes:
        name: Name of the stream, such as "permuted MNIST".
        shape: Shape of one input, such as (784,).
        classes: Number of classes over the whole stream.
        boundaries: True if the learner may know where a task ends. Without boundaries, a learner gets the same batches but no
            sign of a new task; its scores are computed at the same times.

    Example:
        >>> class Parity:
        ...     name, shape, classes, boundaries = "parity", (8,), 2, True
        ...     def __len__(self):
        ...         return 3
        ...     def __getitem__(self, index):
        ...         bits = torch.randint(2, (50, 8), generator=torch.Generator().manual_seed(index))
        ...         labels = bits[:, : index + 2].sum(1) % 2
        ...         return Task(f"{index + 2} bits", bits[:40].float(), labels[:40], bits[40:].float(), labels[40:])
        ...     def test(self, index):
        ...         return self[index].test_inputs, self[index].test_labels
        >>> isinstance(Parity(), TaskStream), Parity()[1].name
        (True, '3 bits')
    """

    # Plain attributes implement these properties as well.

    @property
    def name(self) -> str:
        """Name of the stream."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input, without the dimension of samples."""

    @property
    def classes(self) -> int:
        """Number of classes; labels are 0 .. classes - 1."""

    @property
    def boundaries(self) -> bool:
        """True if the learner may know where a task ends."""

    def __len__(self) -> int:
        """Return the number of tasks."""

    def __getitem__(self, index: int) -> Task:
        """Return the task at an index."""

    def test(self, index: int) -> tuple[Tensor, Tensor]:
        """Return `test_inputs` and `test_labels` of the task at an index, without generating its training set."""


def check_tasks(stream: TaskStream, tasks: int | None) -> int:
    """Return the number of tasks to learn: `tasks`, or all tasks of the stream if None.

    Raises:
        ConfigError: `stream` is not a task stream, has fewer tasks, or describes itself as no stream can be.
    """
    if not isinstance(stream, TaskStream):
        raise ConfigError(
            f"stream is a {type(stream).__name__}; expected a task stream, such as PermutedTasks(mnist(), tasks=10) of "
            "spinode.datasets."
        )
    check_description(stream)
    if tasks is None:
        return len(stream)
    if not (is_whole_number(tasks) and 1 <= tasks <= len(stream)):
        raise ConfigError(f"tasks is {tasks!r}; expected a whole number from 1 to {len(stream)}, the tasks of {stream.name!r}.")
    return int(tasks)


def check_description(stream: TaskStream) -> None:
    """Check shape and classes of a stream.

    Raises:
        ConfigError: a shape that is not a tuple of positive whole numbers, or classes that are not a number from 1.
    """
    shape = stream.shape
    if not (isinstance(shape, tuple | list) and shape and all(is_whole_number(each) and each >= 1 for each in shape)):
        raise ConfigError(
            f"the shape of the stream {stream.name!r} is {shape!r:.80}; expected that of one input, such as (784,) or "
            "(1, 28, 28)."
        )
    whole_number(f"classes of the stream {stream.name!r}", stream.classes, 1)


def check_task(stream: TaskStream, task: Task) -> Task:
    """Return the task, after checking that it belongs to the stream.

    Raises:
        ConfigError: not a `Task`, inputs of another shape, or labels beyond the stream's classes.
    """
    if not isinstance(task, Task):
        raise ConfigError(
            f"a task of the stream {stream.name!r} is {describe_type(task)}; expected Task(name, inputs, labels, test_inputs, "
            "test_labels) of spinode.contracts.task_stream."
        )
    if tuple(task.inputs.shape[1:]) != tuple(stream.shape):
        raise ConfigError(
            f"inputs of task {task.name!r} have shape {tuple(task.inputs.shape[1:])}; expected {tuple(stream.shape)}, as in "
            f"the stream {stream.name!r}."
        )
    largest = max(int(task.labels.max()), int(task.test_labels.max()))
    if largest >= stream.classes:
        raise ConfigError(
            f"a label of task {task.name!r} is {largest}; expected 0 .. {stream.classes - 1}, the classes of the stream "
            f"{stream.name!r}."
        )
    return task


def check_test(stream: TaskStream, index: int) -> tuple[Tensor, Tensor]:
    """Return `stream.test(index)`, after checking that it is a test set of the stream; the labels are int64.

    Raises:
        ConfigError: not two tensors, no samples, another number of labels, inputs that are not finite or of another shape than
            the stream's, or labels beyond its classes.
    """
    label = f"the test set of task {index} of the stream {stream.name!r}"
    given = stream.test(index)
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ConfigError(f"{label} is {describe_type(given)}; expected (test inputs, test labels).")
    inputs, labels = given[0], _check_set(label, *given)
    if tuple(inputs.shape[1:]) != tuple(stream.shape):
        raise ConfigError(f"inputs of {label} have shape {tuple(inputs.shape[1:])}; expected {tuple(stream.shape)}.")
    if int(labels.max()) >= stream.classes:
        raise ConfigError(f"a label of {label} is {int(labels.max())}; expected 0 .. {stream.classes - 1}.")
    return inputs, labels
