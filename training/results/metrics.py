"""`AccuracyMatrix`: the accuracy on each task after each task, and the metrics of continual learning computed from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import ConfigError
from ...files import write_atomically
from ...typing import Array
from ...validation import one_of, whole_number


@dataclass(frozen=True, eq=False)
class AccuracyMatrix:
    """R[t, i]: accuracy on the test set of task i after task t was learned; NaN where it was not tested.

    With T tasks, all metrics are fractions 0 .. 1, and each raises a `ConfigError` if it needs a test that was not run.

    Attributes:
        values: R, shape (T, T).
        untrained: b[i], the accuracy before anything was learned, shape (T,); NaN where it was not tested.

    Example:
        >>> matrix = AccuracyMatrix(np.array([[0.9, np.nan], [0.6, 0.8]]), np.full(2, np.nan))
        >>> print(f"{matrix.accuracy:.2f} {matrix.backward_transfer:.2f} {matrix.forgetting():.2f}")
        0.70 -0.30 0.30

    Source: Lopez-Paz and Ranzato, NeurIPS (2017) for BWT and FWT; Chaudhry et al., ECCV (2018) for forgetting.
    """

    values: Array
    untrained: Array

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[0] != self.values.shape[1] or self.untrained.shape != (len(self.values),):
            raise ConfigError(
                f"values have shape {self.values.shape}, untrained {self.untrained.shape}; expected (tasks, tasks), (tasks,)."
            )

    @classmethod
    def empty(cls, tasks: int) -> AccuracyMatrix:
        """Return a matrix for `tasks` tasks without any test."""
        return cls(np.full((tasks, tasks), np.nan), np.full(tasks, np.nan))

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self.values)

    @property
    def accuracy(self) -> float:
        """ACC = 1/T sum_i R[T-1, i]: mean over all tasks at the end."""
        return self.last(len(self))

    @property
    def newest(self) -> float:
        """R[T-1, T-1]: accuracy on the newest task at the end."""
        return self.last(1)

    @property
    def first(self) -> float:
        """R[T-1, 0]: accuracy on the first task at the end."""
        return self._mean(self.values[-1, :1], "accuracy on the first task")

    def last(self, count: int) -> float:
        """Return the mean of R[T-1, i] over the `count` newest tasks."""
        count = whole_number("count", count, 1, len(self))
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
        """Return the mean loss of accuracy over all tasks but the newest.

        Args:
            definition: "max" for max_{t<T-1} R[t, i] - R[T-1, i]; "first" for R[i, i] - R[T-1, i], which is -BWT.
        """
        if one_of("definition", definition, ("max", "first")) == "first":
            return -self.backward_transfer
        if len(self) < 2:
            return self._mean(np.empty(0), "forgetting")
        was_learned = np.tril(np.ones_like(self.values, dtype=bool))[:-1, :-1]
        if np.isnan(self.values[:-1, :-1][was_learned]).any():
            self._missing("forgetting")
        highest = np.where(was_learned, self.values[:-1, :-1], -np.inf).max(0)
        return self._mean(highest - self.values[-1, :-1], "forgetting")

    @property
    def rigidity(self) -> float:
        """R[0, 0] - R[T-1, T-1]: accuracy lost on the newest task compared with the first, large for a frozen network."""
        return self._mean(self.values[:1, 0] - self.values[-1:, -1], "rigidity")

    @property
    def resilience(self) -> float:
        """1 / |R[T-1, T-1] - R[0, 0]|, "memory rigidity resilience" of the MESU publication; infinite where they are equal."""
        difference = abs(self.rigidity)
        return 1 / difference if difference else float("inf")

    def past(self, after: int) -> float:
        """Return the mean of R[t, i] over the tasks i < t before the newest, after `after` = t + 1 tasks."""
        after = whole_number("after", after, 2, len(self))
        return self._mean(self.values[after - 1, : after - 1], "accuracy on past tasks")

    def sliding(self, count: int) -> Array:
        """Return the mean of R[t, i] over the (at most) `count` newest tasks after each task t, shape (T,)."""
        means = [self._mean(self.values[t, max(0, t + 1 - count) : t + 1], "sliding accuracy") for t in range(len(self))]
        return np.array(means)

    def save(self, path: str | Path) -> None:
        """Write `.npz` (values, untrained) or `.csv`: one row per t, which begins with t, empty where nothing was tested.

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
        raise ConfigError(f"{name} needs tests that were not run; train with evaluate={evaluate!r}.")
