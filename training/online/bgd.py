"""`OnlineBGD`: Bayesian gradient descent, one sample at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...validation import flag, number, whole_number
from .gaussian import GaussianMethod, GaussianRule
from .rule import Kernel, State, register


@dataclass(frozen=True)
class OnlineBGD(GaussianRule):
    """Bayesian gradient descent (FOO-VB, diagonal): Gaussian weights whose widths only shrink.

    Old tasks are kept, and new ones are learned ever more slowly.

    With C the mean over `samples` draws of -log p(label), and u = s dC/ds / 2, where dC/ds = E[dC/dw e]:
        mu <- mu - mean_rate s^2 dC/dmu
        s  <- s (sqrt(1 + u^2) - u)

    State: as for `OnlineMESU`.

    Attributes:
        mean_rate: Learning rate of the means, eta.
        samples: Draws of the weights in each step.
        published_code: s <- s (2 - u - sqrt(1 + u^2)) instead: the sign error in the code behind the published figures of the
            MESU paper.

    Raises:
        ConfigError: a setting outside its range.

    Source: Zeno et al., Neural Computation 33, 3139 (2021).
    """

    mean_rate: float = 1.0
    samples: int = 10
    published_code: bool = False

    def __post_init__(self) -> None:
        self._store(
            mean_rate=number("mean_rate of OnlineBGD", self.mean_rate, 0),
            samples=whole_number("samples of OnlineBGD", self.samples, 1),
            published_code=flag("published_code of OnlineBGD", self.published_code),
        )

    @property
    def draws(self) -> int:
        """Draws of the weights per step."""
        return self.samples

    @property
    def kernel(self) -> Kernel:
        """Description for the compiled loop."""
        return Kernel("bgd published" if self.published_code else "bgd", (self.mean_rate,), self.arrays)

    def update(self, state: State, gradients: Sequence[Tensor]) -> None:
        """Change mean and sigma by one step; see the class."""
        for layer in (0, 1):
            mean, sigma = state[f"mean{layer}"], state[f"sigma{layer}"]
            mean -= self.mean_rate * sigma.square() * gradients[2 * layer]
            u = 0.5 * sigma * gradients[2 * layer + 1]
            root = (1 + u.square()).sqrt()
            # For u > 0 the difference root - u cancels; its reciprocal root + u does not.
            sigma *= 2 - u - root if self.published_code else torch.where(u > 0, 1 / (root + u.abs()), root - u)


register("bgd", GaussianMethod(OnlineBGD))
