"""`train`: a learner goes through a stream, run by Lightning's Trainer, and is tested after each task."""

from __future__ import annotations

import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint

from ..contracts.task_stream import TaskStream, check_tasks
from ..errors import ConfigError
from ..files import check_writable
from .config import StreamConfig
from .data import StreamData
from .learners.learner import Learner, check_checkpoint, check_same
from .processes import train_in_processes
from .results.result import StreamResult
from .results.scores import Scores

CHECKPOINT = "checkpoint.ckpt"
Say = Callable[[str], None]


class _StreamLoop(Checkpoint):
    """Tells the learner where tasks begin and end, tests it, and writes checkpoints: what happens around the batches.

    It is a `Checkpoint` of Lightning, since those are called last where an epoch ends.
    """

    def __init__(self, data: StreamData, scores: Scores, checkpoint: Path | None, every: float, say: Say | None) -> None:
        self.data, self.scores, self.checkpoint, self.every, self.say = data, scores, checkpoint, every, say
        self.spent = 0.0  # seconds of learning in the running task before `_since`
        self._since = self._saved = time.monotonic()

    def on_train_start(self, trainer: Trainer, learner: Any) -> None:
        if trainer.fit_loop.epoch_progress.current.ready == 0:
            self.scores.before(learner)
        self._since = self._saved = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, learner: Any) -> None:
        if trainer.current_epoch % self.data.epochs == 0:
            self.spent, self._since = 0.0, time.monotonic()
            if self.data.stream.boundaries:
                learner.begin_task(trainer.current_epoch // self.data.epochs)

    def on_train_batch_end(self, trainer: Trainer, learner: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        # The last batch of an epoch is followed by the end of the epoch, which saves by itself. Several processes save
        # together, and would have to agree after each batch that it is time.
        if batch_idx + 1 < trainer.num_training_batches and trainer.world_size == 1:
            self._save_if_late(trainer)

    def on_train_epoch_end(self, trainer: Trainer, learner: Any) -> None:
        index, epoch = divmod(trainer.current_epoch, self.data.epochs)
        if epoch + 1 == self.data.epochs:
            if self.data.stream.boundaries:
                learner.end_task(index, self.data.task(index))
            self.scores.seconds.append(self.spent + time.monotonic() - self._since)
            self.scores.after(learner, index)
            self._report(learner, index)
            self.spent, self._since = 0.0, time.monotonic()
        self._save_if_late(trainer, last=index + 1 == self.data.tasks)

    def _report(self, learner: Any, index: int) -> None:
        newest = self.scores.newest(index)
        learner.log_dict(newest, batch_size=1)
        if self.say is not None:
            words = ", ".join(f"{name} {value:.4f}" for name, value in newest.items())
            self.say(f"task {index + 1} of {self.data.tasks}: {words} ({self.scores.seconds[-1]:.1f} s)")

    def _save_if_late(self, trainer: Trainer, last: bool = False) -> None:
        if self.checkpoint is None:
            return
        due = last or time.monotonic() - self._saved >= self.every
        if not trainer.strategy.broadcast(due):  # the clocks of several processes differ
            return
        partial = self.checkpoint.with_name(f".{self.checkpoint.name}.partial")
        trainer.save_checkpoint(partial, weights_only=False)
        if trainer.is_global_zero:
            partial.replace(self.checkpoint)  # one step: a kill leaves the old one or the new one
        self._saved = time.monotonic()

    def on_save_checkpoint(self, trainer: Trainer, learner: Any, checkpoint: dict[str, Any]) -> None:
        spent = self.spent + time.monotonic() - self._since
        checkpoint["stream"] = {"spent": spent, "settings": self.data.settings, "scores": self.scores.state_dict()}

    def on_load_checkpoint(self, trainer: Trainer, learner: Any, checkpoint: dict[str, Any]) -> None:
        self.spent = float(checkpoint["stream"]["spent"])
        self.scores.load_state_dict(checkpoint["stream"]["scores"])


def train(
    learner: Learner,
    stream: TaskStream,
    config: StreamConfig | None = None,
    *,
    ood: TaskStream | None = None,
    folder: str | Path | None = None,
    checkpoint_every: float = 60.0,
    say: Say | None = None,
    processes: int = 1,
    **trainer: Any,
) -> StreamResult:
    """Let a learner go through a stream of tasks.

    Args:
        learner: It is changed.
        stream: What it learns.
        config: How.
        ood: A stream of as many tasks whose tests the learner has never seen anything of, for detection of what is out of
            distribution: after each of the last `recent` tasks the tests of the newest one are set against its.
        folder: Where the checkpoint stands. A run that was interrupted goes on from there when it is given again, and ends with
            the same result; one that was finished returns its result. None for no checkpoint.
        checkpoint_every: Seconds between two checkpoints: what a killed run loses at most.
        say: Takes a line of progress after each task.
        processes: How many processes share each batch, on this machine; all arguments are then pickled, and a script that calls
            this needs `if __name__ == "__main__":`, as with any new process.
        **trainer: Arguments of `lightning.Trainer` that go before ours, such as `logger=CSVLogger("runs")`,
            `enable_progress_bar=True` or `callbacks=[...]`.

    Returns:
        Accuracies after each task, times, uncertainties.

    Raises:
        ConfigError: a stream that is shorter than asked, or whose tasks are not its own; a checkpoint of another learner,
            another stream or other settings; a batch that cannot be shared by the processes.
    """
    config = config or StreamConfig()
    if not isinstance(config, StreamConfig):
        raise ConfigError(f"config is a {type(config).__name__}; expected StreamConfig(epochs=..., batch_size=...).")
    if not isinstance(learner, Learner):
        raise ConfigError(f"the learner is a {type(learner).__name__}; expected one, such as MetaplasticBNN(stream).")
    if processes != 1:
        shared = {"ood": ood, "folder": folder, "checkpoint_every": checkpoint_every, **trainer}
        return train_in_processes(processes, learner, stream, config, say, shared)
    tasks = check_tasks(stream, config.tasks)
    learner.check(stream)
    if ood is not None:
        check_tasks(ood, tasks)
        if tuple(ood.shape) != tuple(stream.shape):
            raise ConfigError(
                f"the out-of-distribution stream has shape {tuple(ood.shape)}, the stream {tuple(stream.shape)}; expected one shape."
            )
    data = StreamData(stream, tasks, config, learner.block)
    scores = Scores(stream, ood, tasks, config, learner.views)
    checkpoint = None if folder is None else Path(folder) / CHECKPOINT
    if checkpoint is not None:
        try:
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"the folder {folder} cannot be made: {error.strerror}. Choose a writable one.") from None
        check_writable(checkpoint)
    resumed = _resumable(checkpoint, learner, data)
    loop = _StreamLoop(data, scores, checkpoint, checkpoint_every, say)
    try:
        with _quiet():
            runner = _trainer(loop, tasks * config.epochs, trainer)
            with _interruptible():
                runner.fit(learner, datamodule=data, ckpt_path=resumed, weights_only=True)
    finally:
        data.release()  # the learner keeps its Trainer, and that the data
        scores.release()
    return scores.result(learner)


def _trainer(loop: _StreamLoop, epochs: int, arguments: dict[str, Any]) -> Trainer:
    callbacks = arguments.pop("callbacks", None) or []
    callbacks = [callbacks] if isinstance(callbacks, Callback) else callbacks
    settings: dict[str, Any] = {
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
        "callbacks": [*callbacks, loop],
        "reload_dataloaders_every_n_epochs": 1,
        "num_sanity_val_steps": 0,
        "enable_checkpointing": True,
    }
    twice = sorted(set(fixed) & set(arguments))
    if twice:
        raise ConfigError(f"{', '.join(twice)} of the Trainer follow from stream and config; leave them out.")
    return Trainer(**(settings | arguments | fixed))


@contextmanager
def _interruptible() -> Iterator[None]:
    """Lightning makes of an interrupt from the keyboard an exit of the process, and ignores all further ones."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


def _resumable(checkpoint: Path | None, learner: Learner, data: StreamData) -> Path | None:
    if checkpoint is None or not checkpoint.exists():
        return None
    try:
        stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception:
        raise ConfigError(
            f"{checkpoint} cannot be read as a checkpoint: it is damaged or something else. Delete it to begin anew."
        ) from None
    check_checkpoint(learner, stored, checkpoint)
    check_same(stored["stream"]["settings"], data.settings, checkpoint)
    return checkpoint


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning talks about devices and about workers that data in memory do not need."""
    names = (
        "lightning.pytorch.utilities.rank_zero",
        "lightning.pytorch.accelerators.cuda",
        "lightning.fabric.utilities.cloud_io",
        "lightning.fabric.utilities.distributed",
    )
    levels = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    try:
        for logger, _ in levels:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*does not have many workers")
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
            warnings.filterwarnings("ignore", ".*is smaller than the logging interval")
            warnings.filterwarnings("ignore", ".*configure_optimizers. returned .None.")  # rules step themselves
            warnings.filterwarnings("ignore", ".*sync_dist=True")  # each process takes the same tests
            yield
    finally:
        for logger, level in levels:
            logger.setLevel(level)


def train_seeds(
    make: Callable[[int], tuple[Learner, TaskStream]],
    config: StreamConfig | None = None,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    folder: str | Path | None = None,
    **arguments: Any,
) -> list[StreamResult]:
    """`train` for several seeds, one after the other.

    Args:
        make: Builds learner and stream of a seed.
        config: As for `train`; its seed is set to each in turn.
        seeds: The seeds.
        folder: Checkpoints stand in a folder of it for each seed.
        **arguments: Those of `train`.

    Returns:
        A result for each seed; `summary(results)` has mean and standard deviation.
    """
    config = config or StreamConfig()
    results = []
    for seed in seeds:
        learner, stream = make(seed)
        place = None if folder is None else Path(folder) / f"seed-{seed}"
        results.append(train(learner, stream, replace(config, seed=seed), folder=place, **arguments))
    return results
