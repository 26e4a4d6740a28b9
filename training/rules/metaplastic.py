"""`MetaplasticAdam`: Adam on hidden weights that hold on the more strongly, the further they are from any change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...errors import ConfigError
from .metaplastic_step import metaplastic_adam


class MetaplasticAdam(torch.optim.Optimizer):
    """Adam, with the steps of hidden weights damped that push them towards a change of what the network sees of them.

        f = 1 - tanh(m x)^2 where the step takes the weight towards the nearest transition, else 1

    x is the distance from that transition, in units of half the spacing of the levels: for binary weights the hidden weight
    itself. With two levels at -1 and 1 the quantised form is the binary one. Parameters of one dimension, such as gains of
    norms, take plain Adam. One compiled pass over each tensor, see `spinode.training.rules.metaplastic_step.metaplastic_adam`.

    Each parameter group may have settings of its own, such as m for each layer.

    Args:
        params: Parameters or groups of them.
        lr: Learning rate.
        betas: Decay rates of the averages.
        eps: Added to the root.
        weight_decay: L2 penalty on the hidden weights.
        m: Metaplasticity, at least 0; 0 is Adam.
        interval: None for binary weights; (spacing, levels) for quantised ones, see `metaplastic_adam`.

    Raises:
        ConfigError: a setting out of range.

    Source: Laborieux et al., Nat. Commun. 12, 2549 (2021). Quantised: our reading of D'Agostino et al., AICAS (2023), whose
    function is centred anew in each interval as well, but is not printed in the text at hand.
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
        interval: tuple[float, int] | None = None,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "m": m, "interval": interval}
        super().__init__(params, defaults)
        for group in self.param_groups:
            for name in ("lr", "eps", "weight_decay", "m"):
                value = group[name]
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
                    raise ConfigError(f"{name} is {value!r}; expected a finite number of at least 0.")
            interval = group["interval"]
            if interval is not None and not (len(interval) == 2 and 0 < interval[0] < float("inf") and interval[1] >= 2):
                raise ConfigError(f"interval is {interval!r}; expected (spacing above 0, at least 2 levels), or None.")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step.

        Args:
            closure: Computes the loss and its gradients.

        Returns:
            The loss that the closure gave.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)
        return loss

    def _move(self, parameter: torch.nn.Parameter, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state |= {"step": 0, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
        state["step"] += 1
        hidden = parameter.ndim > 1
        interval = tuple(group["interval"]) if hidden and group["interval"] is not None else None
        metaplastic_adam(
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
