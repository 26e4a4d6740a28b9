"""Streams without boundaries: one task fades into the next."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ...contracts.task_stream import Task, TaskStream
from ...errors import ConfigError
from ..whole import check_whole
from .base import Stream, generator


@dataclass(frozen=True, eq=False)
class ContinuousTasks(Stream):
    """A stream whose tasks fade into each other, in segments; the learner is not told where a task ends.

    With time t counted in tasks, task k has the time k .. k + 1, and at t near the boundary k a sample is one
    of task k rather than k - 1 with probability
        p(t) = min(1, max(0, 1/2 + β (t - k) / 2)),
    which rises from 0 to 1 over 2/β tasks. The first task begins pure and the last one ends so. Which of the samples of its
    task is drawn, its place in the task's time says, in an order shuffled by `seed`: with tasks of one size each sample of all
    but the first and the last is learned once on average, as without the fading.

    A segment is a `Task` whose training samples are such a mixture; it is tested with the task that its time belongs to.

    Args:
        stream: What fades.
        segments_per_task: How many segments the time of a task is cut into.
        beta: β, at least 1; infinite for hard changes, of which the learner is not told either.
        seed: Seed of the draws and of the order of the samples.

    Raises:
        ConfigError: what is no stream, or a value outside its range; later, a task with fewer samples than segments.

    Source: Zeno, Golan, Hoffer, Soudry, Neural Comput. 33, 3139 (2021), continuous task-agnostic permuted MNIST (β = 4).
    """

    stream: TaskStream
    segments_per_task: int = 10
    beta: float = 4.0
    seed: int = 0

    boundaries = False

    def __post_init__(self) -> None:
        if not isinstance(self.stream, TaskStream):
            raise ConfigError(
                f"stream is a {type(self.stream).__name__}; expected a task stream, such as PermutedTasks(mnist(), tasks=10)."
            )
        check_whole("segments_per_task", self.segments_per_task, 1)
        check_whole("seed", self.seed, 0)
        if not (isinstance(self.beta, (int, float)) and self.beta >= 1):
            raise ConfigError(f"beta is {self.beta!r}; expected a number of at least 1: with less, three tasks would mix.")

    @property
    def name(self) -> str:
        """See `TaskStream`."""
        return f"{self.stream.name}, continuous"

    @property
    def shape(self) -> tuple[int, ...]:
        """See `TaskStream`."""
        return self.stream.shape

    @property
    def classes(self) -> int:
        """See `TaskStream`."""
        return self.stream.classes

    def __len__(self) -> int:
        return len(self.stream) * self.segments_per_task

    def _name(self, index: int) -> str:
        task, segment = divmod(index, self.segments_per_task)
        return f"segment {segment} of {self._task(task).name}"

    def _test(self, index: int) -> tuple[Tensor, Tensor]:
        return self.stream.test(index // self.segments_per_task)

    def _train(self, index: int) -> tuple[Tensor, Tensor]:
        task = index // self.segments_per_task
        slots, place = self._slots(index)
        shift = self._shift(index, place)
        inputs, labels = [], []
        for neighbour in (-1, 0, 1):
            there = torch.nonzero(shift == neighbour).flatten()
            if len(there):
                source = self._task(task + neighbour)
                # Own samples by their exact number; those of a task of another size by the same share of its time.
                where = slots[there] if neighbour == 0 else (place[there] * len(source)).long()
                chosen = self._order(task + neighbour, len(source))[where]
                inputs.append((there, source.inputs[chosen]))
                labels.append((there, source.labels[chosen]))
        return _merged(inputs), _merged(labels)

    def _slots(self, index: int) -> tuple[Tensor, Tensor]:
        """The samples of a segment: their numbers in its task, and t - k of each, shape (samples,)."""
        task, segment = divmod(index, self.segments_per_task)
        count, segments = len(self._task(task)), self.segments_per_task
        if count < segments:
            raise ConfigError(
                f"{self._task(task).name!r} has {count} samples for {segments} segments; expected one for each at least."
            )
        slots = torch.arange(count * segment // segments, count * (segment + 1) // segments)
        return slots, (slots.double() + 0.5) / count

    def _shift(self, index: int, place: Tensor) -> Tensor:
        """From which task each sample comes: -1 the one before, 0 that of the time, 1 the one after."""
        task = index // self.segments_per_task
        before = (0.5 - self.beta * place / 2).clamp(min=0) if task else torch.zeros_like(place)
        after = (0.5 - self.beta * (1 - place) / 2).clamp(min=0) if task < len(self.stream) - 1 else torch.zeros_like(place)
        draw = torch.rand(len(place), generator=generator(self.seed, 0, index), dtype=torch.float64)
        return (draw >= 1 - after).long() - (draw < before).long()

    def _order(self, task: int, count: int) -> Tensor:
        return torch.randperm(count, generator=generator(self.seed, 1, task))

    def _task(self, index: int) -> Task:
        """A task of the stream, one of the last two that were asked for: a segment mixes two, and the next one the same."""
        recent = self._recent
        if index not in recent:
            recent[index] = self.stream[index]
            for old in list(recent)[:-2]:
                del recent[old]
        return recent[index]

    @cached_property
    def _recent(self) -> dict[int, Task]:
        return {}


def _merged(pieces: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Values at their places: pairs of places and values, which together fill 0 .. samples - 1."""
    places = torch.cat([place for place, _ in pieces])
    return torch.cat([values for _, values in pieces])[places.argsort()]
