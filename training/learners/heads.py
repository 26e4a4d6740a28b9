"""`Heads`: which outputs of a network belong to which task."""

from __future__ import annotations

import torch
from torch import Tensor

from ...contracts.task_stream import TaskStream
from ...errors import ConfigError
from ...validation import one_of

#: Logit of an output that does not belong to the task: a probability of zero whose logarithm is finite.
EXCLUDED = -1e30


class Heads:
    """Outputs of tasks.

    - "single": all outputs compete in training and in tests; the identity of a task is not used (class- or domain-incremental).
    - "multi": only the outputs of the task compete (task-incremental). Where the classes of the tasks are disjoint, as in
      `ClassSplit`, a network has one output for each class; else, as with permuted pixels, `stream.classes` for each task.

    Attributes:
        masks: The outputs of each task, bool, shape (tasks, outputs); a single row for a single head.
        offset: Outputs before those of a task, for each task; zero where classes are disjoint.
        views: Views of the learner, see `Learner.views`.

    Args:
        stream: The tasks.
        heads: "single" or "multi".

    Raises:
        ConfigError: another kind, or several heads on a stream without boundaries.
    """

    def __init__(self, stream: TaskStream, heads: str) -> None:
        self.kind: str = one_of("heads", heads, ("single", "multi"))
        self.classes = int(stream.classes)
        self.offset = [0] * len(stream)
        self.views: tuple[str, ...] = ("shared",)
        if self.kind == "single":
            self.masks = torch.ones(1, self.classes, dtype=torch.bool)
            return
        if not stream.boundaries:
            raise ConfigError(
                f"several heads need to know the task, and the stream {stream.name!r} has no boundaries; use heads='single'."
            )
        groups = [stream.test(index)[1].unique().tolist() for index in range(len(stream))]
        self.is_disjoint = sum(map(len, groups)) == len({label for group in groups for label in group})
        self.masks = torch.zeros(len(stream), self.classes * (1 if self.is_disjoint else len(stream)), dtype=torch.bool)
        for index, group in enumerate(groups):
            if self.is_disjoint:
                self.masks[index, group] = True
            else:
                self.offset[index] = index * self.classes
                self.masks[index, self.offset[index] : self.offset[index] + self.classes] = True
        self.views = ("task", "shared") if self.is_disjoint else ("task",)

    @property
    def outputs(self) -> int:
        """Number of outputs that the network must have."""
        return self.masks.shape[1]

    def compete(self, logits: Tensor, tasks: Tensor) -> Tensor:
        """Return logits with the outputs of other heads at `EXCLUDED`.

        Args:
            logits: Shape (samples, outputs).
            tasks: Index of the task of each sample, shape (samples,).
        """
        if self.kind == "single":
            return logits
        return logits.masked_fill(~self.masks.to(logits.device)[tasks], EXCLUDED)

    def response(self, logits: Tensor, task: int, view: str) -> Tensor:
        """Return the logits of the classes of a stream, shape (..., classes), for a test in a view."""
        if self.kind == "single" or view == "shared":
            return logits
        if self.is_disjoint:
            return logits.masked_fill(~self.masks[task].to(logits.device), EXCLUDED)
        return logits[..., self.offset[task] : self.offset[task] + self.classes]
