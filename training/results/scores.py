"""`Scores`: tests a learner after each task and collects the results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...contracts.task_stream import TaskStream, check_test
from ...errors import FitError
from ...evaluation_mode import evaluation_mode
from ..config import StreamConfig
from .metrics import AccuracyMatrix
from .result import StreamResult
from .uncertainty import Uncertainty, roc_auc, uncertainty

if TYPE_CHECKING:
    from ..learners.learner import Learner


class Scores:
    """Accuracies of a run, for each view of the learner.

    Args:
        stream: Source of the tests.
        ood: A stream of out-of-distribution tasks, or None.
        tasks: Number of tasks that are learned.
        config: Which tests are run when.
        views: The views of the learner.
    """

    def __init__(
        self, stream: TaskStream, ood: TaskStream | None, tasks: int, config: StreamConfig, views: tuple[str, ...]
    ) -> None:
        self.stream, self.ood, self.tasks, self.config = stream, ood, tasks, config
        self.matrices = {view: AccuracyMatrix.empty(tasks) for view in views}
        self.seconds: list[float] = []
        self.detection: dict[str, Tensor] = {}
        # Test sets of streams that are generated on access: the newest ones are used again after the next task.
        self._tests: dict[int, tuple[Tensor, Tensor]] = {}

    # --- schedule of the tests ----------------------------------------------------------------------------------------

    def test_untrained(self, learner: Learner) -> None:
        """Test the learner before the first task, if all tasks are to be tested."""
        if self.config.evaluate == "all":
            for view, matrix in self.matrices.items():
                for index in range(self.tasks):
                    matrix.untrained[index] = self._accuracy(learner, index, 0, view)

    def test_after(self, learner: Learner, index: int) -> None:
        """Test the learner after task `index`."""
        for task in self._tested(index):
            for view, matrix in self.matrices.items():
                matrix.values[index, task] = self._accuracy(learner, task, index + 1, view)
        if self.ood is not None and index >= self._first_detection:
            self._detect(learner, self.ood, index)

    def _tested(self, index: int) -> range:
        """Return the tasks that are tested after task `index`."""
        if self.config.evaluate == "all":
            return range(self.tasks)
        count = {"newest": 1, "recent": self.config.recent}.get(self.config.evaluate, self.tasks)
        is_last = index + 1 == self.tasks
        return range(0 if is_last else max(0, index + 1 - count), index + 1)

    @property
    def _first_detection(self) -> int:
        """The first task after which out-of-distribution samples are detected."""
        return max(0, self.tasks - self.config.recent)

    def newest(self, index: int) -> dict[str, float]:
        """Return the accuracy on task `index` after it was learned and the mean over the recent tasks, for each view."""
        figures = {}
        for view, matrix in self.matrices.items():
            suffix = "" if len(self.matrices) == 1 else f" ({view})"
            figures[f"test/newest{suffix}"] = float(matrix.values[index, index])
            recent = matrix.values[index, max(0, index + 1 - self.config.recent) : index + 1]
            if not np.isnan(recent).any():
                figures[f"test/last {len(recent)}{suffix}"] = float(recent.mean())
        return figures

    # --- tests --------------------------------------------------------------------------------------------------------

    def _test(self, index: int) -> tuple[Tensor, Tensor]:
        if index not in self._tests:
            while len(self._tests) >= self.config.recent:
                del self._tests[min(self._tests)]
            self._tests[index] = check_test(self.stream, index)
        return self._tests[index]

    def _generator(self, index: int, after: int) -> torch.Generator:
        """Return the source of a test's noise, determined by seed and test, so that a resumed run draws the same numbers."""
        return torch.Generator().manual_seed(((self.config.seed * 4096 + after) << 16) + index)

    def _responses(self, learner: Learner, inputs: Tensor, index: int, after: int, view: str) -> Iterator[Tensor]:
        generator = self._generator(index, after)
        with torch.no_grad(), evaluation_mode(learner):
            # In even parts: a last one of a single input would have no variance in a batch norm.
            for batch in inputs.tensor_split(-(-len(inputs) // self.config.test_batch)):
                batch = batch.to(learner.device)
                log_p = learner.log_probabilities(batch, generator=generator, task=index, view=view)
                if bool(log_p.isnan().any()):
                    cause = learner.likely_cause(batch)
                    raise FitError(f"{learner.rule} diverged: its response to task {index} is NaN. {cause}")
                yield log_p

    def _accuracy(self, learner: Learner, index: int, after: int, view: str) -> float:
        inputs, labels = self._test(index)
        predicted = [log_p.logsumexp(0).argmax(-1).cpu() for log_p in self._responses(learner, inputs, index, after, view)]
        return float((torch.cat(predicted) == labels).double().mean())

    def _detect(self, learner: Learner, ood: TaskStream, index: int) -> None:
        """Append the areas under the ROC curves of the newest task, and store its uncertainties."""
        view = learner.views[-1]
        by_source: dict[str, dict[str, Tensor]] = {}
        for source, inputs in (("newest", self._test(index)[0]), ("ood", check_test(ood, index)[0])):
            parts = [uncertainty(log_p.cpu()) for log_p in self._responses(learner, inputs, index, index + 1, view)]
            by_source[source] = {name: torch.cat([getattr(part, name) for part in parts]) for name in Uncertainty._fields}
        for name in Uncertainty._fields:
            area = torch.tensor([roc_auc(by_source["newest"][name], by_source["ood"][name])])
            self.detection[f"auc {name}"] = torch.cat([self.detection.get(f"auc {name}", area[:0]), area])
            self.detection |= {f"{source} {name}": values[name] for source, values in by_source.items()}

    def release(self) -> None:
        """Release the cached tests."""
        self._tests.clear()

    # --- result and state ---------------------------------------------------------------------------------------------

    def result(self, learner: Learner, epochs: Sequence[int], continued: Sequence[str]) -> StreamResult:
        """Return the result of the run.

        Args:
            learner: The learner.
            epochs: Passes over each task.
            continued: Where the run was continued with other settings, and with which.
        """
        return StreamResult(
            rule=learner.rule,
            stream=self.stream.name,
            seed=self.config.seed,
            recent=min(self.config.recent, self.tasks),
            accuracies=dict(self.matrices),
            seconds=tuple(self.seconds),
            detection=dict(self.detection),
            footprint=learner.footprint(),
            epochs=tuple(epochs),
            continued=tuple(continued),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values for a checkpoint."""
        matrices = {
            view: {"values": torch.from_numpy(matrix.values.copy()), "untrained": torch.from_numpy(matrix.untrained.copy())}
            for view, matrix in self.matrices.items()
        }
        return {"matrices": matrices, "seconds": list(self.seconds), "detection": self.detection}

    def load_state_dict(self, state: dict[str, Any], finished: int) -> None:
        """Restore what `state_dict` returned, also of a run over fewer tasks, whose last tests a longer one does not have.

        Args:
            state: The state.
            finished: Number of tasks whose results are restored.
        """
        for view, stored in state["matrices"].items():
            matrix, values, untrained = self.matrices[view], stored["values"].numpy(), stored["untrained"].numpy()
            shared = min(self.tasks, len(values))
            for index in range(finished):
                tested = [task for task in self._tested(index) if task < shared]
                matrix.values[index, tested] = values[index, tested]
            if self.config.evaluate == "all":
                matrix.untrained[:shared] = untrained[:shared]
        self.seconds = list(state["seconds"])[:finished]
        self.detection = dict(state["detection"])
        for name, areas in state["detection"].items():
            if name.startswith("auc "):  # one for each of the last tasks
                after = range(len(state["seconds"]) - len(areas), len(state["seconds"]))
                kept = [self._first_detection <= index < finished for index in after]
                self.detection[name] = areas[torch.tensor(kept, dtype=torch.bool)]
