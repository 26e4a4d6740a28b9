"""Whole data sets, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ...errors import ConfigError
from ..images.images import Images
from .base import Stream, check_images


@dataclass(frozen=True, eq=False)
class TaskSequence(Stream):
    """Data sets in turn, such as `TaskSequence([mnist(), fashion_mnist()])` or the reverse.

    Labels are shared: class 3 is a digit first and a dress then (domain-incremental).

    Args:
        sets: The sets in order, with images of one size.
        names: Names of the tasks; those of the sets if None.
        scale: Normalisation, see `Images.train_set`, of each set with statistics of its own.
        flatten: Inputs of shape (features,); otherwise (channels, height, width).
        boundaries: Whether the learner may know where a task ends.

    Raises:
        ConfigError: no sets, images of several sizes, or another number of names.
    """

    sets: Sequence[Images]
    names: Sequence[str] | None = None
    scale: str = "unit"
    flatten: bool = True
    boundaries: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.sets, Images) or not isinstance(self.sets, Sequence) or not self.sets:
            raise ConfigError(f"sets is {self.sets!r}; expected a list of Images, such as [mnist(), fashion_mnist()].")
        object.__setattr__(self, "sets", tuple(self.sets))
        for images in self.sets:
            check_images(images, self.scale)
        names = [images.name for images in self.sets] if self.names is None else self.names
        if isinstance(names, str) or len(names) != len(self.sets):
            raise ConfigError(f"names are {names!r} for {len(self.sets)} sets; expected one for each, or None.")
        object.__setattr__(self, "names", tuple(names))
        sizes = {images.name: images.shape(self.flatten) for images in self.sets}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise ConfigError(f"the sets have inputs of several shapes ({listed}); expected one: crop or pad the images.")

    @property
    def name(self) -> str:
        """See `TaskStream`."""
        return " then ".join(self.names or ())

    @property
    def shape(self) -> tuple[int, ...]:
        """See `TaskStream`."""
        return self.sets[0].shape(self.flatten)

    @property
    def classes(self) -> int:
        """See `TaskStream`."""
        return max(images.classes for images in self.sets)

    def __len__(self) -> int:
        return len(self.sets)

    def _name(self, index: int) -> str:
        return (self.names or ())[index]

    def _train(self, index: int) -> tuple[Tensor, Tensor]:
        return self.sets[index].train_set(self.scale, self.flatten)

    def _test(self, index: int) -> tuple[Tensor, Tensor]:
        return self.sets[index].test_set(self.scale, self.flatten)
