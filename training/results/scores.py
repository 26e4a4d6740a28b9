"""`Scores`: tests a learner after each task, and keeps what came out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...contracts.task_stream import TaskStream
from ...errors import FitError
from ..config import StreamConfig
from .metrics import AccuracyMatrix
from .result import StreamResult
from .uncertainty import Uncertainty, roc_auc, uncertainty

if TYPE_CHECKING:
    from ..learners.learner import Learner


class Scores:
    """Accuracies of a run, for each view of the learner.

    Args:
        stream: Whose tests are taken.
        ood: A stream of what the learner never sees, or None.
        tasks: How many tasks are learned.
        config: Which tests are taken when.
        views: Those of the learner.
    """

    def __init__(
        self, stream: TaskStream, ood: TaskStream | None, tasks: int, config: StreamConfig, views: tuple[str, ...]
    ) -> None:
        self.stream, self.ood, self.tasks, self.config = stream, ood, tasks, config
        self.matrices = {view: AccuracyMatrix.empty(tasks) for view in views}
        self.seconds: list[float] = []
        self.apart: dict[str, Tensor] = {}
        # Test sets of streams that are made on the fly: the newest ones are wanted again after the next task.
        self._held: dict[int, tuple[Tensor, Tensor]] = {}

    # --- when what is tested ------------------------------------------------------------------------------------------

    def before(self, learner: Learner) -> None:
        """Before the first task."""
        if self.config.evaluate == "all":
            for view, matrix in self.matrices.items():
                for index in range(self.tasks):
                    matrix.untrained[index] = self._accuracy(learner, index, 0, view)

    def after(self, learner: Learner, index: int) -> None:
        """After task `index`."""
        last = index + 1 == self.tasks
        if self.config.evaluate == "all":
            wanted = range(self.tasks)
        else:
            count = {"newest": 1, "recent": self.config.recent}.get(self.config.evaluate, self.tasks)
            first = 0 if last else max(0, index + 1 - count)
            wanted = range(first, index + 1)
        for each in wanted:
            for view, matrix in self.matrices.items():
                matrix.values[index, each] = self._accuracy(learner, each, index + 1, view)
        if self.ood is not None and index + self.config.recent >= self.tasks:
            self._detect(learner, self.ood, index)

    def newest(self, index: int) -> dict[str, float]:
        """What is told after task `index`: the accuracy on it, and the mean over the recent ones, for each view."""
        told = {}
        for view, matrix in self.matrices.items():
            mark = "" if len(self.matrices) == 1 else f" ({view})"
            told[f"test/newest{mark}"] = float(matrix.values[index, index])
            row = matrix.values[index, max(0, index + 1 - self.config.recent) : index + 1]
            if not np.isnan(row).any():
                told[f"test/last {len(row)}{mark}"] = float(row.mean())
        return told

    # --- how ----------------------------------------------------------------------------------------------------------

    def _test(self, index: int) -> tuple[Tensor, Tensor]:
        if index not in self._held:
            while len(self._held) >= self.config.recent:
                del self._held[min(self._held)]
            self._held[index] = self.stream.test(index)
        return self._held[index]

    def _generator(self, index: int, after: int) -> torch.Generator:
        """The noise of a test follows from seed and place: a resumed run draws what an uninterrupted one draws."""
        return torch.Generator().manual_seed(((self.config.seed * 4096 + after) << 16) + index)

    def _answers(self, learner: Learner, inputs: Tensor, index: int, after: int, view: str) -> Iterator[Tensor]:
        generator = self._generator(index, after)
        trained = learner.training
        learner.eval()
        with torch.no_grad():
            # In even parts: a last one of a single input would have no variance for a batch norm.
            for batch in inputs.tensor_split(-(-len(inputs) // self.config.test_batch)):
                batch = batch.to(learner.device)
                answers = learner.log_probabilities(batch, generator=generator, task=index, view=view)
                if bool(answers.isnan().any()):
                    raise FitError(f"{learner.rule} answers NaN to tests of task {index}: it has diverged. Take smaller rates.")
                yield answers
        learner.train(trained)

    def _accuracy(self, learner: Learner, index: int, after: int, view: str) -> float:
        inputs, labels = self._test(index)
        answers = [each.logsumexp(0).argmax(-1).cpu() for each in self._answers(learner, inputs, index, after, view)]
        return float((torch.cat(answers) == labels).double().mean())

    def _detect(self, learner: Learner, ood: TaskStream, index: int) -> None:
        """Add the areas under the ROC curves of the newest task, and keep its uncertainties."""
        view = learner.views[-1]
        sides: dict[str, dict[str, Tensor]] = {}
        for side, inputs in (("inside", self._test(index)[0]), ("outside", ood.test(index)[0])):
            parts = [uncertainty(each.cpu()) for each in self._answers(learner, inputs, index, index + 1, view)]
            sides[side] = {name: torch.cat([getattr(part, name) for part in parts]) for name in Uncertainty._fields}
        for name in Uncertainty._fields:
            area = torch.tensor([roc_auc(sides["inside"][name], sides["outside"][name])])
            self.apart[f"auc {name}"] = torch.cat([self.apart.get(f"auc {name}", area[:0]), area])
            self.apart |= {f"{side} {name}": held[name] for side, held in sides.items()}

    def release(self) -> None:
        """Let go of the tests that are kept."""
        self._held.clear()

    # --- what is kept -------------------------------------------------------------------------------------------------

    def result(self, learner: Learner) -> StreamResult:
        """All that came out."""
        return StreamResult(
            rule=learner.rule,
            stream=self.stream.name,
            seed=self.config.seed,
            recent=min(self.config.recent, self.tasks),
            accuracies=dict(self.matrices),
            seconds=tuple(self.seconds),
            detection=dict(self.apart),
            footprint=learner.footprint(),
        )

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        matrices = {
            view: {"values": torch.from_numpy(matrix.values.copy()), "untrained": torch.from_numpy(matrix.untrained.copy())}
            for view, matrix in self.matrices.items()
        }
        return {"matrices": matrices, "seconds": list(self.seconds), "apart": self.apart}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        for view, stored in state["matrices"].items():
            self.matrices[view] = AccuracyMatrix(
                stored["values"].numpy().astype(np.float64), stored["untrained"].numpy().astype(np.float64)
            )
        self.seconds, self.apart = list(state["seconds"]), dict(state["apart"])
