"""`StreamConfig`: how a stream is gone through."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError


@dataclass(frozen=True)
class StreamConfig:
    """How a stream is gone through.

    Attributes:
        tasks: How many tasks; all of the stream if None.
        epochs: Passes over each task.
        batch_size: Samples of a batch over all processes.
        shuffle: Draw the order of the samples anew for each pass.
        evaluate: After each task, test the "newest" one, the "recent" ones (the newest `recent`), all that were "seen", or all
            of the stream ("all"), also before the first, which forward transfer needs. At the end all that were seen.
        recent: How many tasks "recent" are, and over how many the last accuracy is taken.
        test_batch: Inputs that are tested at once; batch statistics, where a network has them, are taken over these.
        seed: Seed of the order of samples and of the noise of tests.

    Raises:
        ConfigError: a setting outside its range.
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
        for name in ("tasks", "epochs", "batch_size", "recent", "test_batch"):
            value = getattr(self, name)
            if name == "tasks" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{name} is {value!r}; expected a whole number of at least 1.")
        if self.evaluate not in ("newest", "recent", "seen", "all"):
            raise ConfigError(f"evaluate is {self.evaluate!r}; expected 'newest', 'recent', 'seen' or 'all'.")
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed is {self.seed!r}; expected a whole number, 0 .. 2**32 - 1.")
