"""`Plugin`: what preserves the past beside a rule, such as replay; the members of this folder are plugins by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ..registry import Registry


class Batch(NamedTuple):
    """Samples of one or several tasks.

    Attributes:
        inputs: Shape (samples, *input).
        outputs: Index of the output of the network that stands for the class of each sample, shape (samples,).
        tasks: Index of the task of each sample, shape (samples,).
    """

    inputs: Tensor
    outputs: Tensor
    tasks: Tensor

    def joined(self, other: Batch) -> Batch:
        """Return the samples of both."""
        return Batch(*(torch.cat(pair) for pair in zip(self, other, strict=True)))


@dataclass(frozen=True)
class Context:
    """What a plugin sees of a learner.

    Attributes:
        network: The network.
        parameters: Its trained parameters.
        logits: Function of inputs, shape (samples, *input), and of the tasks of the samples, that returns logits of one pass,
            shape (samples, outputs), with outputs of other heads at -1e30.
        heads: The outputs of each task, bool, shape (tasks, outputs); a single row for a single head.
        generator: Source of randomness.
        boundaries: True if the learner is notified of tasks.
    """

    network: nn.Module
    parameters: list[nn.Parameter]
    logits: Callable[[Tensor, Tensor], Tensor]
    heads: Tensor
    generator: torch.Generator
    boundaries: bool


class Plugin:
    """Base of the plugins: a dataclass whose fields are its settings. A member writes the hooks that it needs.

    Attributes:
        name: Name of the plugin.
        needs_boundaries: True if it acts where a task ends.
        on_weights: True if it acts on the weights themselves, and not on the loss or the data.
    """

    name: ClassVar[str]
    needs_boundaries: ClassVar[bool] = False
    on_weights: ClassVar[bool] = False

    def attach(self, context: Context) -> None:
        """Prepare for a learner; called once, before anything else."""
        self.context = context

    def extend(self, batch: Batch) -> Batch:
        """Return the batch to learn from, such as one with older samples."""
        return batch

    def penalty(self, batch: Batch, logits: Tensor) -> Tensor | None:
        """Return a term that is added to the mean loss of the batch, or None.

        Args:
            batch: The batch, after `extend`.
            logits: Response of the network, all outputs, shape (samples, outputs).
        """
        return None

    def before_step(self) -> None:
        """Change the gradients of the loss."""

    def after_step(self) -> None:
        """Observe the step."""

    def end_task(self, task: Batch) -> None:
        """Consolidate a task of which these are the samples; called only where the stream has boundaries."""

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values for a checkpoint."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    def memory(self) -> int:
        """Return the memory that the plugin takes, in bytes."""
        return 0


_PLUGINS: Registry[Plugin] = Registry("plugin")

#: Decorator that registers a plugin under its name.
register_plugin = _PLUGINS.register


def plugins() -> dict[str, type[Plugin]]:
    """Return all plugins by name.

    Example:
        >>> sorted(plugins())
        ['ewc', 'ewc-online', 'lwf', 'replay', 'si']
    """
    return _PLUGINS.all()
