"""`StreamData`: the batches of a task stream, epoch by epoch, in an order that depends on the seed only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from ..contracts.task_stream import Task, TaskStream, check_task
from ..errors import ConfigError
from .config import StreamConfig
from .passes import Passes


class _Epoch:
    """One pass over a task, which can be interrupted: the position of the next batch is part of its state."""

    def __init__(self, task: Task, order: Tensor | None, batch_size: int, block: int, share: slice, smallest: int) -> None:
        self.task, self.order, self.batch_size, self.share = task, order, batch_size, share
        self.stride = batch_size * block
        self.joins = 0 < len(task) % self.stride < smallest and len(task) > self.stride
        self.position = 0

    def __len__(self) -> int:
        return -(-len(self.task) // self.stride) - self.joins

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, int]]:
        while self.position < len(self):
            start = self.position * self.stride
            self.position += 1
            span = slice(start, len(self.task) if self.position == len(self) else start + self.stride)
            # Without an order the batch is a view of the task, and nothing is copied.
            rows = span if self.order is None else self.order[span]
            yield self.task.inputs[rows][self.share], self.task.labels[rows][self.share], self.batch_size
        self.position = 0

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = int(state["position"])


class StreamData(LightningDataModule):
    """Epochs of a stream, each of which is a pass over a task.

    Several processes share each batch evenly: each takes every n-th sample.

    Args:
        stream: The tasks.
        tasks: Number of tasks.
        config: Size of batches and order of samples.
        passes: Passes over each task.
        block: Consecutive batches that are passed on together.
        smallest_batch: A last batch of fewer samples joins the one before.
    """

    def __init__(
        self, stream: TaskStream, config: StreamConfig, passes: Passes, block: int = 1, smallest_batch: int = 1
    ) -> None:
        super().__init__()
        self.stream, self.config, self.passes, self.block = stream, config, passes, block
        self.smallest_batch = smallest_batch
        self.batch_size = config.batch_size
        self._newest: tuple[int, Task] | None = None

    @property
    def tasks(self) -> int:
        """Number of tasks."""
        return len(self.passes.counts)

    def task(self, index: int) -> Task:
        """Return a checked task; the newest one is cached while its epochs last."""
        if self._newest is None or self._newest[0] != index:
            self._newest = None  # released before the next one is built, so that only one is in memory
            self._newest = (index, check_task(self.stream, self.stream[index]))
        return self._newest[1]

    def release(self) -> None:
        """Release the cached task."""
        self._newest = None

    def train_dataloader(self) -> _Epoch:
        """Return the batches of the current epoch of the trainer."""
        trainer = self.trainer
        if trainer is None:
            raise ConfigError("StreamData needs a running Trainer; use spinode.training.train(learner, stream).")
        epoch = min(trainer.current_epoch, self.passes.total - 1)
        task = self.task(self.passes.locate(epoch)[0])
        order = None
        if self.config.shuffle:
            # Seed and epoch in one number: a resumed run uses the same order as an uninterrupted one.
            generator = torch.Generator().manual_seed((self.config.seed << 24) + epoch)
            order = torch.randperm(len(task), generator=generator)
        share = batch_share(trainer.global_rank, trainer.world_size, self.batch_size, self.block, len(task))
        return _Epoch(task, order, self.batch_size, self.block, share, self.smallest_batch)


def batch_share(rank: int, processes: int, batch_size: int, block: int, samples: int) -> slice:
    """Return the samples of each batch that one process takes.

    Args:
        rank: Index of the process.
        processes: Number of processes.
        batch_size: Samples per batch over all processes.
        block: Consecutive batches that are passed on together.
        samples: Samples of the task.

    Raises:
        ConfigError: batches that cannot be divided evenly.

    Example:
        >>> list(range(6))[batch_share(1, 2, 6, 1, 600)]
        [1, 3, 5]
    """
    if processes == 1:
        return slice(None)
    remainder = samples % batch_size
    if batch_size % processes or remainder % processes or block > 1:
        last = f" and a last one of {remainder}" if remainder else ""
        blocks = ", and this learner takes several batches at once" if block > 1 else ""
        raise ConfigError(
            f"batches of {batch_size} samples{last} cannot be shared evenly by {processes} processes{blocks}; choose "
            "batch_size and number of processes accordingly."
        )
    return slice(rank, None, processes)
