"""`Task` and the checks of task streams; the streams are tested in `tests/datasets/streams`."""

import numpy as np
import pytest
import torch

from spinode import ConfigError
from spinode.contracts.task_stream import Task, check_task, check_tasks
from spinode.testing import StreamContract

INPUTS, LABELS = torch.arange(12.0).reshape(6, 2), torch.tensor([0, 1, 2, 0, 1, 2])


class Shifted:
    """Three tasks whose inputs are shifted by the index."""

    name, shape, classes, boundaries = "shifted", (2,), 3, True

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index not in range(3):
            raise ConfigError(f"task {index} does not exist; expected 0 .. 2.")
        return Task(f"shift {index}", INPUTS + index, LABELS, INPUTS + index, LABELS)

    def test(self, index):
        return self[index].test_inputs, self[index].test_labels


class TestShifted(StreamContract):
    tasks, boundaries = 3, True

    def make(self):
        return Shifted()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": INPUTS.numpy()}, "inputs of the training set of task 'a' are a ndarray; expected a tensor"),
        ({"test_labels": [0, 1]}, "labels of the test set of task 'a' are a list"),
        ({"inputs": INPUTS.long()}, r"have type torch\.int64 and shape \(6, 2\); expected floating-point"),
        ({"labels": LABELS[:5]}, r"shape \(5,\) for 6 inputs; expected one class for each input"),
        ({"labels": LABELS - 1}, "a label of the training set of task 'a' is -1"),
        ({"inputs": INPUTS / 0}, "inputs of the training set of task 'a' contain NaN or infinite values"),
        ({"test_inputs": torch.ones(6, 3)}, r"training inputs of shape \(2,\) and test inputs of shape \(3,\)"),
        ({"labels": LABELS.float()}, "labels of the training set of task 'a' have type torch.float32 .* of an integer type"),
    ],
)
def test_invalid_tasks_are_refused(changes, message):
    valid = {"inputs": INPUTS, "labels": LABELS, "test_inputs": INPUTS, "test_labels": LABELS}
    assert len(Task("a", **valid)) == 6
    with pytest.raises(ConfigError, match=message):
        Task("a", **{**valid, **changes})


def test_labels_of_any_integer_type_and_of_one_class():
    one_class = torch.ones(6, dtype=torch.uint8)
    task = Task("a", INPUTS, one_class, INPUTS, LABELS.to(torch.int16))
    assert (task.labels.dtype, task.test_labels.dtype) == (torch.int64, torch.int64)
    assert (task.labels.tolist(), task.test_labels.tolist()) == ([1] * 6, LABELS.tolist())


def test_number_of_tasks():
    assert check_tasks(Shifted(), None) == 3
    assert check_tasks(Shifted(), np.int64(2)) == 2
    for tasks in (0, 4, 2.0, True, "2"):
        with pytest.raises(ConfigError, match=r"tasks is .*; expected a whole number from 1 to 3, the tasks of 'shifted'"):
            check_tasks(Shifted(), tasks)
    with pytest.raises(ConfigError, match="stream is a list; expected a task stream"):
        check_tasks([], None)


def test_task_must_fit_its_stream():
    stream = Shifted()
    wide = Task("wide", torch.rand(6, 3), LABELS, torch.rand(6, 3), LABELS)
    with pytest.raises(ConfigError, match=r"have shape \(3,\); expected \(2,\), as in the stream 'shifted'"):
        check_task(stream, wide)
    with pytest.raises(ConfigError, match=r"a label of task 'more' is 3; expected 0 \.\. 2, the classes of the stream"):
        check_task(stream, Task("more", INPUTS, LABELS + 1, INPUTS, LABELS))
