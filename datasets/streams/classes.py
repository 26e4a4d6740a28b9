"""One data set, a few of its classes at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...errors import ConfigError
from ..images.images import Images
from ..whole import check_whole
from .base import Stream, check_images


@dataclass(frozen=True, eq=False)
class ClassSplit(Stream):
    """Tasks of groups of classes: digits 0 and 1, then 2 and 3, ...

    Args:
        images: The set.
        groups: How many classes each task has, in the order of the labels, or the classes themselves, such as ((0, 1), (4, 7)).
            A class may come back in a later group.
        relabel: False: labels stay, and the classes known so far grow (class-incremental). True: in each task its classes
            are 0, 1, ... in the order of its group; the head is shared (domain-incremental) unless the learner keeps one
            for each task (task-incremental).
        scale: Normalisation, see `Images.train_set`; statistics are those of the whole set.
        flatten: Inputs of shape (features,); otherwise (channels, height, width).
        boundaries: Whether the learner may know where a task ends.

    Raises:
        ConfigError: groups of one class, that do not go into the number of classes, or with classes that the set lacks.

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
        made = _groups(self.groups, self.images.classes)
        object.__setattr__(self, "groups", made)
        for kind, labels in (("training", self.images.train_labels), ("test", self.images.test_labels)):
            missing = sorted({each for group in made for each in group} - set(labels.unique().tolist()))
            if missing:
                raise ConfigError(
                    f"{self.images.name!r} has no {kind} images of the classes {missing}; leave them out of groups."
                )

    @property
    def name(self) -> str:
        """See `TaskStream`."""
        return f"split {self.images.name}"

    @property
    def shape(self) -> tuple[int, ...]:
        """See `TaskStream`."""
        return self.images.shape(self.flatten)

    @property
    def classes(self) -> int:
        """See `TaskStream`."""
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
        return self._of(index, *self.images.train_set(self.scale, self.flatten))

    def _test(self, index: int) -> tuple[Tensor, Tensor]:
        return self._of(index, *self.images.test_set(self.scale, self.flatten))

    def _of(self, index: int, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The samples of a group, in the order of the set."""
        group = torch.tensor(self._groups[index])
        label = torch.full((self.images.classes,), -1)
        label[group] = torch.arange(len(group)) if self.relabel else group
        chosen = torch.nonzero(label[labels] >= 0).flatten()
        return inputs.index_select(0, chosen), label[labels[chosen]]


def _groups(given: Any, classes: int) -> tuple[tuple[int, ...], ...]:
    """Groups as tuples of classes, checked."""
    if isinstance(given, int):
        check_whole("groups", given, 2, classes)
        if classes % given:
            raise ConfigError(
                f"{classes} classes do not divide into groups of {given}; name the groups, such as ((0, 1, 2), (3, 4))."
            )
        return tuple(tuple(range(start, start + given)) for start in range(0, classes, given))
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigError(f"groups is {given!r}; expected a number of classes, or groups of classes, such as ((0, 1), (2, 3)).")
    groups = tuple(tuple(each) if isinstance(each, Iterable) else (each,) for each in given)
    if not groups:
        raise ConfigError("groups is empty; expected one group of classes for each task, such as ((0, 1), (2, 3)).")
    for group in groups:
        if len(group) < 2:
            raise ConfigError(
                f"group {group} has one class or none; expected two at least: one alone cannot be told from anything."
            )
        if len(set(group)) < len(group):
            raise ConfigError(f"group {group} names a class twice; expected each once.")
        for each in group:
            check_whole(f"a class of group {group}", each, 0, classes - 1)
    return tuple(tuple(int(each) for each in group) for group in groups)
