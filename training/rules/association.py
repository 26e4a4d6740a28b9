"""From outputs without meaning to classes: `class_means`, `associate` and `class_scores`."""

from __future__ import annotations

import torch
from torch import Tensor

#: Class of an output that has never responded, and score of a class without outputs, below those of all others.
NONE = -1


def class_means(outputs: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return the mean output of each class.

    Args:
        outputs: Shape (samples, outputs).
        labels: Classes, shape (samples,).
        classes: Number of classes.

    Returns:
        Means, shape (classes, outputs), 0 for a class without samples; and the samples of each class, shape (classes,).

    Example:
        >>> means, counts = class_means(torch.tensor([[1.0, 0.0], [0.0, 3.0], [0.0, 1.0]]), torch.tensor([0, 1, 1]), 2)
        >>> means.tolist(), counts.tolist()
        ([[1.0, 0.0], [0.0, 2.0]], [1.0, 2.0])
    """
    sums = outputs.new_zeros(classes, outputs.shape[1]).index_add_(0, labels, outputs)
    counts = torch.bincount(labels, minlength=classes).to(outputs)
    return sums / counts.clamp(min=1)[:, None], counts


def associate(means: Tensor) -> Tensor:
    """Return the class of each output: the one of its largest mean; -1 for an output that has never responded.

    Args:
        means: Shape (classes, outputs).

    Example:
        >>> associate(torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])).tolist()
        [0, 1, -1]
    """
    largest, classes = means.max(0)
    return torch.where(largest > 0, classes, NONE)


def class_scores(outputs: Tensor, association: Tensor, classes: int, *, by: str = "mean") -> Tensor:
    """Return a score for each class: the mean or the largest of its outputs; -1 for a class without outputs.

    Args:
        outputs: Between 0 and 1, shape (samples, outputs).
        association: Class of each output, shape (outputs,).
        classes: Number of classes.
        by: "mean" or "maximum".

    Returns:
        Shape (samples, classes).

    Example:
        >>> class_scores(torch.tensor([[0.2, 0.4, 0.5]]), torch.tensor([0, 0, 2]), 3).tolist()
        [[0.30000001192092896, -1.0, 0.5]]
    """
    members = torch.nn.functional.one_hot(association.clamp(min=0), classes).to(outputs) * (association >= 0)[:, None]
    counts = members.sum(0)
    if by == "mean":
        return torch.where(counts > 0, outputs @ members / counts.clamp(min=1), float(NONE))
    scores = outputs.new_full((len(outputs), classes), float(NONE))
    known = association >= 0
    where = association[known].expand(len(outputs), -1)
    return scores.scatter_reduce_(1, where, outputs[:, known], "amax")
