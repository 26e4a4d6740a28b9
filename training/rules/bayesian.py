"""Optimisers of Bayesian weights: MESU as published, MESU as its authors' torch code has it, BGD, BiMU."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ConfigError

_Pair = tuple[nn.Parameter, nn.Parameter]


class _Rule(torch.optim.Optimizer):
    """Steps of all groups, each in one go."""

    def _check(self, **least: tuple[Any, bool]) -> None:
        for name, (value, above) in least.items():
            good = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
            if not good or value < 0 or (above and value == 0):
                raise ConfigError(
                    f"{name} of {type(self).__name__} is {value!r}; expected a number {'above' if above else 'of at least'} 0."
                )

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
            if all(each.grad is not None for each in group["params"]):
                self._move(group)
        return loss

    def _move(self, group: dict[str, Any]) -> None:
        raise NotImplementedError


class _Gaussian(_Rule):
    def __init__(self, pairs: Iterable[_Pair], defaults: dict[str, Any]) -> None:
        pairs = list(pairs)
        if not pairs or not all(len(each) == 2 and each[0].shape == each[1].shape for each in pairs):
            raise ConfigError("expected pairs of a mean and a sigma of one shape, such as gaussian_pairs(model).")
        super().__init__([{"params": list(each)} for each in pairs], defaults)


class MESU(_Gaussian):
    """Metaplasticity from synaptic uncertainty, as published.

    With C the loss summed over the batch, the mean over draws of -log p(label), mu the mean and s the sigma of a weight:
        mu <- mu + mean_rate  (-s^2 dC/dmu + s^2 (prior_mean - mu) / (memory prior_sigma^2))
        s  <- s  + sigma_rate (-s^2 dC/ds  + s (prior_sigma^2 - s^2) / (memory prior_sigma^2)) / 2

    Args:
        pairs: Means and sigmas, `gaussian_pairs(model)`.
        mean_rate: Rate of the means.
        sigma_rate: Rate of the sigmas.
        prior_mean: Mean of the prior.
        prior_sigma: Sigma of the prior.
        memory: N, in batches; infinite for one that never forgets.
        clamp: Both gradients are cut to +-clamp / |s|; 0 for no cut.

    Raises:
        ConfigError: no pairs, or settings out of range.

    Source: Bonnet et al., arXiv:2504.13569 (2025).
    """

    def __init__(
        self,
        pairs: Iterable[_Pair],
        *,
        mean_rate: float = 1.0,
        sigma_rate: float = 1.0,
        prior_mean: float = 0.0,
        prior_sigma: float = 1.0,
        memory: float = 300_000.0,
        clamp: float = 0.0,
    ) -> None:
        self._check(
            mean_rate=(mean_rate, False),
            sigma_rate=(sigma_rate, False),
            prior_sigma=(prior_sigma, True),
            memory=(memory, True),
            clamp=(clamp, False),
        )
        names = ("mean_rate", "sigma_rate", "prior_mean", "prior_sigma", "memory", "clamp")
        values = (mean_rate, sigma_rate, prior_mean, prior_sigma, memory, clamp)
        super().__init__(pairs, dict(zip(names, values, strict=True)))

    def _move(self, group: dict[str, Any]) -> None:
        mean, sigma = group["params"]
        slope_mean, slope_sigma = mean.grad, sigma.grad
        if group["clamp"]:
            most = group["clamp"] / sigma.abs()
            slope_mean, slope_sigma = slope_mean.clamp(-most, most), slope_sigma.clamp(-most, most)
        variance, prior = sigma.square(), group["prior_sigma"] ** 2
        back = 1 / (group["memory"] * prior)
        mean.add_(variance * (back * (group["prior_mean"] - mean) - slope_mean), alpha=group["mean_rate"])
        sigma.add_(back * sigma * (prior - variance) - variance * slope_sigma, alpha=group["sigma_rate"] / 2)


class TorchMESU(_Gaussian):
    """The variant of MESU in its authors' torch code: momentum, a denominator, bounded steps. Another optimiser than `MESU`.

    With g the running averages of the gradients and D = 1 + s |g_s| (1 without `second_order`):
        mu <- mu - mean_rate  (s^2 g_mu + s^2 (mu - prior_mean) / (memory prior_sigma^2)) / D
        s  <- s  - sigma_rate (s^2 g_s  + s (s^2 - prior_sigma^2) / (memory prior_sigma^2)) / D
    each step cut to +-ratio_max s, and s to `bounds`. There is no factor 1/2 before the step of sigma.

    Args:
        pairs: Means and sigmas, `gaussian_pairs(model)`.
        mean_rate: c_mu.
        sigma_rate: c_sigma.
        prior_mean: Mean of the prior.
        prior_sigma: Sigma of the prior.
        memory: N, in batches.
        momentum: Of the averages.
        second_order: With the denominator.
        ratio_max: Largest step, in units of sigma.
        bounds: Smallest and largest sigma.

    Raises:
        ConfigError: no pairs, or settings out of range.

    Source: Bonnet et al., arXiv:2504.13569 (2025), the experiments on CIFAR and animals.
    """

    def __init__(
        self,
        pairs: Iterable[_Pair],
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
        self._check(
            mean_rate=(mean_rate, False),
            sigma_rate=(sigma_rate, False),
            prior_sigma=(prior_sigma, True),
            memory=(memory, True),
            ratio_max=(ratio_max, True),
        )
        if not 0 <= momentum < 1 or not 0 < bounds[0] < bounds[1]:
            raise ConfigError(f"momentum is {momentum}, bounds are {bounds}; expected 0 .. 1, and two rising numbers above 0.")
        names = ("mean_rate", "sigma_rate", "prior_mean", "prior_sigma", "memory", "momentum", "second_order", "ratio_max")
        values = (mean_rate, sigma_rate, prior_mean, prior_sigma, memory, momentum, bool(second_order), ratio_max)
        super().__init__(pairs, {**dict(zip(names, values, strict=True)), "bounds": tuple(bounds)})

    def _move(self, group: dict[str, Any]) -> None:
        mean, sigma = group["params"]
        averages = []
        for parameter in (mean, sigma):
            state = self.state[parameter]
            average = state.setdefault("average", torch.zeros_like(parameter))
            averages.append(average.mul_(group["momentum"]).add_(parameter.grad, alpha=1 - group["momentum"]))
        variance, prior = sigma.square(), group["prior_sigma"] ** 2
        back = 1 / (group["memory"] * prior)
        damping = 1 + sigma * averages[1].abs() if group["second_order"] else 1.0
        most = group["ratio_max"] * sigma
        step_mean = group["mean_rate"] * variance * (averages[0] + back * (mean - group["prior_mean"])) / damping
        step_sigma = group["sigma_rate"] * (variance * averages[1] + back * sigma * (variance - prior)) / damping
        mean.sub_(step_mean.clamp(-most, most))
        sigma.sub_(step_sigma.clamp(-most, most)).clamp_(*group["bounds"])


class BGD(_Gaussian):
    """Bayesian gradient descent (FOO-VB, diagonal): Gaussian weights that never forget.

    With C the loss summed over the batch and u = s dC/ds / 2:
        mu <- mu - mean_rate s^2 dC/dmu
        s  <- s (sqrt(1 + u^2) - u)

    Args:
        pairs: Means and sigmas, `gaussian_pairs(model)`.
        mean_rate: Rate of the means.
        published_code: s <- s (2 - u - sqrt(1 + u^2)) instead: the sign slip of the code behind the figures of the MESU paper.

    Raises:
        ConfigError: no pairs, or a negative rate.

    Source: Zeno et al., Neural Computation 33, 3139 (2021).
    """

    def __init__(self, pairs: Iterable[_Pair], *, mean_rate: float = 1.0, published_code: bool = False) -> None:
        self._check(mean_rate=(mean_rate, False))
        super().__init__(pairs, {"mean_rate": mean_rate, "published_code": bool(published_code)})

    def _move(self, group: dict[str, Any]) -> None:
        mean, sigma = group["params"]
        u = sigma * sigma.grad / 2
        root = (1 + u.square()).sqrt()
        mean.sub_(sigma.square() * mean.grad, alpha=group["mean_rate"])
        sigma.mul_(2 - u - root if group["published_code"] else root - u)


class BiMU(_Rule):
    """Binary metaplasticity from uncertainty: fields l of binary weights of mean tanh(l), which forget beyond their memory.

    With C the loss summed over the batch, g = likelihood dC/dl and s = divergence (1 - tanh(l)^2):
        l <- l - (rate g + s l / memory) / (s + 2 g tanh(l) + 2 |g| + 1 / largest_rate)
    A step in which all gradients are zero is left out.

    Args:
        params: Fields, such as [layer.field for layer in layers].
        rate: Learning rate.
        largest_rate: Greatest rate of a weight.
        likelihood: Weight of the evidence.
        divergence: Weight of the prior.
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
        self._check(
            rate=(rate, False),
            largest_rate=(largest_rate, True),
            likelihood=(likelihood, False),
            divergence=(divergence, False),
            memory=(memory, True),
        )
        names = ("rate", "largest_rate", "likelihood", "divergence", "memory")
        super().__init__(params, dict(zip(names, (rate, largest_rate, likelihood, divergence, memory), strict=True)))

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step, unless nothing was learned."""
        if closure is not None:
            return super().step(closure)
        slopes = [each.grad for group in self.param_groups for each in group["params"] if each.grad is not None]
        return super().step() if any(bool(each.any()) for each in slopes) else None

    def _move(self, group: dict[str, Any]) -> None:
        for field in group["params"]:
            g = group["likelihood"] * _slope(field)
            mean = field.tanh()
            s = group["divergence"] * (1 - mean.square())
            field.sub_(
                (group["rate"] * g + s * field / group["memory"]) / (s + 2 * g * mean + 2 * g.abs() + 1 / group["largest_rate"])
            )


def _slope(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad
