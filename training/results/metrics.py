"""`AccuracyMatrix`: what was known of each task after each task, and the figures of continual learning that are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import ConfigError
from ...files import write_atomically
from ...typing import Array


@dataclass(frozen=True, eq=False)
class AccuracyMatrix:
    """R[t, i]: share of correct answers on the test set of task i after task t was learned; NaN where it was not tested.

    With T tasks, all figures are shares 0 .. 1, and each raises a `ConfigError` if it needs a score that was not taken.

    Attributes:
        values: R, shape (T, T).
        untrained: b[i], the same before anything was learned, shape (T,); NaN where it was not tested.

    Source: Lopez-Paz and Ranzato, NeurIPS (2017) for BWT and FWT; Chaudhry et al., ECCV (2018) for forgetting.
    """

    values: Array
    untrained: Array

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[0] != self.values.shape[1] or self.untrained.shape != (len(self.values),):
            raise ConfigError(
                f"accuracies have shape {self.values.shape}, those before learning {self.untrained.shape}; expected "
                "(tasks, tasks) and (tasks,)."
            )

    @classmethod
    def empty(cls, tasks: int) -> AccuracyMatrix:
        """For `tasks` tasks, nothing tested."""
        return cls(np.full((tasks, tasks), np.nan), np.full(tasks, np.nan))

    def __len__(self) -> int:
        """Number of tasks."""
        return len(self.values)

    @property
    def accuracy(self) -> float:
        """ACC = 1/T sum_i R[T-1, i]: mean over all tasks at the end."""
        return self.last(len(self))

    @property
    def newest(self) -> float:
        """R[T-1, T-1]: the task that was just learned."""
        return self.last(1)

    @property
    def first(self) -> float:
        """R[T-1, 0]: what is left of the first task."""
        return self._mean(self.values[-1, :1], "accuracy on the first task")

    def last(self, count: int) -> float:
        """Mean of R[T-1, i] over the `count` newest tasks."""
        if not 1 <= count <= len(self):
            raise ConfigError(f"the last {count} tasks were asked for; expected 1 .. {len(self)}.")
        return self._mean(self.values[-1, -count:], "last accuracy")

    @property
    def backward_transfer(self) -> float:
        """BWT = 1/(T-1) sum_{i<T-1} R[T-1, i] - R[i, i]."""
        return self._mean((self.values[-1] - np.diag(self.values))[:-1], "backward transfer")

    @property
    def forward_transfer(self) -> float:
        """FWT = 1/(T-1) sum_{i>0} R[i-1, i] - b[i]."""
        return self._mean(np.diag(self.values, 1) - self.untrained[1:], "forward transfer", "all")

    def forgetting(self, definition: str = "max") -> float:
        """Mean over the tasks but the newest of what was known once and is no more.

        Args:
            definition: "max" for max_{t<T-1} R[t, i] - R[T-1, i]; "first" for R[i, i] - R[T-1, i], which is -BWT.
        """
        if definition == "first":
            return -self.backward_transfer
        if definition != "max":
            raise ConfigError(f"definition is {definition!r}; expected 'max' or 'first'.")
        if len(self) < 2:
            return self._mean(np.empty(0), "forgetting")
        seen = np.tril(np.ones_like(self.values, dtype=bool))[:-1, :-1]
        if np.isnan(self.values[:-1, :-1][seen]).any():
            self._missing("forgetting")
        best = np.where(seen, self.values[:-1, :-1], -np.inf).max(0)
        return self._mean(best - self.values[-1, :-1], "forgetting")

    @property
    def rigidity(self) -> float:
        """R[0, 0] - R[T-1, T-1]: what the newest task lost against the first, by which a net that no longer learns is known."""
        return self._mean(self.values[:1, 0] - self.values[-1:, -1], "rigidity")

    @property
    def resilience(self) -> float:
        """1 / |R[T-1, T-1] - R[0, 0]|, "memory rigidity resilience" of the MESU publication; infinite where they are equal."""
        lost = abs(self.rigidity)
        return 1 / lost if lost else float("inf")

    def past(self, after: int) -> float:
        """Mean of R[t, i] over i < t, the tasks before the newest, after t = `after` - 1, that is `after` tasks."""
        if not 2 <= after <= len(self):
            raise ConfigError(f"past tasks after {after} were asked for; expected 2 .. {len(self)}.")
        return self._mean(self.values[after - 1, : after - 1], "accuracy on past tasks")

    def sliding(self, count: int) -> Array:
        """Mean of R[t, i] over the `count` newest tasks after each task t, shape (T,); fewer where there are no more."""
        means = [self._mean(self.values[t, max(0, t + 1 - count) : t + 1], "sliding accuracy") for t in range(len(self))]
        return np.array(means)

    def save(self, path: str | Path) -> None:
        """Write `.npz` (values, untrained) or `.csv`: a row for each t, its first entry t, empty where nothing was tested.

        Raises:
            ConfigError: a name with another ending.
        """
        path = Path(path)
        if path.suffix == ".npz":
            import io

            buffer = io.BytesIO()
            np.savez(buffer, values=self.values, untrained=self.untrained)
            write_atomically(path, buffer.getvalue())
        elif path.suffix == ".csv":
            rows = [["after task", *(f"task {i + 1}" for i in range(len(self)))]]
            for t, row in enumerate((self.untrained, *self.values)):
                rows.append([str(t), *("" if np.isnan(value) else repr(float(value)) for value in row)])
            write_atomically(path, "".join(",".join(row) + "\n" for row in rows).encode())
        else:
            raise ConfigError(f"accuracies cannot be written to {path.name}; expected a name that ends in .npz or .csv.")

    def _mean(self, values: Array, name: str, evaluate: str = "seen") -> float:
        if not values.size:
            raise ConfigError(f"{name} needs more than one task.")
        if np.isnan(values).any():
            self._missing(name, evaluate)
        return float(values.mean())

    def _missing(self, name: str, evaluate: str = "seen") -> None:
        raise ConfigError(f"{name} needs tests that were not taken; train with StreamConfig(evaluate={evaluate!r}).")
