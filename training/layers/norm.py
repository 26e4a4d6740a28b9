"""`TaskNorm`: batch norm without a memory of batches, with a gain and a shift for each task."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn

from ...errors import ConfigError


class TaskNorm(nn.Module):
    """y = gain (x - mean) / sqrt(variance + eps) + shift, over the batch at hand, in training and in tests.

    Gain and shift are learned; those of a task can be kept, and used again when the task is tested. Since mean and variance are
    those of the tested batch, such a batch must be of one task. Where several processes share a batch, mean and variance are
    those of the whole of it.

    Args:
        features: Of the inputs.
        tasks: For how many tasks gains and shifts can be kept.
        eps: Added to the variance.

    Source: Laborieux et al., Nat. Commun. 12, 2549 (2021), whose published numbers use the norms of the tested task.
    """

    kept: Tensor
    bank: Tensor

    def __init__(self, features: int, tasks: int = 0, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("bank", torch.zeros(tasks, 2, features))
        self.register_buffer("kept", torch.zeros(tasks, dtype=torch.bool))

    def keep(self, task: int) -> None:
        """Keep gain and shift as they are now, for a task."""
        self.bank[task] = torch.stack([self.weight.detach(), self.bias.detach()])
        self.kept[task] = True

    def forward(self, x: Tensor, task: int | None = None, *, still: bool = False) -> Tensor:
        """The normalised batch.

        Args:
            x: Shape (samples, features).
            task: Whose gain and shift are used; the newest if None, or if none were kept for it.
            still: Let no derivative through mean and variance.

        Raises:
            ConfigError: a single sample.
        """
        gain, shift = self.weight, self.bias
        if task is not None and task < len(self.kept) and bool(self.kept[task]):
            gain, shift = self.bank[task]
        several = self.training and distributed.is_available() and distributed.is_initialized()
        if len(x) < 2 and not several:
            raise ConfigError("a batch norm got a batch of one sample, which has no variance; take more, or norm='none'.")
        if not several and not still:
            return nn.functional.batch_norm(x, None, None, gain, shift, training=True, eps=self.eps)
        mean, variance = _moments(x, several)
        if still:
            mean, variance = mean.detach(), variance.detach()
        return (x - mean) * (variance + self.eps).rsqrt() * gain + shift


def _moments(x: Tensor, several: bool) -> tuple[Tensor, Tensor]:
    """Of the batch of all processes, differentiable through all of them."""
    if not several:
        return x.mean(0), x.var(0, correction=0)
    from torch.distributed.nn.functional import all_reduce

    count = x.new_full((), len(x))
    distributed.all_reduce(count)
    mean = all_reduce(x.sum(0)) / count
    return mean, all_reduce((x - mean).square().sum(0)) / count
