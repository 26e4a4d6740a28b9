"""Permuted images: every task is the same data set with its pixels in another order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...contracts.stream_registry import construct_stream, register_stream
from ...contracts.task_stream import TaskStream
from ...validation import seed_number, whole_number
from ..images.images import Images
from .base import Stream, check_flags, check_images, generator


@dataclass(frozen=True, eq=False)
class PermutedTasks(Stream):
    """Tasks of the same images with permuted pixels: in task i, input k is pixel P_i(k).

    P_i depends only on (seed, i): a stream can have any length, and task 199 does not need those before it. All tasks share
    their classes (domain-incremental).

    Args:
        images: The data set; `images.first(train=20_000)` for a part of it.
        tasks: Number of tasks.
        seed: Seed of the permutations.
        first_identity: Keep the pixels of task 0 in their order.
        scale: Normalisation, see `Images.train_set`: "unit" (Laborieux et al.), "standard" (MESU) or "training".
        boundaries: True if the learner may know where a task ends.

    Raises:
        ConfigError: a value outside its range.

    Source: Goodfellow et al., arXiv:1312.6211 (2013).

    Example:
        >>> from spinode.datasets import made_digits
        >>> images = made_digits(train=100, test=50)
        >>> stream = PermutedTasks(images, tasks=3, seed=1)
        >>> len(stream), stream.shape, stream[2].name
        (3, (784,), 'permutation 2')
        >>> bool((stream[2].inputs == images.train_set()[0][:, stream.permutation(2)]).all())
        True
    """

    images: Images
    tasks: int = 10
    seed: int = 0
    first_identity: bool = False
    scale: str = "unit"
    boundaries: bool = True

    def __post_init__(self) -> None:
        check_images(self.images, self.scale)
        object.__setattr__(self, "tasks", whole_number("tasks", self.tasks, 1))
        object.__setattr__(self, "seed", seed_number("seed", self.seed))
        check_flags(self, "first_identity", "boundaries")

    @property
    def name(self) -> str:
        """Name of the stream."""
        return f"permuted {self.images.name}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input, without the dimension of samples."""
        return self.images.shape()

    @property
    def classes(self) -> int:
        """Number of classes over the whole stream."""
        return self.images.classes

    def __len__(self) -> int:
        return self.tasks

    def permutation(self, index: int) -> Tensor:
        """Return the permutation P_i of the task at an index, shape (features,).

        Raises:
            ConfigError: there is no such task.
        """
        position = self._check_index(index)
        pixels = self.shape[0]
        if position == 0 and self.first_identity:
            return torch.arange(pixels)
        return torch.randperm(pixels, generator=generator(self.seed, position))

    def _name(self, index: int) -> str:
        return f"permutation {index}"

    def _train(self, index: int) -> tuple[Tensor, Tensor]:
        return self._permute(index, *self.images.train_set(self.scale))

    def _test(self, index: int) -> tuple[Tensor, Tensor]:
        return self._permute(index, *self.images.test_set(self.scale))

    def _permute(self, index: int, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return inputs.index_select(1, self.permutation(index)), labels


def build_permuted(images: Sequence[Images], tasks: int | None, seed: int, settings: Mapping[str, Any]) -> TaskStream:
    """Build tasks with permuted pixels from one set of images."""
    length = {} if tasks is None else {"tasks": tasks}
    return construct_stream(PermutedTasks, images[0], {**length, "seed": seed, **settings})


register_stream(
    "permuted-mnist", build_permuted, images=["mnist"], permuted=True, summary="MNIST, its pixels in another order in each task"
)
register_stream(
    "permuted-fashion",
    build_permuted,
    images=["fashion-mnist"],
    permuted=True,
    summary="Fashion-MNIST, its pixels in another order in each task",
)
register_stream(
    "made-digits",
    build_permuted,
    images=["made-digits"],
    permuted=True,
    summary="generated digits, their pixels in another order in each task; needs no files",
)
