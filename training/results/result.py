"""`StreamResult`: the result of a run over a stream, and `summary` over seeds."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ...errors import ConfigError
from ...files import write_atomically
from .metrics import AccuracyMatrix


@dataclass(frozen=True, eq=False)
class StreamResult:
    """The result of a run over a stream.

    Attributes:
        rule: Name of the learning rule.
        stream: Name of the stream.
        seed: Seed of the run.
        recent: Number of tasks over which the last accuracy is averaged.
        accuracies: Accuracy matrices by view of the learner.
        seconds: Wall time of learning for each task, tests excluded.
        detection: For a run with `ood`: "auc epistemic", "auc aleatoric" and "auc total", each shape (recent,), computed after
            each of the last tasks with the tests of that task; and the uncertainties [bit] of the tests of the newest task
            ("newest epistemic", ...) and of the out-of-distribution tests ("ood epistemic", ...).
        footprint: Cost of the rule, such as memory.
        epochs: Passes over each task; fewer than requested where a callback stopped the task early.
        continued: Where the run was continued with other settings (`continue_from`), and with which.
    """

    rule: str
    stream: str
    seed: int
    recent: int
    accuracies: dict[str, AccuracyMatrix]
    seconds: tuple[float, ...] = ()
    detection: dict[str, Tensor] = field(default_factory=dict)
    footprint: dict[str, float] = field(default_factory=dict)
    epochs: tuple[int, ...] = ()
    continued: tuple[str, ...] = ()

    @property
    def accuracy(self) -> AccuracyMatrix:
        """Matrix of the first view."""
        return next(iter(self.accuracies.values()))

    def figures(self) -> dict[str, float]:
        """Return all metrics that the tests allow, by name, with the view in brackets where there are several."""
        figures: dict[str, float] = {}
        for view, matrix in self.accuracies.items():
            suffix = "" if len(self.accuracies) == 1 else f" ({view})"
            for name, value in _figures(matrix, self.recent).items():
                figures[name + suffix] = value
        for name, values in self.detection.items():
            if name.startswith("auc "):
                figures[f"{name}, mean of last {len(values)}"] = float(values.double().mean())
        figures["seconds of learning"] = float(sum(self.seconds))
        return {**figures, **self.footprint}

    def _repr_html_(self) -> str:
        """Return the figures and the accuracy of each task at the end, for notebooks."""
        from .notebook import result_html

        return result_html(self)

    def save(self, folder: str | Path) -> None:
        """Write `result.json` (figures), `accuracy[-view].csv` and `.npz`, and `detection.npz` into a folder, which is created.

        Raises:
            ConfigError: a folder that cannot be created.
        """
        where = Path(folder)
        try:
            where.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot create the folder {folder}: {error.strerror}. Choose a writable one.") from None
        for view, matrix in self.accuracies.items():
            suffix = "" if len(self.accuracies) == 1 else f"-{view}"
            matrix.save(where / f"accuracy{suffix}.csv")
            matrix.save(where / f"accuracy{suffix}.npz")
        if self.detection:
            buffer = io.BytesIO()
            np.savez(buffer, **{name.replace(" ", "_"): values.cpu().numpy() for name, values in self.detection.items()})  # type: ignore[arg-type]
            write_atomically(where / "detection.npz", buffer.getvalue())
        write_atomically(where / "result.json", (json.dumps(self.as_dict(), indent=1) + "\n").encode())

    def as_dict(self) -> dict[str, Any]:
        """Return names, figures, seconds and epochs of each task, and what changed where the run was continued, for JSON."""
        names = {"rule": self.rule, "stream": self.stream, "seed": self.seed, "tasks": len(self.accuracy)}
        by_task = {"seconds by task": [round(seconds, 3) for seconds in self.seconds], "epochs by task": list(self.epochs)}
        continued = {"continued": list(self.continued)} if self.continued else {}
        return {**names, "figures": self.figures(), **by_task, **continued}


def _figures(matrix: AccuracyMatrix, recent: int) -> dict[str, float]:
    metrics: dict[str, Callable[[], float]] = {
        f"last {recent}": lambda: matrix.last(recent),
        "newest": lambda: matrix.newest,
        "first": lambda: matrix.first,
        "all tasks (ACC)": lambda: matrix.accuracy,
        "BWT": lambda: matrix.backward_transfer,
        "FWT": lambda: matrix.forward_transfer,
        "forgetting (max - last)": lambda: matrix.forgetting("max"),
        "forgetting (first - last)": lambda: matrix.forgetting("first"),
        "rigidity (first task - newest)": lambda: matrix.rigidity,
    }
    figures = {}
    for name, metric in metrics.items():
        try:
            figures[name] = metric()
        except ConfigError:
            continue  # its tests were not run
    return figures


def summary(results: Sequence[StreamResult]) -> dict[str, tuple[float, float]]:
    """Return mean and standard deviation (n - 1; NaN for one seed) over seeds, for each figure that all results have.

    Raises:
        ConfigError: no result.
    """
    if not results:
        raise ConfigError("there are no results to summarise; expected one per seed.")
    figures = [result.figures() for result in results]
    shared = [name for name in figures[0] if all(name in other for other in figures)]
    table = {}
    for name in shared:
        values = np.array([of_seed[name] for of_seed in figures])
        table[name] = (float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan"))
    return table
