"""Tasks that each contain a few classes of one data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...contracts.stream_registry import construct_stream, register_stream
from ...contracts.task_stream import TaskStream
from ...errors import ConfigError
from ...validation import is_whole_number, whole_number
from ..images.images import Images
from .base import Stream, check_flags, check_images


@dataclass(frozen=True, eq=False)
class ClassSplit(Stream):
    """Tasks of groups of classes: digits 0 and 1, then 2 and 3, ...

    Args:
        images: The data set.
        groups: Number of classes per task, in the order of the labels, 1 for one class a task; or the classes of each task,
            such as ((0, 1), (4, 7)). A class may occur in several groups.
        relabel: False to keep the labels, so that the number of classes grows (class-incremental). True to number the classes
            of each task 0, 1, ... in the order of its group; the output layer is shared (domain-incremental) unless the
            learner has one for each task (task-incremental).
        scale: Normalisation, see `Images.train_set`; statistics are those of the whole data set.
        flatten: Inputs of shape (features,); otherwise (channels, height, width).
        boundaries: True if the learner may know where a task ends.

    Raises:
        ConfigError: empty groups, groups of one class with `relabel`, groups that do not divide the number of classes, or
            classes that the set lacks.

    Example:
        >>> from spinode.datasets import made_digits
        >>> stream = ClassSplit(made_digits(train=100, test=50))
        >>> len(stream), stream[1].name, stream[1].labels.unique().tolist()
        (5, 'classes 2, 3', [2, 3])

    Source: van de Ven, Tuytelaars, Tolias, Nat. Mach. Intell. 4, 1185 (2022), for the three scenarios.
    """

    images: Images
    groups: int | Sequence[Sequence[int]] = 2
    relabel: bool = False
    scale: str = "unit"
    flatten: bool = True
    boundaries: bool = True

    def __post_init__(self) -> None:
        check_images(self.images, self.scale)
        check_flags(self, "relabel", "flatten", "boundaries")
        groups = _check_groups(self.groups, self.images.classes)
        object.__setattr__(self, "groups", groups)
        if self.relabel and max(map(len, groups)) < 2:
            raise ConfigError(
                "all groups have one class, and relabel=True would call each of them 0: nothing would be left to classify. "
                "Use relabel=False."
            )
        for kind, labels in (("training", self.images.train_labels), ("test", self.images.test_labels)):
            missing = sorted({label for group in groups for label in group} - set(labels.unique().tolist()))
            if missing:
                raise ConfigError(
                    f"{self.images.name!r} has no {kind} images of the classes {missing}; leave them out of `groups`."
                )

    @property
    def name(self) -> str:
        """Name of the stream."""
        return f"split {self.images.name}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input, without the dimension of samples."""
        return self.images.shape(self.flatten)

    @property
    def classes(self) -> int:
        """Number of classes over the whole stream."""
        return max(map(len, self._groups)) if self.relabel else self.images.classes

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def _groups(self) -> tuple[tuple[int, ...], ...]:
        assert isinstance(self.groups, tuple)
        return self.groups

    def _name(self, index: int) -> str:
        return "classes " + ", ".join(map(str, self._groups[index]))

    def _train(self, index: int) -> tuple[Tensor, Tensor]:
        return self._select(index, *self.images.train_set(self.scale, self.flatten))

    def _test(self, index: int) -> tuple[Tensor, Tensor]:
        return self._select(index, *self.images.test_set(self.scale, self.flatten))

    def _select(self, index: int, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the samples of a group, in the order of the data set."""
        group = torch.tensor(self._groups[index])
        new_label = torch.full((self.images.classes,), -1)
        new_label[group] = torch.arange(len(group)) if self.relabel else group
        selected = torch.nonzero(new_label[labels] >= 0).flatten()
        return inputs.index_select(0, selected), new_label[labels[selected]]


def _check_groups(given: Any, classes: int) -> tuple[tuple[int, ...], ...]:
    """Return groups as tuples of classes, after checking them."""
    if is_whole_number(given):
        size = whole_number("groups", given, 1, classes)
        if classes % size:
            raise ConfigError(
                f"{classes} classes do not divide into groups of {size}; list the groups, such as ((0, 1, 2), (3, 4))."
            )
        return tuple(tuple(range(start, start + size)) for start in range(0, classes, size))
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigError(f"groups is {given!r}; expected a number of classes, or groups of classes, such as ((0, 1), (2, 3)).")
    groups = tuple(tuple(group) if isinstance(group, Iterable) else (group,) for group in given)
    if not groups:
        raise ConfigError("groups is empty; expected one group of classes for each task, such as ((0, 1), (2, 3)).")
    for group in groups:
        if not group:
            raise ConfigError("a group is empty; expected at least one class for each task.")
        if len(set(group)) < len(group):
            raise ConfigError(f"group {group} contains a class twice; expected each class once.")
    return tuple(tuple(whole_number(f"a class of group {group}", label, 0, classes - 1) for label in group) for group in groups)


def build_split(images: Sequence[Images], tasks: int | None, seed: int, settings: Mapping[str, Any]) -> TaskStream:
    """Build a task of each pair of classes, labelled 0 and 1 in every task."""
    return construct_stream(ClassSplit, images[0], {"relabel": True, **settings})


def build_class_incremental(images: Sequence[Images], tasks: int | None, seed: int, settings: Mapping[str, Any]) -> TaskStream:
    """Build a task of each pair of classes, with their own labels."""
    return construct_stream(ClassSplit, images[0], {"relabel": False, **settings})


register_stream(
    "split-mnist", build_split, images=["mnist"], summary="digits 0 and 1, then 2 and 3, ..., labelled 0 and 1 in each task"
)
register_stream(
    "class-mnist",
    build_class_incremental,
    images=["mnist"],
    summary="digits 0 and 1, then 2 and 3, ..., with their own labels",
)
register_stream(
    "class-cifar-10",
    build_class_incremental,
    images=["cifar-10"],
    summary="pairs of classes of CIFAR-10, one after another, with their own labels; flatten=false for convolutional networks",
)
register_stream(
    "class-digits",
    build_class_incremental,
    images=["made-digits"],
    summary="pairs of classes of generated digits, one after another, with their own labels; needs no files",
)
