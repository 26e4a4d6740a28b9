"""`BinaryMomentum`: weights of two values, which flip where the averaged gradient opposes them by more than a threshold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...validation import number
from .optimizer import RuleOptimizer, gradient_of

#: Weights that are updated at a time, so that temporary values stay in the cache.
BLOCK = 1 << 15


class BinaryMomentum(RuleOptimizer):
    """Flip signs where the averaged gradient opposes them by more than a threshold.

        m <- (1 - gamma) m + gamma dL/dW, and W <- -W where W m > threshold

    The average m begins at 0 and is not reset by a flip. A weight is a sign; magnitudes alpha, by which a network multiplies
    signs, are parameters of their own, in a group with "scale": True, and take the published step

        alpha <- alpha - rate alpha/2 * dL/dalpha

    Each parameter group may have settings of its own.

    Args:
        params: Parameters or groups of them.
        gamma: Share of a new gradient in the average.
        threshold: Smallest average that flips a weight.
        rate: Rate of scales.

    Attributes:
        flips: Weights flipped in all steps so far, by parameter, in the order of the groups.

    Raises:
        ConfigError: gamma outside 0 .. 1, a threshold or rate below 0, or weights other than -1 and 1.

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
            for weight in [] if group["scale"] else group["params"]:
                if not bool((weight.detach().abs() == 1).all()) or not weight.is_contiguous():
                    raise ConfigError(
                        "weights of BinaryMomentum have values besides -1 and 1; pass weight.sign(), and the magnitude as a "
                        'parameter of a group with "scale": True.'
                    )

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
    buffer = torch.empty_like(momentum.view(-1)[:BLOCK])
    blocks = zip(*(tensor.view(-1).split(BLOCK) for tensor in (weight.data, momentum, gradient_of(weight))), strict=True)
    for signs, average, gradient in blocks:
        opposed = torch.mul(average.lerp_(gradient, gamma), signs, out=buffer[: len(signs)])
        if float(opposed.max()) > threshold:  # most blocks have no flip
            found = opposed.gt_(threshold)  # 1 or 0: arithmetic takes half the time of picking them by index
            signs.addcmul_(signs, found, value=-2.0)
            flips += int(found.sum())
    return flips
