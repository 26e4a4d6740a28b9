"""Tasks from your own arrays and from datasets of torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...contracts.task_stream import Task, check_task
from ...errors import ConfigError
from ...validation import flag, whole_number
from ..images.images import as_labels, as_tensor
from .base import Stream


class TaskList(Stream):
    """A stream of your own tasks, in memory; it copies them.

    Args:
        tasks: Each a `Task`; (inputs, labels, test inputs, test labels) of NumPy arrays or tensors; or (training set, test set)
            of finite `torch.utils.data.Dataset`s whose samples are (input, label), such as those of torchvision. Inputs are
            floating-point, shape (samples, features) or (samples, channels, height, width), the same for all tasks; labels are
            whole numbers from 0, of any type. A task may have a single class.
        name: Name of the stream in messages and plots.
        classes: Number of classes; one more than the largest label if None.
        boundaries: True if the learner may know where a task ends.

    Raises:
        ConfigError: no tasks, tasks of several shapes, a label beyond the classes, arrays that `Task` does not accept, or a
            dataset without length or whose samples are not (input, label).

    Example:
        >>> import numpy as np
        >>> inputs, labels = np.eye(4), [0, 1, 0, 1]
        >>> stream = TaskList([(inputs, labels, inputs, labels), (1 - inputs, labels, inputs, labels)], name="mine")
        >>> len(stream), stream.shape, stream.classes, stream[1].name
        (2, (4,), 2, 'task 1')
        >>> from torch.utils.data import TensorDataset
        >>> pair = TensorDataset(torch.eye(4), torch.tensor([0, 1, 0, 1], dtype=torch.uint8))
        >>> TaskList([(pair, pair)])[0].labels.tolist()
        [0, 1, 0, 1]
    """

    def __init__(
        self, tasks: Sequence[Any], name: str = "tasks", classes: int | None = None, *, boundaries: bool = True
    ) -> None:
        if isinstance(tasks, Task) or not isinstance(tasks, Sequence) or not tasks:
            raise ConfigError(
                f"tasks {'has type ' + type(tasks).__name__ if tasks else 'is empty'}; expected a list of Task objects or of "
                "(inputs, labels, test inputs, test labels)."
            )
        self.name, self.boundaries = name, flag("boundaries", boundaries)
        self._tasks = tuple(_read_task(i, task) for i, task in enumerate(tasks))
        self.shape = tuple(self._tasks[0].inputs.shape[1:])
        if classes is None:
            classes = 1 + max(int(labels.max()) for task in self._tasks for labels in (task.labels, task.test_labels))
        self.classes = whole_number("classes", classes, 2)
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


def _read_task(index: int, given: Any) -> Task:
    if isinstance(given, Task):
        parts = (given.inputs, given.labels, given.test_inputs, given.test_labels)
        return Task(given.name, *(each.detach().clone() for each in parts))
    name = f"task {index}"
    if isinstance(given, Sequence) and len(given) == 2 and all(isinstance(each, Dataset) for each in given):
        given = [*_read_dataset(f"the training set of {name}", given[0]), *_read_dataset(f"the test set of {name}", given[1])]
    if not isinstance(given, Sequence) or len(given) != 4:
        raise ConfigError(
            f"{name} is a {type(given).__name__}; expected a Task, (inputs, labels, test inputs, test labels), or (training "
            "set, test set) of datasets of torch."
        )
    inputs, labels, test_inputs, test_labels = given
    return Task(
        name, _read_inputs(name, inputs), _labels(name, labels), _read_inputs(name, test_inputs), _labels(name, test_labels)
    )


def _labels(name: str, labels: Any) -> Tensor:
    return _owned(as_labels(name, labels), labels)


def _owned(tensor: Tensor, given: Any) -> Tensor:
    """Return a tensor that shares no memory with what was given: later changes of that must not reach the stream."""
    shares = isinstance(given, Tensor) and tensor.data_ptr() == given.data_ptr()
    return tensor.clone() if shares else tensor


def _read_dataset(label: str, dataset: Any) -> tuple[Tensor, Tensor]:
    """Return the inputs and labels of all samples of a dataset."""
    if not hasattr(dataset, "__len__") or not len(dataset):
        raise ConfigError(
            f"{label}, a {type(dataset).__name__}, has no samples or no length; expected a dataset with "
            "__len__ and __getitem__."
        )
    inputs, labels = [], []
    for index in range(len(dataset)):
        sample = dataset[index]
        if not isinstance(sample, tuple | list) or len(sample) < 2:
            raise ConfigError(f"sample {index} of {label} is a {type(sample).__name__}; expected (input, label).")
        if not hasattr(sample[0], "shape"):
            raise ConfigError(
                f"input {index} of {label} is a {type(sample[0]).__name__}; expected a tensor: pass "
                "transform=ToTensor() to the dataset."
            )
        inputs.append(as_tensor(sample[0], f"input {index} of {label}"))
        labels.append(as_tensor(sample[1], f"label {index} of {label}").reshape(()))
    shapes = sorted({tuple(each.shape) for each in inputs})
    if len(shapes) > 1:
        raise ConfigError(f"inputs of {label} have the shapes {shapes[0]} and {shapes[1]}; expected one shape.")
    return torch.stack(inputs), torch.stack(labels)


def _read_inputs(name: str, array: Any) -> Tensor:
    tensor = as_tensor(array)
    if not tensor.dtype.is_floating_point:
        raise ConfigError(
            f"inputs of {name} have type {tensor.dtype}; expected floating-point numbers. Pass images of bytes to "
            "images_from_arrays, which scales them; convert other integers by array.astype('float32')."
        )
    return _owned(tensor.float(), array)
