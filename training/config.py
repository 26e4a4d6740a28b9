"""`StreamConfig`: how a learner goes through a task stream."""

from __future__ import annotations

from dataclasses import dataclass

from ..validation import flag, one_of, seed_number, whole_number


@dataclass(frozen=True)
class StreamConfig:
    """Settings of a run of a learner over a task stream.

    Attributes:
        tasks: Number of tasks; all of the stream if None.
        epochs: Passes over each task.
        batch_size: Samples per batch over all processes.
        shuffle: True to draw a new order of the samples for each pass.
        evaluate: After each task, test the "newest" one, the "recent" ones (the newest `recent`), all that were "seen", or all
            of the stream ("all"), also before the first, which forward transfer requires. At the end all seen tasks are tested.
        recent: Number of tasks that "recent" refers to, and over which the last accuracy is averaged.
        test_batch: Inputs per test batch; batch statistics, where a network has them, are computed over these.
        seed: Seed of the order of samples and of the noise of tests.

    Raises:
        ConfigError: a setting outside its range.

    Example:
        >>> StreamConfig(tasks=10, batch_size=1).epochs
        1
    """

    tasks: int | None = None
    epochs: int = 1
    batch_size: int = 100
    shuffle: bool = True
    evaluate: str = "seen"
    recent: int = 5
    test_batch: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        counts = ("epochs", "batch_size", "recent", "test_batch")
        checked: dict[str, object] = {name: whole_number(name, getattr(self, name), 1) for name in counts}
        checked["tasks"] = None if self.tasks is None else whole_number("tasks", self.tasks, 1)
        checked["shuffle"] = flag("shuffle", self.shuffle)
        checked["evaluate"] = one_of("evaluate", self.evaluate, ("newest", "recent", "seen", "all"))
        checked["seed"] = seed_number("seed", self.seed)
        for name, value in checked.items():
            object.__setattr__(self, name, value)
