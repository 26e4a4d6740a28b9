"""Stream learning: one data set that comes in portions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ...errors import ConfigError
from ..images.images import Images
from ..whole import check_whole
from .base import Stream, check_images, generator


@dataclass(frozen=True, eq=False)
class Subsets(Stream):
    """A data set cut into disjoint subsets, which are learned one after another; each is tested with the whole test set.

    Together the subsets are the training set. Each has its classes in the proportions of the whole, and its size, to within
    one sample; they are drawn at random by `seed`.

    Args:
        images: The set.
        parts: Number of subsets.
        seed: Seed of the cut and of the order in each subset.
        scale: Normalisation, see `Images.train_set`; statistics are those of the whole set.
        flatten: Inputs of shape (features,); otherwise (channels, height, width).
        boundaries: Whether the learner may know where a subset ends; it has no reason to.

    Raises:
        ConfigError: no subsets, or so many that one has a single class.

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
        check_whole("seed", self.seed, 0)
        labels = self.images.train_labels
        check_whole("parts", self.parts, 1, len(labels))
        # Part i has the labels at i, i + parts, ... of all labels in order: one class where first and last are the same.
        first = torch.arange(self.parts)
        last = first + self.parts * torch.div(len(labels) - 1 - first, self.parts, rounding_mode="floor")
        ordered = labels.sort().values
        alone = int((ordered[first] == ordered[last]).sum())
        if alone:
            raise ConfigError(
                f"of {self.parts} parts of {len(labels)} images {alone} would have one class only; expected fewer parts, such "
                f"that each has samples of two classes."
            )

    @property
    def name(self) -> str:
        """See `TaskStream`."""
        return f"{self.images.name} in {self.parts} subsets"

    @property
    def shape(self) -> tuple[int, ...]:
        """See `TaskStream`."""
        return self.images.shape(self.flatten)

    @property
    def classes(self) -> int:
        """See `TaskStream`."""
        return self.images.classes

    def __len__(self) -> int:
        return self.parts

    def samples(self, index: int) -> Tensor:
        """Which training images subset `index` has, in the order in which they come, shape (samples,).

        Raises:
            ConfigError: there is no such subset.
        """
        where = self._at(index)
        chosen = self._order[where :: self.parts]
        return chosen[torch.randperm(len(chosen), generator=generator(self.seed, 1, where))]

    @cached_property
    def _order(self) -> Tensor:
        """All training images class by class, at random within a class: every `parts`-th of them is a stratified sample."""
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
