"""`LwF`: learning without forgetting, by distillation from the network before the task."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...device_weights.layer import device_layers
from ...validation import number
from .plugin import Batch, Plugin, register_plugin


@register_plugin
@dataclass
class LwF(Plugin):
    """Keep the responses of the network before the task on the inputs of the new one; no old data are stored.

        loss + distillation T^2 sum_heads KL(softmax(old / T) || softmax(new / T)),  mean over the batch

    over the outputs of the classes of earlier tasks; with several heads a term for each earlier head.

    Attributes:
        distillation: Factor of the term.
        temperature: T.

    Raises:
        ConfigError: numbers that are not positive.

    Source: Li, Hoiem, IEEE Trans. Pattern Anal. Mach. Intell. 40, 2935 (2018).
    """

    name: ClassVar[str] = "lwf"
    needs_boundaries: ClassVar[bool] = True
    distillation: float = 1.0
    temperature: float = 2.0

    def __post_init__(self) -> None:
        self.distillation = number("distillation of lwf", self.distillation, 0)
        self.temperature = number("temperature of lwf", self.temperature, 0, above=True)
        self._teacher: nn.Module | None = None
        self._known: Tensor | None = None  # outputs of earlier tasks, bool, shape (heads, outputs)

    def penalty(self, batch: Batch, logits: Tensor) -> Tensor | None:
        """Return the distillation term."""
        if self._teacher is None or self._known is None:
            return None
        with torch.no_grad():
            old = self._teacher(batch.inputs.clone()) / self.temperature
        new = logits / self.temperature
        terms = []
        for outputs in self._known:
            if int(outputs.sum()) > 1:  # a single class leaves nothing to compare
                old_p, new_p = old[:, outputs].log_softmax(-1), new[:, outputs].log_softmax(-1)
                terms.append(nn.functional.kl_div(new_p, old_p, log_target=True, reduction="batchmean"))
        if not terms:
            return None
        return self.distillation * self.temperature**2 * torch.stack(terms).sum()

    def end_task(self, task: Batch) -> None:
        """Copy the network, and note the outputs of the task."""
        self._teacher = self._copy()
        outputs = torch.zeros_like(self.context.heads[:1])
        outputs[0, task.outputs.unique().cpu()] = True
        if len(self.context.heads) > 1:
            index = int(task.tasks[0])
            outputs = self.context.heads[index : index + 1]
        if self._known is None:
            self._known = outputs
        elif len(self.context.heads) > 1:
            self._known = torch.cat([self._known, outputs])
        else:
            self._known = self._known | outputs

    def _copy(self) -> nn.Module:
        teacher = deepcopy(self.context.network).eval().requires_grad_(False)
        for layer in device_layers(teacher).values():  # the copy has noise of its own
            layer.weights.noise = layer.weights.noise - {"read"}
        return teacher

    def state_dict(self) -> dict[str, Any]:
        """Return the weights of the old network."""
        return {"teacher": None if self._teacher is None else self._teacher.state_dict(), "known": self._known}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the old network."""
        self._known = state["known"]
        self._teacher = None
        if state["teacher"] is not None:
            self._teacher = self._copy()
            self._teacher.load_state_dict(state["teacher"])

    def memory(self) -> int:
        """Return the bytes of the old network."""
        tensors = [] if self._teacher is None else [*self._teacher.parameters(), *self._teacher.buffers()]
        return sum(each.numel() * each.element_size() for each in tensors)
