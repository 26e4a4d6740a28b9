"""Optimisers of Bayesian weights: MESU as published, MESU as in its authors' torch code, BGD, BiMU."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...validation import flag, number
from .optimizer import RuleOptimizer, gradient_of

Pair = tuple[nn.Parameter, nn.Parameter]


class _GaussianOptimizer(RuleOptimizer):
    """Base of the optimisers of pairs of a mean and a sigma; a member writes `_update_pair`."""

    def __init__(self, pairs: Iterable[Pair], defaults: dict[str, Any]) -> None:
        pairs = list(pairs)
        if not pairs or not all(len(pair) == 2 and pair[0].shape == pair[1].shape for pair in pairs):
            raise ConfigError("expected pairs of a mean and a sigma of the same shape, such as gaussian_pairs(model).")
        super().__init__([{"params": list(pair)} for pair in pairs], defaults)

    def update_group(self, group: dict[str, Any]) -> None:
        mean, sigma = group["params"]
        if mean.grad is not None and sigma.grad is not None:
            self._update_pair(mean, sigma, group)

    def _update_pair(self, mean: nn.Parameter, sigma: nn.Parameter, group: dict[str, Any]) -> None:
        raise NotImplementedError


class MESU(_GaussianOptimizer):
    """Metaplasticity from synaptic uncertainty, as published.

    With C the loss summed over the batch, the mean over draws of -log p(label), mu the mean and s the sigma of a weight:
        mu <- mu + mean_rate  (-s^2 dC/dmu + s^2 (prior_mean - mu) / (memory prior_sigma^2))
        s  <- s  + sigma_rate (-s^2 dC/ds  + s (prior_sigma^2 - s^2) / (memory prior_sigma^2)) / 2

    Args:
        pairs: Means and sigmas, `gaussian_pairs(model)`.
        mean_rate: Learning rate of the means.
        sigma_rate: Learning rate of the sigmas.
        prior_mean: Mean of the prior.
        prior_sigma: Sigma of the prior.
        memory: N, in batches; infinite never forgets.
        clamp: Both gradients are clipped to +-clamp / |s|, so that no step is larger than clamp times rate times |s|; 0 for no
            clipping, as in the published runs on single samples. Unclipped sums over a batch can diverge.

    Raises:
        ConfigError: no pairs, or settings out of range.

    Example:
        >>> import torch
        >>> from spinode.training import BayesianLinear, gaussian_pairs
        >>> layer = BayesianLinear(3, 2, generator=torch.Generator().manual_seed(0))
        >>> optimizer = MESU(gaussian_pairs(layer), memory=1000)
        >>> sigma = layer.sigma.detach().clone()
        >>> layer(torch.ones(1, 3), samples=4, generator=torch.Generator().manual_seed(1)).square().sum().backward()
        >>> optimizer.step()
        >>> bool((layer.sigma < sigma).any())
        True

    Source: Bonnet et al., arXiv:2504.13569 (2025).
    """

    def __init__(
        self,
        pairs: Iterable[Pair],
        *,
        mean_rate: float = 1.0,
        sigma_rate: float = 1.0,
        prior_mean: float = 0.0,
        prior_sigma: float = 1.0,
        memory: float = 300_000.0,
        clamp: float = 1.0,
    ) -> None:
        defaults = {
            "mean_rate": number("mean_rate of MESU", mean_rate, 0),
            "sigma_rate": number("sigma_rate of MESU", sigma_rate, 0),
            "prior_mean": number("prior_mean of MESU", prior_mean),
            "prior_sigma": number("prior_sigma of MESU", prior_sigma, 0, above=True),
            "memory": number("memory of MESU", memory, 0, above=True, finite=False),
            "clamp": number("clamp of MESU", clamp, 0),
        }
        super().__init__(pairs, defaults)

    def _update_pair(self, mean: nn.Parameter, sigma: nn.Parameter, group: dict[str, Any]) -> None:
        mean_grad, sigma_grad = gradient_of(mean), gradient_of(sigma)
        mean_grad, sigma_grad = _clipped(mean_grad, sigma_grad, sigma, group["clamp"])
        variance, prior_variance = sigma.square(), group["prior_sigma"] ** 2
        forget = 1 / (group["memory"] * prior_variance)
        mean.add_(variance * (forget * (group["prior_mean"] - mean) - mean_grad), alpha=group["mean_rate"])
        sigma.add_(forget * sigma * (prior_variance - variance) - variance * sigma_grad, alpha=group["sigma_rate"] / 2)


class TorchMESU(_GaussianOptimizer):
    """The variant of MESU in its authors' torch code: momentum, a denominator, bounded steps. It differs from `MESU`.

    With g the running averages of the gradients and D = 1 + s |g_s| (1 without `second_order`):
        mu <- mu - mean_rate  (s^2 g_mu + s^2 (mu - prior_mean) / (memory prior_sigma^2)) / D
        s  <- s  - sigma_rate (s^2 g_s  + s (s^2 - prior_sigma^2) / (memory prior_sigma^2)) / D
    each step clipped to +-ratio_max s, and s to `bounds`. There is no factor 1/2 before the step of sigma.

    Args:
        pairs: Means and sigmas, `gaussian_pairs(model)`.
        mean_rate: c_mu.
        sigma_rate: c_sigma.
        prior_mean: Mean of the prior.
        prior_sigma: Sigma of the prior.
        memory: N, in batches.
        momentum: Momentum of the averages.
        second_order: True to use the denominator.
        ratio_max: Largest step, in units of sigma.
        bounds: Smallest and largest sigma.

    Raises:
        ConfigError: no pairs, or settings out of range.

    Source: Bonnet et al., arXiv:2504.13569 (2025), the experiments on CIFAR and animals.
    """

    def __init__(
        self,
        pairs: Iterable[Pair],
        *,
        mean_rate: float = 1.0,
        sigma_rate: float = 1.0,
        prior_mean: float = 0.0,
        prior_sigma: float = 1.0,
        memory: float = 300_000.0,
        momentum: float = 0.0,
        second_order: bool = True,
        ratio_max: float = 0.5,
        bounds: tuple[float, float] = (1e-6, 1.0),
    ) -> None:
        lowest = number("the lower one of bounds of TorchMESU", bounds[0], 0, above=True)
        highest = number("the upper one of bounds of TorchMESU", bounds[1], lowest, above=True)
        defaults = {
            "mean_rate": number("mean_rate of TorchMESU", mean_rate, 0),
            "sigma_rate": number("sigma_rate of TorchMESU", sigma_rate, 0),
            "prior_mean": number("prior_mean of TorchMESU", prior_mean),
            "prior_sigma": number("prior_sigma of TorchMESU", prior_sigma, 0, above=True),
            "memory": number("memory of TorchMESU", memory, 0, above=True, finite=False),
            "momentum": number("momentum of TorchMESU", momentum, 0, 1, below=True),
            "second_order": flag("second_order of TorchMESU", second_order),
            "ratio_max": number("ratio_max of TorchMESU", ratio_max, 0, above=True, finite=False),
            "bounds": (lowest, highest),
        }
        super().__init__(pairs, defaults)

    def _update_pair(self, mean: nn.Parameter, sigma: nn.Parameter, group: dict[str, Any]) -> None:
        averages = []
        for parameter in (mean, sigma):
            state = self.state[parameter]
            average = state.setdefault("average", torch.zeros_like(parameter))
            averages.append(average.mul_(group["momentum"]).add_(gradient_of(parameter), alpha=1 - group["momentum"]))
        variance, prior_variance = sigma.square(), group["prior_sigma"] ** 2
        forget = 1 / (group["memory"] * prior_variance)
        denominator = 1 + sigma * averages[1].abs() if group["second_order"] else 1.0
        bound = group["ratio_max"] * sigma
        mean_step = group["mean_rate"] * variance * (averages[0] + forget * (mean - group["prior_mean"])) / denominator
        sigma_step = group["sigma_rate"] * (variance * averages[1] + forget * sigma * (variance - prior_variance)) / denominator
        mean.sub_(mean_step.clamp(-bound, bound))
        sigma.sub_(sigma_step.clamp(-bound, bound)).clamp_(*group["bounds"])


class BGD(_GaussianOptimizer):
    """Bayesian gradient descent (FOO-VB, diagonal): Gaussian weights whose widths only shrink.

    Old tasks are kept, and new ones are learned ever more slowly.

    With C the loss summed over the batch and u = s dC/ds / 2:
        mu <- mu - mean_rate s^2 dC/dmu
        s  <- s (sqrt(1 + u^2) - u)

    Args:
        pairs: Means and sigmas, `gaussian_pairs(model)`.
        mean_rate: Learning rate of the means.
        clamp: Both gradients are clipped to +-clamp / s, so that no step is much larger than s; 0 for no clipping, as
            published. Unclipped sums over a batch can diverge.
        published_code: s <- s (2 - u - sqrt(1 + u^2)) instead: the sign error in the code behind the figures of the MESU paper.

    Raises:
        ConfigError: no pairs, or a negative rate.

    Source: Zeno et al., Neural Computation 33, 3139 (2021).
    """

    def __init__(
        self, pairs: Iterable[Pair], *, mean_rate: float = 1.0, clamp: float = 1.0, published_code: bool = False
    ) -> None:
        defaults = {
            "mean_rate": number("mean_rate of BGD", mean_rate, 0),
            "clamp": number("clamp of BGD", clamp, 0),
            "published_code": flag("published_code of BGD", published_code),
        }
        super().__init__(pairs, defaults)

    def _update_pair(self, mean: nn.Parameter, sigma: nn.Parameter, group: dict[str, Any]) -> None:
        mean_grad, sigma_grad = _clipped(gradient_of(mean), gradient_of(sigma), sigma, group["clamp"])
        u = sigma * sigma_grad / 2
        root = (1 + u.square()).sqrt()
        mean.sub_(sigma.square() * mean_grad, alpha=group["mean_rate"])
        sigma.mul_(2 - u - root if group["published_code"] else root - u)


def _clipped(mean_grad: Tensor, sigma_grad: Tensor, sigma: Tensor, clamp: float) -> tuple[Tensor, Tensor]:
    """Return both gradients, clipped to +-clamp / |sigma| unless clamp is 0."""
    if not clamp:
        return mean_grad, sigma_grad
    bound = clamp / sigma.abs()
    return mean_grad.clamp(-bound, bound), sigma_grad.clamp(-bound, bound)


class BiMU(RuleOptimizer):
    """Binary metaplasticity from uncertainty: binary weights of mean tanh(l), which forget what is older than their memory.

    With C the loss summed over the batch, g = likelihood dC/dl and s = divergence (1 - tanh(l)^2):
        l <- l - (rate g + s l / memory) / (s + 2 g tanh(l) + 2 |g| + 1 / largest_rate)
    A step in which all gradients are zero is skipped.

    Args:
        params: The natural parameters l, such as [layer.field for layer in layers].
        rate: Learning rate.
        largest_rate: Largest learning rate of a weight.
        likelihood: Factor of the evidence.
        divergence: Factor of the prior.
        memory: N, in batches.

    Raises:
        ConfigError: settings out of range.

    Source: Cottart et al., arXiv:2605.30198 (2026).
    """

    def __init__(
        self,
        params: Any,
        *,
        rate: float = 4.9,
        largest_rate: float = 0.0023,
        likelihood: float = 161.3,
        divergence: float = 3.76,
        memory: float = 700.0,
    ) -> None:
        defaults = {
            "rate": number("rate of BiMU", rate, 0),
            "largest_rate": number("largest_rate of BiMU", largest_rate, 0, above=True, finite=False),
            "likelihood": number("likelihood of BiMU", likelihood, 0),
            "divergence": number("divergence of BiMU", divergence, 0),
            "memory": number("memory of BiMU", memory, 0, above=True, finite=False),
        }
        super().__init__(params, defaults)

    def has_evidence(self) -> bool:
        """Return True if any gradient differs from zero."""
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        return any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in parameters)

    def update_group(self, group: dict[str, Any]) -> None:
        """Change the natural parameters of a group; see the class."""
        if any(parameter.grad is None for parameter in group["params"]):
            return
        for field in group["params"]:
            g = group["likelihood"] * gradient_of(field)
            mean = field.tanh()
            s = group["divergence"] * (1 - mean.square())
            field.sub_(
                (group["rate"] * g + s * field / group["memory"]) / (s + 2 * g * mean + 2 * g.abs() + 1 / group["largest_rate"])
            )
