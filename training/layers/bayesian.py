"""Bayesian layers: weights that are drawn, of a normal or a binary distribution whose parameters are learned."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from .storage import StoredWeights

#: Means begin uniformly within this over the root of the inputs of a unit, as Bonnet et al. have it.
LIMIT = 4.0
#: Keeps the derivative of a root finite where all inputs are zero.
_TINY = 1e-30


class BayesianLinear(nn.Module):
    """y = x W^T with W ~ N(mean, sigma^2) independently, without bias.

    Two ways to draw, in training and tests:
        "weights": W = mean + sigma e, one draw of all weights for the whole batch, as published.
        "local": y = x mean^T + sqrt(x^2 sigma^2^T) e, by local reparameterisation: for one sample the same distribution of y at
            a fraction of the random numbers; in a batch each sample then has weights of its own, whose gradient has the same
            mean and less scatter.

    Parameters: `mean` and `sigma`, shape (outputs, inputs).

    Args:
        inputs: Features that come in.
        outputs: Features that go out.
        spread: Initial sigma, in units of the limit 4 / sqrt(inputs) within which means begin uniformly.
        sampling: "weights" or "local".
        generator: Source of the initial means.

    Raises:
        ConfigError: another way to draw, or a spread that is not positive.

    Source: Bonnet et al., arXiv:2504.13569 (2025); local reparameterisation: Kingma et al., NeurIPS (2015).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        spread: float = 0.5,
        sampling: str = "weights",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if sampling not in ("weights", "local"):
            raise ConfigError(f"sampling is {sampling!r}; expected 'weights' or 'local'.")
        if not 0 < spread < math.inf:
            raise ConfigError(f"spread is {spread!r}; expected a finite number above 0.")
        limit = LIMIT / math.sqrt(inputs)
        self.sampling = sampling
        self.mean = nn.Parameter((2 * torch.rand(outputs, inputs, generator=generator) - 1) * limit)
        self.sigma = nn.Parameter(torch.full((outputs, inputs), spread * limit))
        self.store: StoredWeights | None = None

    def forward(self, x: Tensor, samples: int = 1, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw and multiply.

        Args:
            x: Shape (batch, inputs), or (samples, batch, inputs) behind another layer.
            samples: Draws.
            generator: Their source, on the CPU.

        Returns:
            Shape (samples, batch, outputs).
        """
        if self.store is not None:
            return x @ self._from_devices(self.store, samples, generator).transpose(1, 2)
        if self.sampling == "weights":
            noise = torch.randn((samples, *self.mean.shape), generator=generator, dtype=self.mean.dtype).to(x.device)
            return x @ (self.mean + self.sigma * noise).transpose(1, 2)
        centre = x @ self.mean.T
        width = (x.square() @ self.sigma.square().T + _TINY).sqrt()
        noise = torch.randn((samples, *centre.shape[-2:]), generator=generator, dtype=x.dtype).to(x.device)
        return centre + width * noise

    def _from_devices(self, store: StoredWeights, samples: int, generator: torch.Generator | None) -> Tensor:
        """Noisy reads, and digital noise where sigma asks for more than the devices have."""
        noise = store.noise
        with torch.no_grad():
            reads = torch.stack([store.read() for _ in range(samples)])
            missing = (self.sigma.square() - noise**2).clamp(min=0).sqrt()
            extra = torch.randn(reads.shape, generator=generator, dtype=reads.dtype).to(reads.device)
            drawn = reads + missing * extra
            direction = (drawn - self.mean) / self.sigma.clamp(min=max(noise, _TINY))
        # The value is what was drawn, the derivatives are those of mean + sigma e.
        formula = self.mean + self.sigma * direction
        return formula + (drawn - formula).detach()

    def extra_repr(self) -> str:
        """What `print` shows."""
        outputs, inputs = self.mean.shape
        return f"{inputs}, {outputs}, sampling={self.sampling!r}"


class BinaryBayesianLinear(nn.Module):
    """y = x W^T with weights of -1 and 1, P(W = 1) = sigmoid(2 l), mean tanh(l), without bias.

    In training weights are relaxed, W = tanh((l + logit(u) / 2) / temperature) with u uniform; in tests they are binary. The
    parameter is `field`, l, shape (outputs, inputs), uniform within 1 / sqrt(inputs) at first.

    Args:
        inputs: Features that come in.
        outputs: Features that go out.
        temperature: Of the relaxation.
        generator: Source of the initial fields.

    Source: Cottart et al., arXiv:2605.30198 (2026).
    """

    def __init__(
        self, inputs: int, outputs: int, *, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if not 0 < temperature < math.inf:
            raise ConfigError(f"temperature is {temperature!r}; expected a finite number above 0.")
        self.temperature = temperature
        self.field = nn.Parameter((2 * torch.rand(outputs, inputs, generator=generator) - 1) / math.sqrt(inputs))

    def forward(self, x: Tensor, samples: int = 1, *, generator: torch.Generator | None = None) -> Tensor:
        """As `BayesianLinear`; relaxed in training, binary otherwise."""
        u = torch.rand((samples, *self.field.shape), generator=generator, dtype=self.field.dtype).to(x.device)
        if self.training:
            u = u.clamp(1e-7, 1 - 1e-7)
            weight = torch.tanh((self.field + torch.logit(u) / 2) / self.temperature)
        else:
            weight = (u < torch.sigmoid(2 * self.field)).to(x.dtype).mul(2).sub(1)
        return x @ weight.transpose(1, 2)


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x.abs() > 1).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        size = x.abs()
        slope: Tensor = gradients[0] * x.sign() * ((size > 0.5) & (size < 1.5))
        return slope


class GateActivation(nn.Module):
    """1 where |x| > 1, else 0, with the derivative sign(x) where 1/2 < |x| < 3/2 and 0 elsewhere (straight through).

    Source: Cottart et al., arXiv:2605.30198 (2026).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape."""
        return cast(Tensor, _Gate.apply(x))  # type: ignore[no-untyped-call]


def gaussian_pairs(model: nn.Module) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
    """Means and sigmas of all `BayesianLinear` of a model, for the optimisers."""
    for layer in model.modules():
        if isinstance(layer, BayesianLinear):
            yield layer.mean, layer.sigma
