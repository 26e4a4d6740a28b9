"""Stream learning: one data set that is learned in subsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...contracts.stream_registry import construct_stream, register_stream
from ...contracts.task_stream import TaskStream
from ...validation import seed_number, whole_number
from ..images.images import Images
from .base import Stream, check_flags, check_images, generator


@dataclass(frozen=True, eq=False)
class Subsets(Stream):
    """Disjoint subsets of a data set that are learned one after another, each tested on the whole test set.

    Together the subsets are the training set. They are stratified: class frequencies and sizes are equal to within one sample.

    Args:
        images: The data set.
        parts: Number of subsets.
        seed: Seed of the division and of the order within each subset.
        scale: Normalisation, see `Images.train_set`; statistics are those of the whole data set.
        flatten: Inputs of shape (features,); otherwise (channels, height, width).
        boundaries: True if the learner may know where a subset ends.

    Raises:
        ConfigError: no subsets, or more than images.

    Example:
        >>> from spinode.datasets import made_digits
        >>> stream = Subsets(made_digits(train=100, test=50), parts=4)
        >>> [len(task) for task in stream]
        [25, 25, 25, 25]

    Source: Laborieux et al., Nat. Commun. 12, 2549 (2021), stream learning (60 subsets of Fashion-MNIST).
    """

    images: Images
    parts: int = 60
    seed: int = 0
    scale: str = "unit"
    flatten: bool = True
    boundaries: bool = False

    def __post_init__(self) -> None:
        check_images(self.images, self.scale)
        object.__setattr__(self, "seed", seed_number("seed", self.seed))
        check_flags(self, "flatten", "boundaries")
        labels = self.images.train_labels
        object.__setattr__(self, "parts", whole_number("parts", self.parts, 1, len(labels)))

    @property
    def name(self) -> str:
        """Name of the stream."""
        return f"{self.images.name} in {self.parts} subsets"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input, without the dimension of samples."""
        return self.images.shape(self.flatten)

    @property
    def classes(self) -> int:
        """Number of classes over the whole stream."""
        return self.images.classes

    def __len__(self) -> int:
        return self.parts

    def samples(self, index: int) -> Tensor:
        """Return the indices of the training images of a subset, in the order of learning, shape (samples,).

        Raises:
            ConfigError: there is no such subset.
        """
        position = self._check_index(index)
        members = self._order[position :: self.parts]
        return members[torch.randperm(len(members), generator=generator(self.seed, 1, position))]

    @cached_property
    def _order(self) -> Tensor:
        """All training images sorted by class, shuffled within each class: every `parts`-th of them is a stratified sample."""
        labels = self.images.train_labels
        shuffled = torch.randperm(len(labels), generator=generator(self.seed, 0))
        return shuffled[labels[shuffled].sort(stable=True).indices]

    def _name(self, index: int) -> str:
        return f"subset {index}"

    def _train(self, index: int) -> tuple[Tensor, Tensor]:
        inputs, labels = self.images.train_set(self.scale, self.flatten)
        samples = self.samples(index)
        return inputs.index_select(0, samples), labels[samples]

    def _test(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images.test_set(self.scale, self.flatten)


def build_subsets(images: Sequence[Images], tasks: int | None, seed: int, settings: Mapping[str, Any]) -> TaskStream:
    """Build subsets of one set of images, without known task boundaries."""
    return construct_stream(Subsets, images[0], {"seed": seed, **settings})


register_stream("stream-fashion", build_subsets, images=["fashion-mnist"], summary="Fashion-MNIST in 60 subsets")
