"""`GaussianRule`, `GaussianMethod`: what the rules of Gaussian weights share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..layers.bayesian import INITIAL_LIMIT
from .gradients import sampled_gradients
from .rule import OnlineMethod, OnlineRule, State, uniform_weights


@dataclass(frozen=True)
class GaussianRule(OnlineRule):
    """Base of the rules of weights N(mean, sigma^2); a member has a field `samples` and writes `update`."""

    @property
    def arrays(self) -> tuple[str, ...]:
        """Mean and sigma."""
        return ("mean", "sigma")

    def gradients(self, state: State, x: Tensor, label: int, noise: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Return the mean loss over the draws and its gradients in mean and sigma, hidden layer first."""
        assert noise is not None
        sigma0, sigma1 = state["sigma0"], state["sigma1"]
        loss, (mean0_grad, spread0_grad, mean1_grad, spread1_grad) = sampled_gradients(
            state["mean0"], sigma0.square(), state["mean1"], sigma1.square(), x, label, noise
        )
        return loss, [mean0_grad, spread0_grad * sigma0, mean1_grad, spread1_grad * sigma1]

    def log_probabilities(self, state: State, inputs: Tensor, samples: int, generator: torch.Generator) -> Tensor:
        """Return the responses of `samples` draws, made for each input by way of its pre-activations."""
        x = inputs
        for layer in (0, 1):
            mean, sigma = state[f"mean{layer}"], state[f"sigma{layer}"]
            centre, sd = x @ mean.T, (x.square() @ sigma.square().T).sqrt()
            noise = torch.randn((samples, *centre.shape[-2:]), generator=generator, dtype=x.dtype)
            x = centre + sd * noise.to(sd.device)
            if layer == 0:
                x = x.relu()
        return x.log_softmax(-1)


class GaussianMethod(OnlineMethod):
    """A method of Gaussian weights: means uniform within 4 / sqrt(inputs), sigma at `spread` times this limit."""

    def __init__(self, rule: type[GaussianRule], *, spread: float = 0.5) -> None:
        super().__init__(rule, spread=spread)

    def initial_state(
        self, rule: OnlineRule, shape: tuple[int, int], generator: torch.Generator, extra: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """Return mean and sigma of one layer; see the class."""
        mean = uniform_weights(shape, INITIAL_LIMIT, generator)
        return {"mean": mean, "sigma": torch.full_like(mean, extra["spread"] * (INITIAL_LIMIT / math.sqrt(shape[1])))}
