"""Streams without task boundaries: each task fades into the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...contracts.stream_registry import construct_stream, register_stream
from ...contracts.task_stream import Task, TaskStream
from ...errors import ConfigError
from ...validation import number, seed_number, whole_number
from ..images.images import Images
from .base import Stream, generator
from .permuted import build_permuted


@dataclass(frozen=True, eq=False)
class ContinuousTasks(Stream):
    """A stream whose tasks fade into each other, divided into segments; the learner does not know where a task ends.

    Time t counts tasks: task k lasts from k to k + 1. Near the boundary k, a sample belongs to task k rather than to k - 1 with
    probability
        p(t) = min(1, max(0, 1/2 + β (t - k) / 2)),
    which rises from 0 to 1 over 2/β tasks. The beginning of the first task and the end of the last task are not mixed. The time
    within its task selects the sample, in an order that is shuffled by `seed`. With tasks of equal size, each sample of every
    task but the first and the last is thus learned once on average, as without fading.

    A segment is a `Task` whose training samples are such a mixture; its test set is that of the task at its time.

    Args:
        stream: The tasks.
        segments_per_task: Number of segments per task.
        beta: β, at least 1; infinite for abrupt changes, which are not announced to the learner either.
        seed: Seed of the mixture and of the order of the samples.

    Raises:
        ConfigError: `stream` is not a task stream, or a value is outside its range. When a segment is generated: its task has
            fewer samples than segments.

    Example:
        >>> from spinode.datasets import PermutedTasks, made_digits
        >>> stream = ContinuousTasks(PermutedTasks(made_digits(train=100, test=50), tasks=3), segments_per_task=4)
        >>> len(stream), stream[5].name
        (12, 'segment 1 of permutation 1')

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
        object.__setattr__(self, "segments_per_task", whole_number("segments_per_task", self.segments_per_task, 1))
        object.__setattr__(self, "seed", seed_number("seed", self.seed))
        # Below 1, three tasks would mix.
        object.__setattr__(self, "beta", number("beta", self.beta, 1, finite=False))

    @property
    def name(self) -> str:
        """Name of the stream."""
        return f"{self.stream.name}, continuous"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input, without the dimension of samples."""
        return self.stream.shape

    @property
    def classes(self) -> int:
        """Number of classes over the whole stream."""
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
        slots, fraction = self._segment_slots(index)
        offsets = self._draw_offsets(index, fraction)
        inputs, labels = [], []
        for offset in (-1, 0, 1):
            positions = torch.nonzero(offsets == offset).flatten()
            if len(positions):
                source = self._task(task + offset)
                # Samples of the task itself by their number; of another task, which may differ in size, by the same fraction.
                numbers = slots[positions] if offset == 0 else (fraction[positions] * len(source)).long()
                selected = self._order(task + offset, len(source))[numbers]
                inputs.append((positions, source.inputs[selected]))
                labels.append((positions, source.labels[selected]))
        return _merge(inputs), _merge(labels)

    def _segment_slots(self, index: int) -> tuple[Tensor, Tensor]:
        """Return the sample numbers of a segment within its task, and t - k of each, shape (samples,)."""
        task, segment = divmod(index, self.segments_per_task)
        count, segments = len(self._task(task)), self.segments_per_task
        if count < segments:
            raise ConfigError(
                f"{self._task(task).name!r} has {count} samples for {segments} segments; expected at least one per segment."
            )
        slots = torch.arange(count * segment // segments, count * (segment + 1) // segments)
        return slots, (slots.double() + 0.5) / count

    def _draw_offsets(self, index: int, fraction: Tensor) -> Tensor:
        """Draw the task of each sample: -1 for the previous, 0 for the current and 1 for the next task."""
        task = index // self.segments_per_task
        before = (0.5 - self.beta * fraction / 2).clamp(min=0) if task else torch.zeros_like(fraction)
        after = (
            (0.5 - self.beta * (1 - fraction) / 2).clamp(min=0) if task < len(self.stream) - 1 else torch.zeros_like(fraction)
        )
        draw = torch.rand(len(fraction), generator=generator(self.seed, 0, index), dtype=torch.float64)
        return (draw >= 1 - after).long() - (draw < before).long()

    def _order(self, task: int, count: int) -> Tensor:
        return torch.randperm(count, generator=generator(self.seed, 1, task))

    def _task(self, index: int) -> Task:
        """Return a task of the stream. The last two are kept, since consecutive segments mix the same two."""
        cache = self._task_cache
        if index not in cache:
            cache[index] = self.stream[index]
            for old in list(cache)[:-2]:
                del cache[old]
        return cache[index]

    @cached_property
    def _task_cache(self) -> dict[int, Task]:
        return {}


def _merge(pieces: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Merge pairs of positions and values into one tensor; the positions together are 0 .. samples - 1."""
    positions = torch.cat([position for position, _ in pieces])
    return torch.cat([values for _, values in pieces])[positions.argsort()]


def build_continuous(images: Sequence[Images], tasks: int | None, seed: int, settings: Mapping[str, Any]) -> TaskStream:
    """Build permuted tasks that fade into each other; `tasks` is the number of segments of the stream."""
    inner = {name: settings[name] for name in ("scale", "first_identity") if name in settings}
    outer = {name: value for name, value in settings.items() if name not in inner}
    count = None if tasks is None else -(-tasks // outer.get("segments_per_task", 10))
    return construct_stream(ContinuousTasks, build_permuted(images, count, seed, inner), {"seed": seed, **outer})


register_stream(
    "continuous-mnist", build_continuous, images=["mnist"], summary="permuted MNIST whose tasks fade into each other"
)
