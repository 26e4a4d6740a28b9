"""Checks that hold for every task stream."""

from __future__ import annotations

from functools import partial

import torch

from ..contracts.task_stream import Task, TaskStream, check_task, check_tasks
from ..errors import ConfigError
from .assertions import assert_refuses


class StreamContract:
    """Checks that hold for every task stream. Subclass it, name the class `Test...`, and write `make`.

    Attributes:
        tasks: How many tasks the stream of `make` has.
        boundaries: Whether its learner may know where a task ends.
    """

    tasks: int
    boundaries: bool

    def make(self) -> TaskStream:
        """The stream under test, made anew."""
        raise NotImplementedError

    # --- what it says of itself --------------------------------------------------------------------------------------

    def test_it_keeps_the_protocol(self) -> None:
        stream = self.make()
        assert isinstance(stream, TaskStream)
        assert isinstance(stream.name, str)
        assert stream.name
        assert isinstance(stream.shape, tuple)
        assert all(isinstance(length, int) and length > 0 for length in stream.shape)
        assert isinstance(stream.classes, int)
        assert stream.classes >= 2
        assert stream.boundaries is self.boundaries

    def test_it_has_the_tasks_it_was_made_with(self) -> None:
        stream = self.make()
        assert len(stream) == self.tasks
        assert check_tasks(stream, None) == self.tasks
        assert_refuses(ConfigError, partial(check_tasks, stream, self.tasks + 1))

    # --- its tasks ---------------------------------------------------------------------------------------------------

    def test_every_task_is_of_the_stream(self) -> None:
        stream = self.make()
        for i in range(len(stream)):
            task = stream[i]
            assert isinstance(task, Task)
            assert check_task(stream, task) is task

    def test_tasks_have_names_of_their_own(self) -> None:
        stream = self.make()
        names = [stream[i].name for i in range(len(stream))]
        assert len(set(names)) == len(names)

    def test_inputs_are_float32(self) -> None:
        stream = self.make()
        task = stream[0]
        assert task.inputs.dtype == task.test_inputs.dtype == torch.float32

    def test_the_test_set_can_be_had_alone(self) -> None:
        stream = self.make()
        for i in range(len(stream)):
            inputs, labels = stream.test(i)
            task = stream[i]
            assert torch.equal(inputs, task.test_inputs)
            assert torch.equal(labels, task.test_labels)

    # --- the same each time ------------------------------------------------------------------------------------------

    def test_a_task_is_the_same_each_time(self) -> None:
        """Whatever was asked for before, and in a stream made anew."""
        stream, other = self.make(), self.make()
        forward = [stream[i] for i in range(len(stream))]
        for i in reversed(range(len(stream))):
            for again in (stream[i], other[i]):
                _assert_same(again, forward[i])

    def test_the_global_generator_is_not_touched(self) -> None:
        before = torch.random.get_rng_state()
        stream = self.make()
        stream[len(stream) - 1]
        stream.test(0)
        assert torch.equal(before, torch.random.get_rng_state())

    # --- past its end ------------------------------------------------------------------------------------------------

    def test_what_is_not_there_is_refused(self) -> None:
        stream = self.make()
        for index in (-1, len(stream), len(stream) + 7):
            assert_refuses(ConfigError, partial(stream.__getitem__, index))
            assert_refuses(ConfigError, partial(stream.test, index))


def _assert_same(got: Task, want: Task) -> None:
    assert got.name == want.name
    for name in ("inputs", "labels", "test_inputs", "test_labels"):
        assert torch.equal(getattr(got, name), getattr(want, name)), f"{name} of {want.name!r} differ from one call to the next"
