"""`run_stream`: one process trains a learner on a stream, with Lightning's Trainer, and tests it after each task."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint

from ..contracts.task_stream import TaskStream, check_tasks
from ..errors import ConfigError
from ..files import as_path, check_writable
from ..lightning_environment import local_trainer, ordinary_interrupts, quiet_lightning
from ..typing import Progress
from .config import StreamConfig
from .data import StreamData
from .learners.learner import Learner, check_checkpoint, check_same
from .results.result import StreamResult
from .results.scores import Scores

#: File that is written into the folder `checkpoint`.
CHECKPOINT_FILE = "checkpoint.ckpt"
#: Warnings that do not apply: few batches, rules that step themselves, and tests that are the same in each process.
IRRELEVANT_WARNINGS = (
    ".*is smaller than the logging interval",
    ".*configure_optimizers. returned .None.",
    ".*sync_dist=True",
)


@dataclass(frozen=True)
class RunOptions:
    """The arguments of `train` besides learner, stream, config and progress.

    Attributes:
        ood: A stream of out-of-distribution tasks, or None.
        checkpoint: Folder of the checkpoint, or None.
        checkpoint_every: Seconds between two checkpoints.
        trainer: Arguments of `lightning.Trainer`.
    """

    ood: TaskStream | None
    checkpoint: str | Path | None
    checkpoint_every: float
    trainer: Mapping[str, Any]


def run_stream(
    learner: Learner, stream: TaskStream, config: StreamConfig, progress: Progress | None, options: RunOptions
) -> StreamResult:
    """Train a learner on a stream in this process; see `spinode.training.train`.

    Args:
        learner: It is changed.
        stream: What it learns.
        config: How it goes through the stream.
        progress: Receives one line after each task.
        options: Further arguments of `train`.
    """
    tasks = check_tasks(stream, config.tasks)
    learner.check(stream)
    if options.ood is not None:
        check_tasks(options.ood, tasks)
        if tuple(options.ood.shape) != tuple(stream.shape):
            raise ConfigError(
                f"the inputs of the out-of-distribution stream have shape {tuple(options.ood.shape)}, those of the stream "
                f"{tuple(stream.shape)}; expected the same shape."
            )
    data = StreamData(stream, tasks, config, learner.block)
    scores = Scores(stream, options.ood, tasks, config, learner.views)
    checkpoint = _checkpoint_path(options.checkpoint)
    resumed = _accepted_checkpoint(checkpoint, learner, data)
    loop = _StreamLoop(data, scores, checkpoint, options.checkpoint_every, progress)
    try:
        with quiet_lightning(*IRRELEVANT_WARNINGS), ordinary_interrupts():
            trainer = _make_trainer(loop, tasks * config.epochs, options.trainer)
            trainer.fit(learner, datamodule=data, ckpt_path=resumed, weights_only=True)
    finally:
        data.release()  # the learner keeps its Trainer, which keeps the data
        scores.release()
    return scores.result(learner)


class _StreamLoop(Checkpoint):
    """Notifies the learner where tasks begin and end, tests it, and writes checkpoints.

    It is a `Checkpoint` of Lightning, since those are called last at the end of an epoch.
    """

    def __init__(
        self, data: StreamData, scores: Scores, checkpoint: Path | None, interval: float, progress: Progress | None
    ) -> None:
        self.data, self.scores, self.checkpoint, self.interval, self.progress = data, scores, checkpoint, interval, progress
        self.seconds_before = 0.0  # seconds of learning in the current task before `_started`
        self._started = self._saved = time.monotonic()

    def on_train_start(self, trainer: Trainer, learner: Any) -> None:
        if trainer.fit_loop.epoch_progress.current.ready == 0:
            self.scores.test_untrained(learner)
        self._started = self._saved = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, learner: Any) -> None:
        if trainer.current_epoch % self.data.epochs == 0:
            self.seconds_before, self._started = 0.0, time.monotonic()
            if self.data.stream.boundaries:
                learner.begin_task(trainer.current_epoch // self.data.epochs)

    def on_train_batch_end(self, trainer: Trainer, learner: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        # The last batch of an epoch is followed by the end of the epoch, which saves by itself. Several processes save
        # together, and would have to agree after each batch that it is time.
        if batch_idx + 1 < trainer.num_training_batches and trainer.world_size == 1:
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: Trainer, learner: Any) -> None:
        index, epoch = divmod(trainer.current_epoch, self.data.epochs)
        if epoch + 1 == self.data.epochs:
            if self.data.stream.boundaries:
                learner.end_task(index, self.data.task(index))
            self.scores.seconds.append(self._seconds())
            self.scores.test_after(learner, index)
            self._report(learner, index)
            self.seconds_before, self._started = 0.0, time.monotonic()
        self._save_if_due(trainer, is_last=index + 1 == self.data.tasks)

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self._started

    def _report(self, learner: Any, index: int) -> None:
        newest = self.scores.newest(index)
        learner.log_dict(newest, batch_size=1)
        if self.progress is not None:
            values = ", ".join(f"{name} {value:.4f}" for name, value in newest.items())
            self.progress(f"task {index + 1} of {self.data.tasks}: {values} ({self.scores.seconds[-1]:.1f} s)")

    def _save_if_due(self, trainer: Trainer, is_last: bool = False) -> None:
        if self.checkpoint is None:
            return
        is_due = is_last or time.monotonic() - self._saved >= self.interval
        if not trainer.strategy.broadcast(is_due):  # the clocks of several processes differ
            return
        partial = self.checkpoint.with_name(f".{self.checkpoint.name}.partial")
        trainer.save_checkpoint(partial, weights_only=False)
        if trainer.is_global_zero:
            partial.replace(self.checkpoint)  # atomically: a killed run leaves the old file or the new one
        self._saved = time.monotonic()

    def on_save_checkpoint(self, trainer: Trainer, learner: Any, checkpoint: dict[str, Any]) -> None:
        state = {"seconds": self._seconds(), "settings": self.data.settings, "scores": self.scores.state_dict()}
        checkpoint["stream"] = state

    def on_load_checkpoint(self, trainer: Trainer, learner: Any, checkpoint: dict[str, Any]) -> None:
        self.seconds_before = float(checkpoint["stream"]["seconds"])
        self.scores.load_state_dict(checkpoint["stream"]["scores"])


def _make_trainer(loop: _StreamLoop, epochs: int, arguments: Mapping[str, Any]) -> Trainer:
    callbacks = arguments.get("callbacks") or []
    callbacks = [callbacks] if isinstance(callbacks, Callback) else callbacks
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 1,
        "use_distributed_sampler": False,
    }
    fixed = {
        "max_epochs": epochs,
        "reload_dataloaders_every_n_epochs": 1,
        "num_sanity_val_steps": 0,
        "enable_checkpointing": True,
    }
    conflicts = sorted(set(fixed) & set(arguments))
    if conflicts:
        raise ConfigError(f"trainer contains {', '.join(conflicts)}, which follow from stream and config; remove them.")
    try:
        return local_trainer(**{**defaults, **arguments, **fixed, "callbacks": [*callbacks, loop]})
    except TypeError as error:
        raise ConfigError(f"lightning.Trainer refuses the arguments in trainer: {error}") from None


def _checkpoint_path(folder: str | Path | None) -> Path | None:
    if folder is None:
        return None
    path = as_path(folder, "checkpoint") / CHECKPOINT_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot create the folder {folder}: {error.strerror}. Choose a writable one.") from None
    check_writable(path)
    return path


def _accepted_checkpoint(checkpoint: Path | None, learner: Learner, data: StreamData) -> Path | None:
    """Return the path of a checkpoint of this run, after checking it, or None if there is none."""
    if checkpoint is None or not checkpoint.exists():
        return None
    try:
        stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception:
        raise ConfigError(
            f"{checkpoint} cannot be read as a checkpoint: it is damaged or another kind of file. Delete it to start again."
        ) from None
    check_checkpoint(learner, stored, checkpoint)
    check_same(stored["stream"]["settings"], data.settings, checkpoint)
    return checkpoint
