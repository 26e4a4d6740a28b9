"""Tasks of arrays of your own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...contracts.task_stream import Task, check_task
from ...errors import ConfigError
from ..images.images import as_labels, as_tensor
from ..whole import check_whole
from .base import Stream


class TaskList(Stream):
    """Tasks of your own, in memory.

    Args:
        tasks: `Task` objects, or (inputs, labels, test inputs, test labels) of NumPy arrays or tensors: inputs floating-point,
            shape (samples, features) or (samples, channels, height, width), one shape for all; labels whole, from 0 on.
        name: What messages and plots call the stream.
        classes: Number of classes; one more than the largest label if None.
        boundaries: Whether the learner may know where a task ends.

    Raises:
        ConfigError: no tasks, tasks of several shapes, a label beyond the classes, or what `Task` refuses.
    """

    def __init__(
        self, tasks: Sequence[Any], name: str = "tasks", classes: int | None = None, *, boundaries: bool = True
    ) -> None:
        if isinstance(tasks, Task) or not isinstance(tasks, Sequence) or not tasks:
            raise ConfigError(
                f"tasks is {type(tasks).__name__ if tasks else 'empty'}; expected a list of Task or of (inputs, labels, test "
                "inputs, test labels)."
            )
        self.name, self.boundaries = name, boundaries
        self._tasks = tuple(_task(i, each) for i, each in enumerate(tasks))
        self.shape = tuple(self._tasks[0].inputs.shape[1:])
        if classes is None:
            classes = 1 + max(int(labels.max()) for task in self._tasks for labels in (task.labels, task.test_labels))
        check_whole("classes", classes, 2)
        self.classes = classes
        for task in self._tasks:
            check_task(self, task)

    def __len__(self) -> int:
        return len(self._tasks)

    def _name(self, index: int) -> str:
        return self._tasks[index].name

    def _train(self, index: int) -> tuple[Tensor, Tensor]:
        return self._tasks[index].inputs, self._tasks[index].labels

    def _test(self, index: int) -> tuple[Tensor, Tensor]:
        return self._tasks[index].test_inputs, self._tasks[index].test_labels


def _task(index: int, given: Any) -> Task:
    if isinstance(given, Task):
        return given
    name = f"task {index}"
    if not isinstance(given, Sequence) or len(given) != 4:
        raise ConfigError(
            f"{name} is a {type(given).__name__}; expected a Task, or (inputs, labels, test inputs, test labels)."
        )
    inputs, labels, test_inputs, test_labels = given
    return Task(name, _inputs(name, inputs), as_labels(name, labels), _inputs(name, test_inputs), as_labels(name, test_labels))


def _inputs(name: str, array: Any) -> Tensor:
    tensor = as_tensor(array)
    if not tensor.dtype.is_floating_point:
        raise ConfigError(
            f"inputs of {name} are {tensor.dtype}; expected floating-point numbers. Bytes of images: images_from_arrays scales "
            "them; other whole numbers: convert them, array.astype('float32')."
        )
    return tensor.float()
