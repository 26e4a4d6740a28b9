"""EWC and SI as plugins, on all trained parameters of any network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...evaluation_mode import evaluation_mode
from ...validation import number, whole_number
from ..rules.elastic import EWC, SI, Elastic
from .plugin import Batch, Context, Plugin, register_plugin


class _Elastic(Plugin):
    """Base: a quadratic penalty whose gradient is added before each step."""

    needs_boundaries: ClassVar[bool] = True
    on_weights: ClassVar[bool] = True
    elastic: Elastic

    def before_step(self) -> None:
        """Add the gradient of the penalty."""
        self.elastic.add_gradient()

    def state_dict(self) -> dict[str, Any]:
        """Return the tensors of the penalty."""
        return self.elastic.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the tensors of the penalty."""
        self.elastic.load_state_dict(state)

    def memory(self) -> int:
        """Return the bytes of the penalty's tensors."""
        tensors = [each for values in self.elastic.state_dict().values() for each in values]
        return sum(each.numel() * each.element_size() for each in tensors)


@register_plugin
@dataclass
class ElasticByTask(_Elastic):
    """`EWC` with a penalty for each task, on any network.

    The Fisher information is the mean of squared gradients of single samples, with the network in evaluation mode.

    Attributes:
        importance: Factor of the penalty.
        fisher_samples: Samples of each task from which the Fisher information is computed.
    """

    name: ClassVar[str] = "ewc"
    kind: ClassVar[str] = "task"
    importance: float = 100.0
    fisher_samples: int = 500

    def __post_init__(self) -> None:
        self.importance = number(f"importance of {self.name}", self.importance, 0, above=True)
        self.fisher_samples = whole_number(f"fisher_samples of {self.name}", self.fisher_samples, 1)

    def attach(self, context: Context) -> None:
        """Create the penalty."""
        super().attach(context)
        self.elastic = EWC(context.parameters, self.importance, kind=self.kind, decay=self._decay())

    def _decay(self) -> float:
        return 1.0

    def end_task(self, task: Batch) -> None:
        """Consolidate the parameters by their Fisher information."""
        chosen = torch.randperm(len(task.inputs), generator=self.context.generator)[: self.fisher_samples]
        fisher = sample_fisher(self.context, Batch(*(each[chosen] for each in task)))
        assert isinstance(self.elastic, EWC)
        self.elastic.end_task(fisher)


@register_plugin
@dataclass
class ElasticOnline(ElasticByTask):
    """`EWC` of the kind "online": one penalty around the newest weights, whose older parts decay.

    Attributes:
        decay: Factor of the earlier Fisher information at the end of a task.
    """

    name: ClassVar[str] = "ewc-online"
    kind: ClassVar[str] = "online"
    decay: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        self.decay = number("decay of ewc-online", self.decay, 0, 1)

    def _decay(self) -> float:
        return self.decay


@register_plugin
@dataclass
class PathIntegral(_Elastic):
    """`SI` on any network.

    Attributes:
        strength: c.
        damping: Limits the importance of weights that hardly moved.
    """

    name: ClassVar[str] = "si"
    strength: float = 0.1
    damping: float = 0.1

    def __post_init__(self) -> None:
        self.strength = number("strength of si", self.strength, 0, above=True)
        self.damping = number("damping of si", self.damping, 0, above=True)

    def attach(self, context: Context) -> None:
        """Create the penalty."""
        super().attach(context)
        self.elastic = SI(context.parameters, self.strength, damping=self.damping)
        self._before: list[Tensor] = []
        self._gradients: list[Tensor] = []

    def before_step(self) -> None:
        """Store weights and gradients of the loss, then add the gradient of the penalty."""
        self._before = [parameter.detach().clone() for parameter in self.context.parameters]
        self._gradients = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
            for parameter in self.context.parameters
        ]
        super().before_step()

    def after_step(self) -> None:
        """Continue the path integral."""
        assert isinstance(self.elastic, SI)
        self.elastic.after_step(self._gradients, self._before)

    def end_task(self, task: Batch) -> None:
        """Consolidate the parameters by their paths."""
        assert isinstance(self.elastic, SI)
        self.elastic.end_task()


def sample_fisher(context: Context, samples: Batch) -> list[Tensor]:
    """Return the diagonal of the empirical Fisher information of all trained parameters of a network.

    F = mean over samples of (d log p(label) / dw)^2, by a pass for each sample, in evaluation mode.
    """
    total = [torch.zeros_like(parameter) for parameter in context.parameters]
    with torch.enable_grad(), evaluation_mode(context.network):
        for index in range(len(samples.inputs)):
            one = slice(index, index + 1)
            loss = nn.functional.cross_entropy(context.logits(samples.inputs[one], samples.tasks[one]), samples.outputs[one])
            gradients = torch.autograd.grad(loss, context.parameters, allow_unused=True)
            for f, gradient in zip(total, gradients, strict=True):
                if gradient is not None:
                    f.addcmul_(gradient, gradient)
    return [f / len(samples.inputs) for f in total]
