"""`StreamData`: the batches of a task stream, epoch by epoch, in an order that follows from the seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from ..contracts.task_stream import Task, TaskStream, check_task
from ..errors import ConfigError
from .config import StreamConfig


class _Epoch:
    """One pass over a task, which a checkpoint may interrupt: what it yields next is part of its state."""

    def __init__(self, task: Task, order: Tensor | None, batch_size: int, block: int, share: slice) -> None:
        self.task, self.order, self.batch_size, self.share = task, order, batch_size, share
        self.stride = batch_size * block
        self.position = 0

    def __len__(self) -> int:
        return -(-len(self.task) // self.stride)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, int]]:
        while self.position < len(self):
            chosen = slice(self.position * self.stride, (self.position + 1) * self.stride)
            self.position += 1
            # Without an order the batch is a view of the task, and nothing is copied.
            rows = chosen if self.order is None else self.order[chosen]
            yield self.task.inputs[rows][self.share], self.task.labels[rows][self.share], self.batch_size
        self.position = 0

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = int(state["position"])


class StreamData(LightningDataModule):
    """Epochs of a stream: epoch e is a pass over task e // epochs.

    Several processes share each batch evenly, in turn.

    Args:
        stream: The tasks.
        tasks: How many of them.
        config: How often, in what batches and in what order.
        block: Batches that are handed over at once.
    """

    def __init__(self, stream: TaskStream, tasks: int, config: StreamConfig, block: int = 1) -> None:
        super().__init__()
        self.stream, self.tasks, self.config, self.block = stream, tasks, config, block
        self.epochs, self.batch_size = config.epochs, config.batch_size
        self._held: tuple[int, Task] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What a checkpoint must agree with."""
        stream = {"stream": self.stream.name, "shape": str(tuple(self.stream.shape)), "classes": self.stream.classes}
        return {**stream, "block": self.block, **asdict(self.config), "tasks": self.tasks}

    def task(self, index: int) -> Task:
        """A task, checked; the newest one is kept while its epochs last."""
        if self._held is None or self._held[0] != index:
            self._held = None  # before the next one is made: two at once would be twice the memory
            self._held = (index, check_task(self.stream, self.stream[index]))
        return self._held[1]

    def release(self) -> None:
        """Let go of the task that is kept."""
        self._held = None

    def train_dataloader(self) -> _Epoch:
        """The batches of the epoch that the trainer is at."""
        trainer = self.trainer
        if trainer is None:
            raise ConfigError("StreamData belongs to a running Trainer; use spinode.training.train(learner, stream).")
        epoch = min(trainer.current_epoch, self.tasks * self.epochs - 1)
        task = self.task(epoch // self.epochs)
        order = None
        if self.config.shuffle:
            # Seed and epoch in one number: a resumed run sees what an uninterrupted one sees.
            generator = torch.Generator().manual_seed((self.config.seed << 24) + epoch)
            order = torch.randperm(len(task), generator=generator)
        return _Epoch(
            task, order, self.batch_size, self.block, _share(trainer.global_rank, trainer.world_size, self, len(task))
        )


def _share(rank: int, processes: int, data: StreamData, samples: int) -> slice:
    if processes == 1:
        return slice(None)
    rest = samples % data.batch_size
    if data.batch_size % processes or rest % processes or data.block > 1:
        raise ConfigError(
            f"batches of {data.batch_size} samples{f' and a last one of {rest}' if rest else ''} cannot be shared evenly by "
            f"{processes} processes{', and this learner takes them in rows' if data.block > 1 else ''}; choose batch_size and "
            "number of processes accordingly."
        )
    return slice(rank, None, processes)
