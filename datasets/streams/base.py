"""`Stream`: base class of the task streams. A subclass selects the samples of each task."""

from __future__ import annotations

import operator
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ...contracts.task_stream import Task
from ...errors import ConfigError
from ...validation import flag
from ..images.images import Images, check_scale


class TaskIndexError(ConfigError, IndexError):
    """The stream has no task with the requested index; an IndexError, so that it also ends a loop over the stream."""


class Stream:
    """Base of the task streams. A subclass defines `name`, `shape`, `classes`, `__len__`, `_name`, `_train` and `_test`.

    Attributes:
        boundaries: True if the learner may know where a task ends.
    """

    boundaries: bool

    def __len__(self) -> int:
        raise NotImplementedError

    def _name(self, index: int) -> str:
        raise NotImplementedError

    def _train(self, index: int) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _test(self, index: int) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Task:
        """Generate the task at an index.

        Raises:
            ConfigError: there is no such task.
        """
        position = self._check_index(index)
        return Task(self._name(position), *self._train(position), *self._test(position))

    def __iter__(self) -> Iterator[Task]:
        return (self[i] for i in range(len(self)))

    def test(self, index: int) -> tuple[Tensor, Tensor]:
        """Return test inputs and labels of the task at an index, without generating its training set.

        Raises:
            ConfigError: there is no such task.
        """
        return self._test(self._check_index(index))

    def _check_index(self, index: int) -> int:
        position = operator.index(index)
        if not 0 <= position < len(self):
            raise TaskIndexError(f"there is no task {position}; the stream has {len(self)}: expected 0 .. {len(self) - 1}.")
        return position


def check_images(images: Images, scale: str) -> None:
    """Check a set of images and the name of a normalisation.

    Raises:
        ConfigError: `images` is not an `Images`, or `scale` is unknown.
    """
    if not isinstance(images, Images):
        raise ConfigError(
            f"images are a {type(images).__name__}; expected Images, such as mnist(), or images_from_arrays(...) for "
            "your own arrays."
        )
    check_scale(scale)


def check_flags(stream: Stream, *names: str) -> None:
    """Check attributes of a frozen stream that are True or False.

    Raises:
        ConfigError: another value.
    """
    for name in names:
        object.__setattr__(stream, name, flag(name, getattr(stream, name)))


def generator(*numbers: int) -> torch.Generator:
    """Return a random generator for several seeds, such as (seed, task); different seeds give independent numbers."""
    state = np.random.SeedSequence([int(number) for number in numbers]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))
