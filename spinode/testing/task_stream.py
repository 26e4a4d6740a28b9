"""Conformance tests of the `TaskStream` contract."""

from __future__ import annotations

from functools import partial

import torch

from ..contracts.task_stream import Task, TaskStream, check_task, check_tasks
from ..errors import ConfigError
from .assertions import assert_refuses


class StreamContract:
    """Tests that every task stream must pass. Subclass it as `Test...`, set the attributes and implement `make`.

    Attributes:
        tasks: Number of tasks of the stream.
        boundaries: True if the learner may know where a task ends.
    """

    tasks: int
    boundaries: bool

    def make(self) -> TaskStream:
        """Return a new instance of the stream under test."""
        raise NotImplementedError

    # --- description -------------------------------------------------------------------------------------------------

    def test_it_implements_the_protocol(self) -> None:
        stream = self.make()
        assert isinstance(stream, TaskStream)
        assert isinstance(stream.name, str)
        assert stream.name
        assert isinstance(stream.shape, tuple)
        assert all(isinstance(length, int) and length > 0 for length in stream.shape)
        assert isinstance(stream.classes, int)
        assert stream.classes >= 2
        assert stream.boundaries is self.boundaries

    def test_it_has_the_expected_number_of_tasks(self) -> None:
        stream = self.make()
        assert len(stream) == self.tasks
        assert check_tasks(stream, None) == self.tasks
        assert_refuses(ConfigError, partial(check_tasks, stream, self.tasks + 1))

    # --- tasks -------------------------------------------------------------------------------------------------------

    def test_every_task_fits_the_stream(self) -> None:
        stream = self.make()
        for i in range(len(stream)):
            task = stream[i]
            assert isinstance(task, Task)
            assert check_task(stream, task) is task

    def test_tasks_have_distinct_names(self) -> None:
        stream = self.make()
        names = [stream[i].name for i in range(len(stream))]
        assert len(set(names)) == len(names)

    def test_inputs_are_float32(self) -> None:
        stream = self.make()
        task = stream[0]
        assert task.inputs.dtype == task.test_inputs.dtype == torch.float32

    def test_test_sets_are_available_separately(self) -> None:
        stream = self.make()
        for i in range(len(stream)):
            inputs, labels = stream.test(i)
            task = stream[i]
            assert torch.equal(inputs, task.test_inputs)
            assert torch.equal(labels, task.test_labels)

    # --- reproducibility ---------------------------------------------------------------------------------------------

    def test_tasks_are_reproducible(self) -> None:
        """In any order, and in a new instance of the stream."""
        stream, other = self.make(), self.make()
        forward = [stream[i] for i in range(len(stream))]
        for i in reversed(range(len(stream))):
            for task in (stream[i], other[i]):
                _assert_equal(task, forward[i])

    def test_the_global_generator_is_not_used(self) -> None:
        before = torch.random.get_rng_state()
        stream = self.make()
        stream[len(stream) - 1]
        stream.test(0)
        assert torch.equal(before, torch.random.get_rng_state())

    # --- invalid indices ---------------------------------------------------------------------------------------------

    def test_invalid_indices_are_refused(self) -> None:
        stream = self.make()
        for index in (-1, len(stream), len(stream) + 7):
            assert_refuses(ConfigError, partial(stream.__getitem__, index))
            assert_refuses(ConfigError, partial(stream.test, index))


def _assert_equal(got: Task, expected: Task) -> None:
    assert got.name == expected.name
    for name in ("inputs", "labels", "test_inputs", "test_labels"):
        assert torch.equal(getattr(got, name), getattr(expected, name)), (
            f"{name} of {expected.name!r} differ from one call to the next"
        )
