"""`train` and `train_seeds`: train a learner on a stream of tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..contracts.task_stream import TaskStream
from ..errors import ConfigError
from ..files import as_path
from ..typing import Progress
from ..validation import merge_settings, number, seed_number, whole_number
from .config import StreamConfig
from .learners.learner import Learner
from .processes import MAX_PROCESSES, run_in_processes
from .results.result import StreamResult
from .stream_run import RunOptions, run_stream


def train(
    learner: Learner,
    stream: TaskStream,
    config: StreamConfig | None = None,
    *,
    ood: TaskStream | None = None,
    checkpoint: str | Path | None = None,
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
            result; a finished one returns its result. None for no checkpoint.
        checkpoint_every: Seconds between two checkpoints: the most that a killed run loses.
        progress: Receives one line of text after each task.
        processes: Number of processes on this machine that share each batch; all arguments are then pickled, and a script that
            calls this needs `if __name__ == "__main__":`, as for any new process.
        trainer: Arguments of `lightning.Trainer` that take precedence over ours, such as `{"logger": CSVLogger("runs")}`,
            `{"enable_progress_bar": True}` or `{"callbacks": [...]}`.
        **settings: Fields of `StreamConfig`, such as `epochs=2`; they take precedence over `config`.

    Returns:
        Accuracies after each task, times, uncertainties.

    Raises:
        ConfigError: a setting that does not exist or is out of range; a stream shorter than requested, or whose tasks do not
            fit its shape; a checkpoint of another learner, stream or other settings; a batch that the processes cannot share.

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
    if not isinstance(learner, Learner):
        raise ConfigError(
            f"the learner is a {type(learner).__name__}; expected a learner, such as MetaplasticBNN(stream), or for a network "
            "of your own NetworkLearner(network, stream)."
        )
    processes = whole_number("processes", processes, 1, MAX_PROCESSES)
    options = RunOptions(ood, checkpoint, number("checkpoint_every", checkpoint_every, 0, finite=False), dict(trainer or {}))
    if processes > 1:
        return run_in_processes(processes, learner, stream, config, progress, options)
    return run_stream(learner, stream, config, progress, options)


def train_seeds(
    make: Callable[[int], tuple[Learner, TaskStream]],
    config: StreamConfig | None = None,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    checkpoint: str | Path | None = None,
    **arguments: Any,
) -> list[StreamResult]:
    """Call `train` for several seeds, one after the other.

    Args:
        make: Returns learner and stream for a seed.
        config: As for `train`; its seed is replaced by each of `seeds`.
        seeds: The seeds.
        checkpoint: Folder with one folder of a checkpoint per seed, "seed-0" and so on.
        **arguments: Further arguments of `train`, and fields of `StreamConfig` except seed.

    Returns:
        One result per seed; `spinode.training.results.result.summary(results)` returns mean and standard deviation.
    """
    if "seed" in arguments:
        raise ConfigError("train_seeds sets the seed of each run; pass seeds=(...) instead of seed.")
    results = []
    for seed in seeds:
        learner, stream = make(seed_number("seed", seed))
        folder = None if checkpoint is None else as_path(checkpoint, "checkpoint") / f"seed-{seed}"
        seeded = replace(config or StreamConfig(), seed=seed)
        results.append(train(learner, stream, seeded, checkpoint=folder, **arguments))
    return results
