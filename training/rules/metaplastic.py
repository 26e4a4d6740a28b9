"""`MetaplasticAdam`: Adam on hidden weights that change less, the further they are from a change of their quantised value."""

from __future__ import annotations

from typing import Any

import torch

from ...validation import number
from .levels import Interval
from .metaplastic_update import check_interval, metaplastic_update
from .optimizer import RuleOptimizer


class MetaplasticAdam(RuleOptimizer):
    """Adam that damps the steps of hidden weights towards a change of their quantised value.

        f = 1 - tanh(m x)^2 where the step takes the weight towards the nearest transition, else 1

    x is the distance from that transition, in units of half the spacing of the levels: for binary weights the hidden weight
    itself. With two levels at -1 and 1 the quantised form is the binary one. Parameters of one dimension, such as gains of
    norms, take plain Adam. One compiled pass over each tensor, see `metaplastic_update`.

    Each parameter group may have settings of its own, such as m for each layer.

    Args:
        params: Parameters or groups of them.
        lr: Learning rate.
        betas: Decay rates of the averages.
        eps: Added to the root.
        weight_decay: L2 penalty on the hidden weights.
        m: Metaplasticity, at least 0; 0 is Adam.
        interval: None for binary weights; (spacing, levels) for quantised ones, see `metaplastic_update`.

    Raises:
        ConfigError: a setting out of range.

    Example:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.tensor([[0.01, 2.0]]))  # near its sign change, and far from it
        >>> optimizer = MetaplasticAdam([weight], lr=0.1, m=1.5)
        >>> weight.sum().backward()
        >>> optimizer.step()
        >>> [round(change, 4) for change in (weight.detach() - torch.tensor([[0.01, 2.0]]))[0].tolist()]
        [-0.1, -0.001]

    Source: Laborieux et al., Nat. Commun. 12, 2549 (2021). Quantised: our reading of D'Agostino et al., AICAS (2023), whose
    function is also centred on each interval, but is not printed in the text at hand.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 0.005,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        m: float = 0.0,
        interval: Interval = None,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "m": m, "interval": interval}
        super().__init__(params, defaults)
        for group in self.param_groups:
            for name in ("lr", "eps", "weight_decay", "m"):
                group[name] = number(name, group[name], 0)
            check_interval(group["interval"])

    def update_group(self, group: dict[str, Any]) -> None:
        """Update each parameter that has a gradient; see the class."""
        for parameter in group["params"]:
            if parameter.grad is not None:
                self._update(parameter, group)

    def _update(self, parameter: torch.nn.Parameter, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state |= {"step": 0, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
        state["step"] += 1
        hidden = parameter.ndim > 1
        interval = tuple(group["interval"]) if hidden and group["interval"] is not None else None
        metaplastic_update(
            parameter.data,
            parameter.grad,
            state["exp_avg"],
            state["exp_avg_sq"],
            step=state["step"],
            rate=group["lr"],
            betas=tuple(group["betas"]),
            eps=group["eps"],
            decay=group["weight_decay"],
            m=group["m"] * (2 / interval[0] if interval else 1) if hidden else 0.0,
            interval=interval,
        )
