"""`run_stream`: one process trains a learner on a stream, with Lightning's Trainer, and tests it after each task."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping

from ..contracts.task_stream import TaskStream
from ..errors import ConfigError, SpinodeError
from ..identity import identity_of
from ..lightning_environment import ordinary_interrupts, quiet_lightning
from ..typing import Progress
from .config import StreamConfig
from .data import StreamData
from .learners.learner import Learner
from .passes import Passes
from .results.result import StreamResult
from .results.scores import Scores
from .resume import Start, task_digest
from .trainer_arguments import callbacks_of, make_trainer

#: Warnings that do not apply: few batches, rules that step themselves, and tests that are the same in each process.
IRRELEVANT_WARNINGS = (
    ".*is smaller than the logging interval",
    ".*configure_optimizers. returned .None.",
    ".*sync_dist=True",
)


@dataclass(frozen=True)
class RunOptions:
    """The arguments of `train` besides learner, stream, config and progress, checked.

    Attributes:
        ood: A stream of out-of-distribution tasks, or None.
        checkpoint: File of the checkpoint, or None.
        checkpoint_every: Seconds between two checkpoints.
        trainer: Arguments of `lightning.Trainer`.
        start: From where the run begins.
    """

    ood: TaskStream | None
    checkpoint: Path | None
    checkpoint_every: float
    trainer: Mapping[str, Any]
    start: Start


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
    assert config.tasks is not None
    data = StreamData(stream, config, Passes(options.start.counts), learner.block, learner.smallest_batch)
    scores = Scores(stream, options.ood, config.tasks, config, learner.views)
    loop = _StreamLoop(data, scores, options, progress)
    try:
        with quiet_lightning(*IRRELEVANT_WARNINGS), ordinary_interrupts(), loop.late_interrupts():
            trainer = make_trainer(loop, data.passes.total, options.trainer)
            trainer.fit(learner, datamodule=data, ckpt_path=options.start.file, weights_only=True)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        if options.start.file is None or loop.has_started or isinstance(error, SpinodeError):
            raise
        line = " ".join(str(error).split())
        raise ConfigError(
            f"the checkpoint {options.start.file} cannot be restored: {type(error).__name__}: {line:.200}. It is damaged or of "
            "another version; delete it to start again."
        ) from error
    finally:
        data.release()  # the learner keeps its Trainer, which keeps the data
        scores.release()
    return scores.result(learner, data.passes.counts, options.start.history)


class _StreamLoop(Checkpoint):
    """Notifies the learner where tasks begin and end, tests it, and writes checkpoints.

    It is a `Checkpoint` of Lightning, since those are called last at the end of an epoch.
    """

    def __init__(self, data: StreamData, scores: Scores, options: RunOptions, progress: Progress | None) -> None:
        self.data, self.scores, self.progress = data, scores, progress
        self.start, self.checkpoint, self.interval = options.start, options.checkpoint, options.checkpoint_every
        self.seconds_before = 0.0  # seconds of learning in the current task before `_started`
        self._started = self._saved = time.monotonic()
        self._between_passes = self._consolidated = False
        self.has_started = self._is_interrupted = self._has_saved = False
        self._tasks: list[str] = []  # digests of the tasks that were begun
        self._stoppers: list[tuple[EarlyStopping, dict[str, Any]]] = []
        self._options: list[tuple[torch.optim.Optimizer, list[dict[str, Any]]]] = []

    @contextlib.contextmanager
    def late_interrupts(self) -> Iterator[None]:
        """Let the first Ctrl-C within the block end the run where it can be saved, after a batch; a second one acts at once.

        Without a checkpoint, in a thread, or where Ctrl-C has a meaning of the caller's own, this does nothing.
        """
        ordinary = signal.default_int_handler
        is_main = threading.current_thread() is threading.main_thread()
        if self.checkpoint is None or not is_main or signal.getsignal(signal.SIGINT) is not ordinary:
            yield
            return

        def interrupt(*_: Any) -> None:
            self._is_interrupted = True
            signal.signal(signal.SIGINT, ordinary)

        signal.signal(signal.SIGINT, interrupt)
        try:
            yield
            if self._is_interrupted:  # a run without a further batch
                raise KeyboardInterrupt
        finally:
            signal.signal(signal.SIGINT, ordinary)

    def on_exception(self, trainer: Trainer, learner: Any, exception: BaseException) -> None:
        # Another callback has raised it. Within a batch, or while a task is consolidated, there is nothing whole to save.
        done: Any = trainer.fit_loop.epoch_loop.batch_progress
        is_whole = done.current.ready == done.current.processed == done.current.completed + 1 and not done.is_last_batch
        if isinstance(exception, KeyboardInterrupt) and is_whole and not self._has_saved and trainer.world_size == 1:
            self._save(trainer)

    def setup(self, trainer: Trainer, learner: Any, stage: str) -> None:
        stoppers = [each for each in callbacks_of(trainer) if isinstance(each, EarlyStopping)]
        self._stoppers = [(each, dict(each.state_dict())) for each in stoppers]
        own = [value for value in vars(learner).values() if isinstance(value, torch.optim.Optimizer)]
        self._options = [(optimiser, _options(optimiser)) for optimiser in own]  # before a checkpoint replaces them

    def on_fit_start(self, trainer: Trainer, learner: Any) -> None:
        self._options += [(optimiser, _options(optimiser)) for optimiser in trainer.optimizers]
        for logger in trainer.loggers:
            logger.log_hyperparams(self._hyperparameters(learner))

    def _hyperparameters(self, learner: Any) -> dict[str, Any]:
        stream = {"name": self.data.stream.name, "shape": list(self.data.stream.shape), "classes": self.data.stream.classes}
        own = {"rule": learner.rule, "seed": learner.seed, **learner.settings()}
        return {"learner": own, "stream": stream, "config": asdict(self.data.config), "continued": list(self.start.history)}

    def on_train_start(self, trainer: Trainer, learner: Any) -> None:
        self.has_started = True
        if trainer.fit_loop.epoch_progress.current.ready == 0:
            self.scores.test_untrained(learner)
        if self.start.is_changed:
            for optimiser, groups in self._options:  # the checkpoint has restored the rates of before
                for group, options in zip(optimiser.param_groups, groups, strict=True):
                    group.update(options)
        self._started = self._saved = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, learner: Any) -> None:
        self._between_passes = False
        index, done = self.data.passes.locate(trainer.current_epoch)
        if len(self._tasks) == index:
            self._tasks.append(task_digest(self.data.task(index)) if self.checkpoint is not None else "")
        if done == 0:
            self.seconds_before, self._started = 0.0, time.monotonic()
            for stopper, state in self._stoppers:  # each task has its own patience
                stopper.load_state_dict(state)
            if self.data.stream.boundaries:
                learner.begin_task(index)

    def on_train_batch_end(self, trainer: Trainer, learner: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        # The last batch of an epoch is followed by the end of the epoch, which saves by itself. Several processes save
        # together, and would have to agree after each batch that it is time.
        if batch_idx + 1 < trainer.num_training_batches and trainer.world_size == 1:
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: Trainer, learner: Any) -> None:
        index, done = self.data.passes.locate(trainer.current_epoch)
        self._between_passes = True
        if trainer.should_stop:  # by a callback: it ends the task, not the stream
            trainer.should_stop = False
            self.data.passes.stop(index, done + 1)
            trainer.fit_loop.max_epochs = self.data.passes.total
        is_last = index + 1 == self.data.tasks
        is_finished = done + 1 == self.data.passes.counts[index]
        if is_finished:
            if self.data.stream.boundaries:
                before = self._state(learner) if is_last else None
                learner.end_task(index, self.data.task(index))
                self._consolidated = is_last and self._state(learner) != before
            self.scores.seconds.append(self._seconds())
            self.scores.test_after(learner, index)
            newest = self.scores.newest(index)
            learner.log_dict(newest, batch_size=1)
            self.seconds_before, self._started = 0.0, time.monotonic()
        self._save_if_due(trainer, is_finished)
        if is_finished and self.progress is not None:
            values = ", ".join(f"{name} {value:.4f}" for name, value in newest.items())
            self.progress(f"task {index + 1} of {self.data.tasks}: {values} ({self.scores.seconds[-1]:.1f} s)")

    def _state(self, learner: Any) -> Any:
        """Return the identity of the learner, by which a change in `end_task` is noticed; None without a checkpoint."""
        return identity_of(learner) if self.checkpoint is not None else None

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self._started

    def _save_if_due(self, trainer: Trainer, is_finished: bool = False) -> None:
        """Save after a task, at an interrupt, and where the time has come."""
        if self.checkpoint is None:
            return
        is_interrupted = self._is_interrupted
        is_due = is_finished or is_interrupted or time.monotonic() - self._saved >= self.interval
        if trainer.strategy.broadcast(is_due):  # the clocks of several processes differ
            self._save(trainer)
        if is_interrupted:
            self._has_saved = True
            raise KeyboardInterrupt

    def _save(self, trainer: Trainer) -> None:
        if self.checkpoint is None:
            return
        partial = self.checkpoint.with_name(f".{self.checkpoint.name}.{os.getpid()}.partial")
        try:
            trainer.save_checkpoint(partial, weights_only=False)
            if trainer.is_global_zero:
                partial.replace(self.checkpoint)  # atomically: a killed run leaves the old file or the new one
        except BaseException:  # also after an interrupt
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
        self._saved = time.monotonic()

    def on_save_checkpoint(self, trainer: Trainer, learner: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["stream"] = {
            "seconds": self._seconds(),
            "scores": self.scores.state_dict(),
            "counts": list(self.data.passes.counts),
            "tasks": list(self._tasks),
            "between passes": self._between_passes,
            "consolidated": self._consolidated,
            **self.start.state(),
        }

    def on_load_checkpoint(self, trainer: Trainer, learner: Any, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["stream"]
        finished = len(state["scores"]["seconds"]) - self.start.reopens
        self.seconds_before = state["scores"]["seconds"][-1] if self.start.reopens else float(state["seconds"])
        self.scores.load_state_dict(state["scores"], finished)
        self._tasks, self._consolidated = list(state["tasks"]), bool(state["consolidated"])
        self._between_passes = bool(state["between passes"])


def _options(optimiser: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Return the settings of an optimiser, such as its rates, for each group of parameters."""
    return [{name: value for name, value in group.items() if name != "params"} for group in optimiser.param_groups]
