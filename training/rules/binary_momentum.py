"""`BinaryMomentum`: weights of two values, which flip where the averaged gradient opposes them by more than a threshold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ...validation import number
from .optimizer import RuleOptimizer, gradient_of

#: Weights that are updated at a time, so that temporary values stay in the cache.
BLOCK = 1 << 17


class BinaryMomentum(RuleOptimizer):
    """Flip signs against a threshold; a weight is a sign, or a sign times a magnitude.

        m <- (1 - gamma) m - gamma dL/dW, and W <- -W where -sign(W) m > threshold

    The average m is not reset by a flip. It begins at 0. With `scale`, a parameter that is the magnitude of the weights:

        alpha <- alpha - rate alpha/2 * dL/dalpha

    which is the published step, whose gradient contains the magnitude once more and a half.

    Each parameter group may have settings of its own; a group of scales has "scale": True, and only the rate.

    Args:
        params: Parameters or groups of them.
        gamma: Share of a new gradient in the average.
        threshold: Smallest average that flips a weight.
        rate: Rate of scales.

    Attributes:
        flips: Weights flipped in all steps so far, by parameter, in the order of the groups.

    Raises:
        ConfigError: gamma outside 0 .. 1, or a threshold or rate below 0.

    Example:
        >>> weight = nn.Parameter(torch.tensor([1.0, 1.0]))
        >>> optimizer = BinaryMomentum([weight], gamma=0.5, threshold=0.4)
        >>> weight.grad = torch.tensor([1.0, 0.1])  # the loss falls with smaller weights
        >>> optimizer.step()
        >>> weight.tolist(), optimizer.flips
        ([-1.0, 1.0], [1])

    Source: Laydevant et al., CVPR-W 2021, arXiv:2103.08953; after the optimiser of Helwegen et al., NeurIPS 2019.
    """

    def __init__(self, params: Any, *, gamma: float = 1e-4, threshold: float = 5e-7, rate: float = 1e-4) -> None:
        super().__init__(params, {"gamma": gamma, "threshold": threshold, "rate": rate, "scale": False})
        for group in self.param_groups:
            group["gamma"] = number("gamma", group["gamma"], 0, 1)
            group["threshold"] = number("threshold", group["threshold"], 0)
            group["rate"] = number("rate", group["rate"], 0)

    @property
    def flips(self) -> list[int]:
        """Weights flipped so far, for each parameter that is not a scale."""
        weights = [each for group in self.param_groups if not group["scale"] for each in group["params"]]
        return [int(self.state[each]["flips"]) if each in self.state else 0 for each in weights]

    def update_group(self, group: dict[str, Any]) -> None:
        """Update each parameter that has a gradient; see the class."""
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            if group["scale"]:
                parameter.data.addcmul_(parameter.data, parameter.grad, value=-0.5 * group["rate"])
                continue
            state = self.state[parameter]
            if not state:
                state |= {"momentum": torch.zeros_like(parameter), "flips": 0}
            state["flips"] += _flip(parameter, state["momentum"], group["gamma"], group["threshold"])


def _flip(weight: nn.Parameter, momentum: Tensor, gamma: float, threshold: float) -> int:
    """Update momentum and weights in place, and return the number of flips."""
    flips = 0
    for signs, average, gradient in _blocks(weight.data, momentum, gradient_of(weight)):
        average.lerp_(gradient.neg(), gamma)
        opposed = torch.where(signs >= 0, average, -average) < -threshold
        found = opposed.nonzero()[:, 0]
        if len(found):
            signs[found] = -signs[found]
            flips += len(found)
    return flips


def _blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield views of flattened contiguous tensors, block by block."""
    yield from zip(*(tensor.view(-1).split(BLOCK) for tensor in tensors), strict=True)
