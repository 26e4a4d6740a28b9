"""`Stream`: what the members have in common. A member adds which samples a task has."""

from __future__ import annotations

import operator
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ...contracts.task_stream import Task
from ...errors import ConfigError
from ..images.images import Images, check_scale


class PastTheEnd(ConfigError, IndexError):
    """A task was asked for that the stream does not have; as an IndexError it also ends a loop over the stream."""


class Stream:
    """Base of the task streams. A member writes `name`, `shape`, `classes`, `__len__`, `_name`, `_train` and `_test`.

    Attributes:
        boundaries: Whether the learner may know where a task ends.
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
        """Task number `index`, made now.

        Raises:
            ConfigError: there is none.
        """
        where = self._at(index)
        return Task(self._name(where), *self._train(where), *self._test(where))

    def __iter__(self) -> Iterator[Task]:
        return (self[i] for i in range(len(self)))

    def test(self, index: int) -> tuple[Tensor, Tensor]:
        """Test inputs and labels of task number `index` alone.

        Raises:
            ConfigError: there is none.
        """
        return self._test(self._at(index))

    def _at(self, index: int) -> int:
        where = operator.index(index)
        if not 0 <= where < len(self):
            raise PastTheEnd(f"there is no task {where}; the stream has {len(self)}: expected 0 .. {len(self) - 1}.")
        return where


def check_images(images: Images, scale: str) -> None:
    """Refuse what is no set of images, and an unknown normalisation.

    Raises:
        ConfigError: either.
    """
    if not isinstance(images, Images):
        raise ConfigError(
            f"images are a {type(images).__name__}; expected Images, such as mnist(), or images_from_arrays(...) for arrays of "
            "your own."
        )
    check_scale(scale)


def generator(*numbers: int) -> torch.Generator:
    """A source of random numbers that belongs to several seeds at once, such as (seed, task): all of them independent."""
    state = np.random.SeedSequence([int(number) for number in numbers]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))
