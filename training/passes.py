"""`Passes`: the number of passes over each task, and the task of each epoch of the trainer."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate


class Passes:
    """Passes over each task of a run, in the order of the tasks; the epochs of Lightning's Trainer count all of them.

    Args:
        counts: Passes over each task, at least 1.

    Example:
        >>> passes = Passes([2, 3])
        >>> passes.total, [passes.locate(epoch) for epoch in range(5)]
        (5, [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)])
        >>> passes.stop(0, 1)
        >>> passes.total, passes.locate(1)
        (4, (1, 0))
    """

    def __init__(self, counts: Iterable[int]) -> None:
        self.counts = list(counts)

    @property
    def total(self) -> int:
        """Number of passes over all tasks."""
        return sum(self.counts)

    def locate(self, epoch: int) -> tuple[int, int]:
        """Return the task of an epoch, and its pass over this task; the last ones for an epoch after the end."""
        epoch = min(epoch, self.total - 1)
        for task, end in enumerate(accumulate(self.counts)):
            if epoch < end:
                return task, epoch - end + self.counts[task]
        raise IndexError("no passes")  # a run has at least one task of one pass

    def stop(self, task: int, done: int) -> None:
        """End a task after `done` passes."""
        self.counts[task] = done
