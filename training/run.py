"""`train` and `train_seeds`: train a learner on a stream of tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..contracts.task_stream import TaskStream, check_tasks
from ..errors import ConfigError
from ..files import as_path, check_writable
from ..folder_lock import folder_lock
from ..identity import identity_of
from ..typing import Progress
from ..validation import describe_type, merge_settings, number, seed_number, whole_number
from .config import StreamConfig
from .learners.learner import Learner
from .processes import MAX_PROCESSES, run_in_processes
from .results.result import StreamResult
from .resume import CHECKPOINT_FILE, find_start
from .stream_run import RunOptions, run_stream
from .trainer_arguments import check_trainer_arguments

#: Arguments of the Trainer that shape the result.
_SHAPING = ("precision", "limit_train_batches")


def train(
    learner: Learner,
    stream: TaskStream,
    config: StreamConfig | None = None,
    *,
    ood: TaskStream | None = None,
    checkpoint: str | Path | None = None,
    continue_from: str | Path | None = None,
    checkpoint_every: float = 60.0,
    progress: Progress | None = None,
    processes: int = 1,
    trainer: Mapping[str, Any] | None = None,
    **settings: Any,
) -> StreamResult:
    """Train a learner on a stream of tasks, and test it after each task.

    Args:
        learner: The learner; it is changed.
        stream: What it learns.
        config: How it goes through the stream.
        ood: A stream of as many out-of-distribution tasks. After each of the last `recent` tasks, the uncertainties of its test
            inputs are compared with those of the newest task.
        checkpoint: Folder of the checkpoint. An interrupted run resumes from there when it is called again, with the same
            result; a finished one returns its result. The checkpoint of a run with other data, seeds, settings or code of your
            own is refused. None for no checkpoint.
        continue_from: Folder of the checkpoint of another run, which this one continues with more tasks, more epochs, another
            learning rate or other settings; the result names the changes. Seeds, data and code must be the same. It may be the
            folder `checkpoint`. The optimisers keep their moments and get the new rates. With more epochs, unfinished tasks get
            them, and so does the last task if it was finished and the rule does not consolidate.
        checkpoint_every: Seconds between two checkpoints: the most that a killed run loses. One is also written after each
            task, and by one process at an interrupt (Ctrl-C), which acts after the present batch; a second one acts at once.
        progress: Receives one line of text after each task.
        processes: Number of processes on this machine that share each batch; all arguments are then pickled, and a script that
            calls this needs `if __name__ == "__main__":`, as for any new process.
        trainer: Arguments of `lightning.Trainer` that take precedence over ours, such as `{"logger": CSVLogger("runs")}`,
            `{"enable_progress_bar": True}` or `{"callbacks": [...]}`.
        **settings: Fields of `StreamConfig`, such as `epochs=2`; they take precedence over `config`.

    Returns:
        Accuracies after each task, times, uncertainties.

    Raises:
        ConfigError: a setting that does not exist or is out of range; a stream shorter than requested, or whose tasks or tests
            do not fit its shape and classes; a checkpoint of another run, with what differs, or one that is damaged; a folder
            into which another run is writing; a continuation that would change nothing; arguments of the Trainer that cannot
            act; a batch that the processes cannot share.

    Example:
        >>> from spinode.datasets import PermutedTasks, made_digits
        >>> from spinode.training import OnlineLearner
        >>> stream = PermutedTasks(made_digits(train=300, test=50), tasks=2, seed=1)
        >>> learner = OnlineLearner(stream, rule="sgd", hidden=20, rate=0.05)
        >>> result = train(learner, stream, batch_size=1, shuffle=False)
        >>> result.accuracy.newest > 0.3
        True
    """
    config = merge_settings(StreamConfig, config, settings, what="train")
    if progress is not None and not callable(progress):
        raise ConfigError(f"progress is {describe_type(progress)}; expected a function of one line of text, such as print.")
    run = prepare(
        learner,
        stream,
        config,
        ood=ood,
        checkpoint=checkpoint,
        continue_from=continue_from,
        checkpoint_every=checkpoint_every,
        processes=processes,
        trainer=trainer,
    )
    return run.start(progress)


@dataclass(frozen=True)
class Run:
    """A run whose arguments are checked and whose checkpoint is accepted; nothing of it is written or learned yet.

    Attributes:
        learner: The learner.
        stream: What it learns.
        config: How it goes through the stream, with the number of tasks.
        processes: Number of processes that share each batch.
        options: Further arguments of `train`.
        stamp: Size and time of the checkpoint when it was accepted; None without one.
    """

    learner: Learner
    stream: TaskStream
    config: StreamConfig
    processes: int
    options: RunOptions
    stamp: tuple[int, int] | None = None

    def start(self, progress: Progress | None = None) -> StreamResult:
        """Train, and return the result; see `train`."""
        target = self.options.checkpoint
        with folder_lock(None if target is None else target.parent) as is_locked:
            if _stamp(target) != self.stamp:
                raise ConfigError(f"another run has written {target} since this one was prepared; pass another folder.")
            if target is not None and is_locked:
                for left in target.parent.glob(f".{target.name}.*.partial"):  # of a run that was killed while it saved
                    left.unlink()
            if self.processes > 1:
                return run_in_processes(self.processes, self.learner, self.stream, self.config, progress, self.options)
            return run_stream(self.learner, self.stream, self.config, progress, self.options)


def prepare(
    learner: Learner,
    stream: TaskStream,
    config: StreamConfig,
    *,
    ood: TaskStream | None = None,
    checkpoint: str | Path | None = None,
    continue_from: str | Path | None = None,
    checkpoint_every: float = 60.0,
    processes: int = 1,
    trainer: Mapping[str, Any] | None = None,
) -> Run:
    """Check the arguments of `train` and the checkpoint, and return the run.

    Raises:
        ConfigError: as `train`.
    """
    if not isinstance(learner, Learner):
        raise ConfigError(
            f"the learner is a {type(learner).__name__}; expected a learner, such as MetaplasticBNN(stream), or for a network "
            "of your own NetworkLearner(network, stream)."
        )
    processes = whole_number("processes", processes, 1, MAX_PROCESSES)
    if trainer is not None and not isinstance(trainer, Mapping):
        raise ConfigError(
            f"trainer is {describe_type(trainer)}; expected arguments of lightning.Trainer by name, such as "
            '{"enable_progress_bar": True}.'
        )
    arguments = dict(trainer or {})
    check_trainer_arguments(arguments)
    config = replace(config, tasks=check_tasks(stream, config.tasks))
    learner.check(stream)
    if ood is not None:
        check_tasks(ood, config.tasks)
        if tuple(ood.shape) != tuple(stream.shape):
            raise ConfigError(
                f"the inputs of the out-of-distribution stream have shape {tuple(ood.shape)}, those of the stream "
                f"{tuple(stream.shape)}; expected the same shape."
            )
    interval = number("checkpoint_every", checkpoint_every, 0, finite=False)
    source, target = _file("continue_from", continue_from), _file("checkpoint", checkpoint)
    stamp = _stamp(target)
    identity = None if source is None and target is None else _identity(learner, stream, config, ood, arguments, target)
    start = find_start(learner, stream, config, identity, target, source)
    if target is not None:
        _check_folder(target)
    return Run(learner, stream, config, processes, RunOptions(ood, target, interval, arguments, start), stamp)


def _file(name: str, folder: str | Path | None) -> Path | None:
    """Return the file of the checkpoint in a folder; None for None."""
    if folder is None:
        return None
    if isinstance(folder, str) and not folder.strip():
        raise ConfigError(f"{name} is {folder!r}; expected the path of a folder, such as 'runs/first', or None.")
    return as_path(folder, name) / CHECKPOINT_FILE


def _stamp(file: Path | None) -> tuple[int, int] | None:
    if file is None or not file.exists():
        return None
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _identity(
    learner: Learner,
    stream: TaskStream,
    config: StreamConfig,
    ood: TaskStream | None,
    trainer: Mapping[str, Any],
    target: Path | None,
) -> Any:
    """Return what shapes the result. A learner that a run has changed already counts as it was when that run began."""
    if target is not None and (learner.origin is None or learner.origin[0] != target or not target.exists()):
        learner.origin = (target, identity_of(learner))
    own = identity_of(learner) if target is None or learner.origin is None else learner.origin[1]
    parts = {"config": asdict(config), "stream": stream, "ood": ood}
    shaping = {name: trainer[name] for name in _SHAPING if name in trainer}
    return {"learner": own, **identity_of(parts), "trainer": identity_of(shaping)}


def _check_folder(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot create the folder {target.parent}: {error.strerror}. Choose a writable one.") from None
    check_writable(target)


def train_seeds(
    make: Callable[[int], tuple[Learner, TaskStream]],
    config: StreamConfig | None = None,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    checkpoint: str | Path | None = None,
    continue_from: str | Path | None = None,
    **arguments: Any,
) -> list[StreamResult]:
    """Call `train` for several seeds, one after the other.

    Args:
        make: Returns learner and stream for a seed.
        config: As for `train`; its seed is replaced by each of `seeds`.
        seeds: The seeds.
        checkpoint: Folder with one folder of a checkpoint per seed, "seed-0" and so on.
        continue_from: Folder of the same form, of runs that these continue.
        **arguments: Further arguments of `train`, and fields of `StreamConfig` except seed.

    Returns:
        One result per seed; `spinode.training.results.result.summary(results)` returns mean and standard deviation.
    """
    if "seed" in arguments:
        raise ConfigError("train_seeds sets the seed of each run; pass seeds=(...) instead of seed.")
    results = []
    for seed in seeds:
        learner, stream = make(seed_number("seed", seed))
        target, source = (
            None if folder is None else as_path(folder, name) / f"seed-{seed}"
            for name, folder in (("checkpoint", checkpoint), ("continue_from", continue_from))
        )
        seeded = replace(config or StreamConfig(), seed=seed)
        results.append(train(learner, stream, seeded, checkpoint=target, continue_from=source, **arguments))
    return results
