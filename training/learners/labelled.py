"""`draw_labelled`: the samples of a task whose labels may be used."""

from __future__ import annotations

import torch
from torch import Tensor

from ...contracts.task_stream import Task
from ...errors import ConfigError


def draw_labelled(task: Task, count: int | None, classes: int, seed: int) -> Tensor:
    """Return indices of labelled samples, as evenly from all classes of the task as possible.

    Args:
        task: The task.
        count: Number of samples; all if None.
        classes: Number of classes.
        seed: Seed of the draw.

    Raises:
        ConfigError: more labels than samples.

    Example:
        >>> x, y = torch.zeros(8, 1), torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
        >>> draw_labelled(Task("few", x, y, x, y), 4, 2, seed=0).sort().values[-2:].tolist()  # both of class 1
        [6, 7]
    """
    if count is None:
        return torch.arange(len(task))
    if count > len(task):
        raise ConfigError(f"labels is {count}, and task {task.name!r} has {len(task)} samples; expected at most as many.")
    order = torch.randperm(len(task), generator=torch.Generator().manual_seed(seed))
    members = torch.nn.functional.one_hot(task.labels[order], classes)
    # The rank of each sample within its class: the first ones of all classes come before the second ones.
    rank = (members.cumsum(0) * members).sum(1)
    return order[rank.argsort(stable=True)[:count]]
