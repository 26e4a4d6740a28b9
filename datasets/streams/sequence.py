"""Data sets that are learned one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...contracts.stream_registry import construct_stream, register_stream
from ...contracts.task_stream import TaskStream
from ...errors import ConfigError
from ..images.images import Images
from .base import Stream, check_flags, check_images


@dataclass(frozen=True, eq=False)
class TaskSequence(Stream):
    """One task per data set, such as `TaskSequence([mnist(), fashion_mnist()])`.

    Labels are shared: class 3 is first a digit and then a dress (domain-incremental).

    Args:
        sets: Data sets in the order of the tasks, with images of the same size.
        names: Names of the tasks; those of the data sets if None.
        scale: Normalisation, see `Images.train_set`; each data set uses its own statistics.
        flatten: Inputs of shape (features,); otherwise (channels, height, width).
        boundaries: True if the learner may know where a task ends.

    Raises:
        ConfigError: no data sets, images of several sizes, or another number of names.

    Example:
        >>> from spinode.datasets import made_digits
        >>> stream = TaskSequence([made_digits(seed, train=100, test=50) for seed in (0, 1)], names=["first", "second"])
        >>> len(stream), stream.name
        (2, 'first then second')
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
        check_flags(self, "flatten", "boundaries")
        names = [images.name for images in self.sets] if self.names is None else self.names
        if isinstance(names, str) or len(names) != len(self.sets):
            raise ConfigError(f"names is {names!r} for {len(self.sets)} sets; expected one name for each, or None.")
        object.__setattr__(self, "names", tuple(names))
        sizes = {images.name: images.shape(self.flatten) for images in self.sets}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise ConfigError(f"the sets have inputs of several shapes ({listed}); expected one shape. Crop or pad the images.")

    @property
    def name(self) -> str:
        """Name of the stream."""
        return " then ".join(self.names or ())

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input, without the dimension of samples."""
        return self.sets[0].shape(self.flatten)

    @property
    def classes(self) -> int:
        """Number of classes over the whole stream."""
        return max(images.classes for images in self.sets)

    def __len__(self) -> int:
        return len(self.sets)

    def _name(self, index: int) -> str:
        return (self.names or ())[index]

    def _train(self, index: int) -> tuple[Tensor, Tensor]:
        return self.sets[index].train_set(self.scale, self.flatten)

    def _test(self, index: int) -> tuple[Tensor, Tensor]:
        return self.sets[index].test_set(self.scale, self.flatten)


def build_sequence(images: Sequence[Images], tasks: int | None, seed: int, settings: Mapping[str, Any]) -> TaskStream:
    """Build one task per set of images."""
    return construct_stream(TaskSequence, images, settings)


def build_colours(images: Sequence[Images], tasks: int | None, seed: int, settings: Mapping[str, Any]) -> TaskStream:
    """Build one task per set of images for convolutional networks: inputs of shape (channels, height, width)."""
    return construct_stream(TaskSequence, images, {"flatten": False, **settings})


register_stream("mnist-fashion", build_sequence, images=["mnist", "fashion-mnist"], summary="MNIST, then Fashion-MNIST")
register_stream("fashion-mnist", build_sequence, images=["fashion-mnist", "mnist"], summary="Fashion-MNIST, then MNIST")
register_stream("mnist", build_sequence, images=["mnist"], summary="MNIST as the only task")
register_stream("cifar-10", build_colours, images=["cifar-10"], summary="CIFAR-10 as the only task, for convolutional networks")
