"""Rules for Bayesian layers: "mesu", "torch-mesu" and "bgd"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn

from ...validation import number, whole_number
from ..layers.bayesian import gaussian_pairs
from ..rules.bayesian import BGD, MESU, TorchMESU
from .rule import NetworkRule, check_numbers, register_rule, trained_parameters


@dataclass(frozen=True)
class _Gaussian(NetworkRule):
    """Base: an optimiser of means and sigmas, and Adam for all other parameters, such as biases and norms.

    Attributes:
        draws: Draws of the weights in each step.
        test_draws: Draws of the weights in a test.
        other_rate: Learning rate of Adam for parameters without a distribution.
    """

    needs: ClassVar[str] = "Bayesian layers: to_bayesian(network), before the learner is made"
    summed: ClassVar[bool] = True
    consolidates: ClassVar[bool] = True
    optimiser: ClassVar[Any]
    draws: int = 4
    test_draws: int = 10
    other_rate: float = 0.001

    def __post_init__(self) -> None:
        check_numbers(self, partial(whole_number, low=1), "draws", "test_draws")
        check_numbers(self, partial(number, low=0), "other_rate")

    def is_met_by(self, network: nn.Module) -> bool:
        """Return True if the network has Bayesian layers."""
        return any(True for _ in gaussian_pairs(network))

    def inner_optimisers(self, network: nn.Module) -> Sequence[torch.optim.Optimizer]:
        """Return the rule's optimiser, and Adam if there are other parameters."""
        pairs = list(gaussian_pairs(network))
        own = [each.name for each in fields(self) if each.name not in ("draws", "test_draws", "other_rate")]
        optimisers: list[torch.optim.Optimizer] = [type(self).optimiser(pairs, **{name: getattr(self, name) for name in own})]
        others = trained_parameters(network, [each for pair in pairs for each in pair])
        if others:
            optimisers.append(torch.optim.Adam(others, lr=self.other_rate))
        return optimisers


@register_rule
@dataclass(frozen=True)
class NetworkMESU(_Gaussian):
    """`MESU` on a network of your own; its settings are those of the optimiser.

    Attributes:
        mean_rate: Learning rate of the means.
        sigma_rate: Learning rate of the sigmas.
        prior_sigma: Sigma of the prior.
        memory: N, in batches.
        clamp: Bound of the gradients, see `MESU`.
    """

    name: ClassVar[str] = "mesu"
    optimiser: ClassVar[Any] = MESU
    mean_rate: float = 1.0
    sigma_rate: float = 1.0
    prior_sigma: float = 1.0
    memory: float = 300_000.0
    clamp: float = 1.0


@register_rule
@dataclass(frozen=True)
class NetworkTorchMESU(_Gaussian):
    """`TorchMESU` on a network of your own; its settings are those of the optimiser.

    Attributes:
        mean_rate: c_mu.
        sigma_rate: c_sigma.
        prior_sigma: Sigma of the prior.
        memory: N, in batches.
        ratio_max: Largest step, in units of sigma.
    """

    name: ClassVar[str] = "torch-mesu"
    optimiser: ClassVar[Any] = TorchMESU
    mean_rate: float = 1.0
    sigma_rate: float = 1.0
    prior_sigma: float = 1.0
    memory: float = 300_000.0
    ratio_max: float = 0.5


@register_rule
@dataclass(frozen=True)
class NetworkBGD(_Gaussian):
    """`BGD` on a network of your own; its settings are those of the optimiser.

    Attributes:
        mean_rate: Learning rate of the means.
        clamp: Bound of the gradients, see `BGD`.
    """

    name: ClassVar[str] = "bgd"
    optimiser: ClassVar[Any] = BGD
    mean_rate: float = 1.0
    clamp: float = 1.0
