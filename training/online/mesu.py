"""`OnlineMESU`: metaplasticity from synaptic uncertainty, one sample at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ...validation import number, whole_number
from .gaussian import GaussianMethod, GaussianRule
from .rule import Kernel, State, register


@dataclass(frozen=True)
class OnlineMESU(GaussianRule):
    """Metaplasticity from synaptic uncertainty: Gaussian weights that forget what is older than their memory.

    With C the mean over `samples` draws of -log p(label), mu the mean and s the standard deviation of a weight:
        mu <- mu + mean_rate  (-s^2 dC/dmu + s^2 (prior_mean - mu) / (memory prior_sigma^2))
        s  <- s  + sigma_rate (-s^2 dC/ds  + s (prior_sigma^2 - s^2) / (memory prior_sigma^2)) / 2

    State: "mean0", "sigma0" of shape (hidden, features), "mean1", "sigma1" of shape (classes, hidden).

    Attributes:
        mean_rate: Learning rate of the means.
        sigma_rate: Learning rate of the standard deviations.
        prior_mean: Mean of the prior.
        prior_sigma: Standard deviation of the prior.
        memory: N, in steps; `math.inf` never forgets.
        samples: Draws of the weights in each step.
        clamp: Both gradients are clipped to +-clamp / |s|; 0 for no clipping.

    Raises:
        ConfigError: a setting outside its range.

    Example:
        >>> OnlineMESU(memory=1e5).draws
        10

    Source: Bonnet et al., arXiv:2504.13569 (2025).
    """

    mean_rate: float = 1.0
    sigma_rate: float = 1.0
    prior_mean: float = 0.0
    prior_sigma: float = 1.0
    memory: float = 300_000.0
    samples: int = 10
    clamp: float = 0.0

    def __post_init__(self) -> None:
        self._store(
            mean_rate=number("mean_rate of OnlineMESU", self.mean_rate, 0),
            sigma_rate=number("sigma_rate of OnlineMESU", self.sigma_rate, 0),
            prior_mean=number("prior_mean of OnlineMESU", self.prior_mean),
            prior_sigma=number("prior_sigma of OnlineMESU", self.prior_sigma, 0, above=True),
            memory=number("memory of OnlineMESU", self.memory, 0, above=True, finite=False),
            samples=whole_number("samples of OnlineMESU", self.samples, 1),
            clamp=number("clamp of OnlineMESU", self.clamp, 0),
        )

    @property
    def draws(self) -> int:
        """Draws of the weights per step."""
        return self.samples

    @property
    def kernel(self) -> Kernel:
        """Description for the compiled loop."""
        constants = (self.mean_rate, self.sigma_rate, self.prior_mean, self.prior_sigma, 1 / self.memory, self.clamp)
        return Kernel("mesu clamp" if self.clamp else "mesu", constants, self.arrays)

    def update(self, state: State, gradients: Sequence[Tensor]) -> None:
        """Change mean and sigma by one step; see the class."""
        forget = 1 / (self.memory * self.prior_sigma**2)
        for layer in (0, 1):
            mean, sigma = state[f"mean{layer}"], state[f"sigma{layer}"]
            mean_grad, sigma_grad = gradients[2 * layer : 2 * layer + 2]
            if self.clamp:
                bound = self.clamp / sigma.abs()
                mean_grad, sigma_grad = mean_grad.clamp(-bound, bound), sigma_grad.clamp(-bound, bound)
            variance = sigma.square()
            mean += self.mean_rate * variance * (forget * (self.prior_mean - mean) - mean_grad)
            sigma += 0.5 * self.sigma_rate * (forget * sigma * (self.prior_sigma**2 - variance) - variance * sigma_grad)


register("mesu", GaussianMethod(OnlineMESU))
