"""Shooting windows as batches of data for Lightning, in stages of growing length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ....errors import ConfigError
from .prepare import Prepared
from .samples import Samples
from .stages import stage_lengths

#: Smallest number of updates of an epoch. There are few long windows; one pass over them would hardly move the weights.
MIN_UPDATES = 20


class Windows(NamedTuple):
    """A batch of shooting windows, in deviations.

    Attributes:
        first: Measured state at the start, shape (windows, state).
        first_jacobian: d first / d feedthrough, shape (windows, state, feedthrough).
        stages: What the vector field sees of the drive in each step, shape (windows, steps, 3, inputs).
        targets: Measured states after each step, shape (windows, steps, state).
        target_jacobian: d targets / d feedthrough, shape (windows, steps, state, feedthrough).
        status: What is known of each target, as in `Samples.status`, shape (windows, steps, state).
    """

    first: Tensor
    first_jacobian: Tensor
    stages: Tensor
    targets: Tensor
    target_jacobian: Tensor
    status: Tensor


def gather(samples: Samples, starts: Tensor, length: int) -> Windows:
    """Return the windows of `length` steps that begin at given samples, shape (windows,)."""
    steps = starts[:, None] + torch.arange(length)
    all_known = torch.zeros(*steps.shape, samples.states.shape[-1], dtype=torch.int8)
    return Windows(
        first=samples.states[starts],
        first_jacobian=samples.feedthrough_jacobian[starts],
        stages=samples.stages[steps],
        targets=samples.states[steps + 1],
        target_jacobian=samples.feedthrough_jacobian[steps + 1],
        status=all_known if samples.status is None else samples.status[steps + 1],
    )


class _Batches(Dataset[Windows]):
    """Whole batches by number: gathering a batch at once costs as little as gathering one window."""

    def __init__(self, samples: Samples, starts: Sequence[Tensor], length: int) -> None:
        self.samples, self.starts, self.length = samples, starts, length

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> Windows:
        return gather(self.samples, self.starts[index], self.length)


class WindowData(LightningDataModule):
    """Shooting windows in stages of growing length, each `epochs` long.

    The order of the batches follows from seed and epoch alone, so that a resumed run sees the same ones as an uninterrupted
    run.

    Args:
        prepared: Embedded recordings.
        windows: Length of the windows of each stage, in samples; cut to what the recordings allow.
        epochs: Epochs of each stage. An epoch makes at least one pass over the windows, and as many as 20 updates need.
        batch_size: Windows per batch.
        seed: Seed of the order.
    """

    def __init__(
        self,
        prepared: Prepared,
        *,
        windows: Sequence[int] = (1, 8, 40, 160),
        epochs: int = 20,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.prepared, self.epochs, self.batch_size, self.seed = prepared, epochs, batch_size, seed
        self.lengths = stage_lengths(windows, prepared.samples)

    @property
    def total_epochs(self) -> int:
        """Epochs of all stages together."""
        return self.epochs * len(self.lengths)

    def length(self, epoch: int) -> int:
        """Return the window length in an epoch; the last stage continues for as long as the trainer does."""
        return self.lengths[min(epoch // self.epochs, len(self.lengths) - 1)]

    def batches(self, epoch: int) -> list[Tensor]:
        """Return the first samples of the windows of each batch of an epoch, in order."""
        starts = self.prepared.samples.windows(self.length(epoch))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        passes = math.ceil(MIN_UPDATES / math.ceil(len(starts) / self.batch_size))
        orders = [torch.randperm(len(starts), generator=generator) for _ in range(passes)]
        return [part for order in orders for part in starts[order].split(self.batch_size)]

    def train_dataloader(self) -> DataLoader[Windows]:
        """Return the batches of the trainer's current epoch.

        Raises:
            ConfigError: the trainer would use the windows of the first epoch in all epochs.
        """
        epoch = 0
        if self.trainer is not None:
            every = getattr(self.trainer, "reload_dataloaders_every_n_epochs", 0)  # mypy cannot see where Lightning sets it
            if every != 1:
                raise ConfigError(
                    "the windows grow and are shuffled from epoch to epoch, but the trainer has "
                    f"reload_dataloaders_every_n_epochs={every}; use trainer_for(data), or pass "
                    "reload_dataloaders_every_n_epochs=1 to Trainer."
                )
            epoch = self.trainer.current_epoch
        batches = _Batches(self.prepared.samples, self.batches(epoch), self.length(epoch))
        return DataLoader(batches, batch_size=None)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return one item: first and last sample of every validation segment, shape (segments, 2)."""
        return DataLoader([torch.tensor(self.prepared.validation)], batch_size=None)  # type: ignore[arg-type]
