"""Permuted images: every task is the same set with its pixels in another order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..images.images import Images
from ..whole import check_whole
from .base import Stream, check_images, generator


@dataclass(frozen=True, eq=False)
class PermutedTasks(Stream):
    """Tasks of the same images with permuted pixels: in task i, input k is pixel P_i(k).

    P_i is drawn by (seed, i) alone: a stream can be of any length, and task 199 needs none of those before it. Classes are
    shared (domain-incremental).

    Args:
        images: The set; `images.first(train=20_000)` for a part of it.
        tasks: Number of tasks.
        seed: Seed of the permutations.
        first_identity: Task 0 has the pixels as they are.
        scale: Normalisation, see `Images.train_set`: "unit" (Laborieux), "standard" (MESU), "training".
        boundaries: Whether the learner may know where a task ends.

    Raises:
        ConfigError: a value outside its range.

    Source: Goodfellow et al., arXiv:1312.6211 (2013).
    """

    images: Images
    tasks: int = 10
    seed: int = 0
    first_identity: bool = False
    scale: str = "unit"
    boundaries: bool = True

    def __post_init__(self) -> None:
        check_images(self.images, self.scale)
        check_whole("tasks", self.tasks, 1)
        check_whole("seed", self.seed, 0)

    @property
    def name(self) -> str:
        """See `TaskStream`."""
        return f"permuted {self.images.name}"

    @property
    def shape(self) -> tuple[int, ...]:
        """See `TaskStream`."""
        return self.images.shape()

    @property
    def classes(self) -> int:
        """See `TaskStream`."""
        return self.images.classes

    def __len__(self) -> int:
        return self.tasks

    def permutation(self, index: int) -> Tensor:
        """P_i: which pixel comes where in task `index`, shape (features,).

        Raises:
            ConfigError: there is no such task.
        """
        where = self._at(index)
        pixels = self.shape[0]
        if where == 0 and self.first_identity:
            return torch.arange(pixels)
        return torch.randperm(pixels, generator=generator(self.seed, where))

    def _name(self, index: int) -> str:
        return f"permutation {index}"

    def _train(self, index: int) -> tuple[Tensor, Tensor]:
        return self._permuted(index, *self.images.train_set(self.scale))

    def _test(self, index: int) -> tuple[Tensor, Tensor]:
        return self._permuted(index, *self.images.test_set(self.scale))

    def _permuted(self, index: int, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return inputs.index_select(1, self.permutation(index)), labels
