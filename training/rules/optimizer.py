"""`RuleOptimizer`: the shape that all optimisers of this folder share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class RuleOptimizer(torch.optim.Optimizer):
    """Base of the learning rules as optimisers of torch; a member writes `update_group`."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Args:
            closure: Computes the loss and its gradients.

        Returns:
            The loss that the closure returned; None without one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self.has_evidence():
            for group in self.param_groups:
                self.update_group(group)
        return loss

    def has_evidence(self) -> bool:
        """Return True if the gradients call for a step; a member may skip steps."""
        return True

    def update_group(self, group: dict[str, Any]) -> None:
        """Change the parameters of a group in place, from their gradients and the settings of the group."""
        raise NotImplementedError


def gradient_of(parameter: nn.Parameter) -> Tensor:
    """Return the gradient of a parameter that has one."""
    assert parameter.grad is not None
    return parameter.grad
