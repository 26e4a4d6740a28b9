"""`TaskNorm`: batch norm with a gain and a shift per task, and with the statistics of the tested batch or of the task."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn

from ...errors import ConfigError


class TaskNorm(nn.Module):
    """y = gain (x - mean) / sqrt(variance + eps) + shift, with mean and variance of the current batch in training.

    Gain and shift are learned; those of a task can be stored, and used again when the task is tested. In tests mean and
    variance are those of the tested batch, which must then be of a single task, or running averages over the batches of
    training, which are stored with each task. Where several processes share a batch, mean and variance are those of the
    entire batch.

    Args:
        features: Number of input features.
        tasks: Number of tasks whose gains and shifts can be stored.
        running: True to test with running averages.
        eps: Added to the variance.
        momentum: Weight of the newest batch in the running averages.

    Source: Laborieux et al., Nat. Commun. 12, 2549 (2021), whose published numbers use the norms of the tested task, and
    running averages for real weights only.
    """

    bank: Tensor  # gains and shifts, shape (tasks, 2, features)
    is_stored: Tensor  # shape (tasks,)
    moments: Tensor  # running mean and variance, shape (2, features)
    moments_bank: Tensor  # those of each task, shape (tasks, 2, features)

    def __init__(
        self, features: int, tasks: int = 0, *, running: bool = False, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__()
        self.eps, self.running, self.momentum = eps, running, momentum
        if running:
            self.register_buffer("moments", torch.stack([torch.zeros(features), torch.ones(features)]))
            self.register_buffer("moments_bank", torch.zeros(tasks, 2, features))
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("bank", torch.zeros(tasks, 2, features))
        self.register_buffer("is_stored", torch.zeros(tasks, dtype=torch.bool))

    def store(self, task: int) -> None:
        """Store the current gain and shift for a task, and the running averages."""
        self.bank[task] = torch.stack([self.weight.detach(), self.bias.detach()])
        if self.running:
            self.moments_bank[task] = self.moments
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
            ConfigError: a single sample, where the statistics are those of the batch.
        """
        gain, shift = self.weight, self.bias
        known = task is not None and task < len(self.is_stored) and bool(self.is_stored[task])
        if known:
            gain, shift = self.bank[task]
        if self.running and not self.training:
            mean, variance = self.moments_bank[task] if known else self.moments
            return nn.functional.batch_norm(x, mean, variance, gain, shift, training=False, eps=self.eps)
        is_shared = self.training and distributed.is_available() and distributed.is_initialized()
        if len(x) < 2 and not is_shared:
            raise ConfigError("the batch has one sample, which has no variance; use larger batches, or norm='none'.")
        if self.running and not detach_moments:
            self._average(x, is_shared)
        if not is_shared and not detach_moments:
            return nn.functional.batch_norm(x, None, None, gain, shift, training=True, eps=self.eps)
        mean, variance = _moments(x, is_shared)
        if detach_moments:
            mean, variance = mean.detach(), variance.detach()
        return (x - mean) * (variance + self.eps).rsqrt() * gain + shift

    @torch.no_grad()
    def _average(self, x: Tensor, is_shared: bool) -> None:
        """Move the running averages towards mean and unbiased variance of the batch, as torch does."""
        mean, variance = _moments(x, is_shared)
        samples = len(x) * (distributed.get_world_size() if is_shared else 1)
        self.moments.lerp_(torch.stack([mean, variance * samples / (samples - 1)]), self.momentum)


def _moments(x: Tensor, is_shared: bool) -> tuple[Tensor, Tensor]:
    """Return mean and variance of the batch of all processes, differentiable through all of them."""
    if not is_shared:
        return x.mean(0), x.var(0, correction=0)
    from torch.distributed.nn.functional import all_reduce

    count = x.new_full((), len(x))
    distributed.all_reduce(count)
    mean = all_reduce(x.sum(0)) / count
    return mean, all_reduce((x - mean).square().sum(0)) / count
