"""`TaskNorm`: batch norm without running statistics, with a gain and a shift per task."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn

from ...errors import ConfigError


class TaskNorm(nn.Module):
    """y = gain (x - mean) / sqrt(variance + eps) + shift, over the current batch, in training and in tests.

    Gain and shift are learned; those of a task can be stored, and used again when the task is tested. Since mean and variance
    are those of the tested batch, such a batch must be of a single task. Where several processes share a batch, mean and
    variance are those of the entire batch.

    Args:
        features: Number of input features.
        tasks: Number of tasks whose gains and shifts can be stored.
        eps: Added to the variance.

    Source: Laborieux et al., Nat. Commun. 12, 2549 (2021), whose published numbers use the norms of the tested task.
    """

    bank: Tensor  # gains and shifts, shape (tasks, 2, features)
    is_stored: Tensor  # shape (tasks,)

    def __init__(self, features: int, tasks: int = 0, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("bank", torch.zeros(tasks, 2, features))
        self.register_buffer("is_stored", torch.zeros(tasks, dtype=torch.bool))

    def store(self, task: int) -> None:
        """Store the current gain and shift for a task."""
        self.bank[task] = torch.stack([self.weight.detach(), self.bias.detach()])
        self.is_stored[task] = True

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        """Load the stored norms of fewer tasks as well: a stream may be continued with more."""
        for name, own in (("bank", self.bank), ("is_stored", self.is_stored)):
            stored = state_dict.get(prefix + name)
            if stored is not None and stored.shape[1:] == own.shape[1:] and len(stored) < len(own):
                state_dict[prefix + name] = torch.cat([stored, torch.zeros_like(own[len(stored) :])])
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def forward(self, x: Tensor, task: int | None = None, *, detach_moments: bool = False) -> Tensor:
        """Return the normalised batch.

        Args:
            x: Shape (samples, features).
            task: Task whose gain and shift are used; the current ones if None, or if none were stored for it.
            detach_moments: True to treat mean and variance as constants in the backward pass.

        Raises:
            ConfigError: a single sample.
        """
        gain, shift = self.weight, self.bias
        if task is not None and task < len(self.is_stored) and bool(self.is_stored[task]):
            gain, shift = self.bank[task]
        is_shared = self.training and distributed.is_available() and distributed.is_initialized()
        if len(x) < 2 and not is_shared:
            raise ConfigError("the batch has one sample, which has no variance; use larger batches, or norm='none'.")
        if not is_shared and not detach_moments:
            return nn.functional.batch_norm(x, None, None, gain, shift, training=True, eps=self.eps)
        mean, variance = _moments(x, is_shared)
        if detach_moments:
            mean, variance = mean.detach(), variance.detach()
        return (x - mean) * (variance + self.eps).rsqrt() * gain + shift


def _moments(x: Tensor, is_shared: bool) -> tuple[Tensor, Tensor]:
    """Return mean and variance of the batch of all processes, differentiable through all of them."""
    if not is_shared:
        return x.mean(0), x.var(0, correction=0)
    from torch.distributed.nn.functional import all_reduce

    count = x.new_full((), len(x))
    distributed.all_reduce(count)
    mean = all_reduce(x.sum(0)) / count
    return mean, all_reduce((x - mean).square().sum(0)) / count
