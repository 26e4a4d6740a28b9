"""Bayesian layers: weights drawn from a normal or binary distribution whose parameters are learned."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...validation import number, one_of, whole_number
from .bayesian_wrapper import Bayesian
from .storage import StoredWeights

#: Initial means are uniform within this over the root of the inputs of a unit, as in Bonnet et al.
INITIAL_LIMIT = 4.0
#: Keeps the derivative of a root finite where all inputs are zero.
_TINY = 1e-30


class BayesianLinear(nn.Module):
    """y = x W^T with W ~ N(mean, sigma^2) independently, without bias.

    Two ways to sample, in training and tests:
        "weights": W = mean + sigma e, one draw of all weights for the whole batch, as published.
        "local": y = x mean^T + sqrt(x^2 sigma^2^T) e, by local reparameterisation: for one input the same distribution of y at
            a fraction of the random numbers; in a batch each input then has its own weights, and gradients of the same mean
            and lower variance.

    Parameters: `mean` and `sigma`, shape (outputs, inputs).

    Args:
        inputs: Number of input features.
        outputs: Number of output features.
        spread: Initial sigma, in units of 4 / sqrt(inputs), the limit within which initial means are uniform.
        sampling: "weights" or "local".
        generator: Source of the initial means.

    Raises:
        ConfigError: another way to sample, or a spread that is not positive.

    Example:
        >>> layer = BayesianLinear(3, 2, spread=0.1)
        >>> layer(torch.ones(5, 3), samples=4).shape
        torch.Size([4, 5, 2])

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
        inputs, outputs = whole_number("inputs", inputs, 1), whole_number("outputs", outputs, 1)
        self.sampling: str = one_of("sampling", sampling, ("weights", "local"))
        spread = number("spread", spread, 0, above=True)
        limit = INITIAL_LIMIT / math.sqrt(inputs)
        self.mean = nn.Parameter((2 * torch.rand(outputs, inputs, generator=generator) - 1) * limit)
        self.sigma = nn.Parameter(torch.full((outputs, inputs), spread * limit))
        self.store: StoredWeights | None = None

    def forward(self, x: Tensor, samples: int = 1, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the outputs for several draws of the weights.

        Args:
            x: Shape (batch, inputs), or (samples, batch, inputs) after another layer.
            samples: Number of draws.
            generator: Source of the draws, on the CPU.

        Returns:
            Shape (samples, batch, outputs).
        """
        if self.store is not None:
            return x @ self._from_devices(self.store, samples, generator).transpose(1, 2)
        if self.sampling == "weights":
            noise = torch.randn((samples, *self.mean.shape), generator=generator, dtype=self.mean.dtype).to(x.device)
            return x @ (self.mean + self.sigma * noise).transpose(1, 2)
        centre = x @ self.mean.T
        sd = (x.square() @ self.sigma.square().T + _TINY).sqrt()
        noise = torch.randn((samples, *centre.shape[-2:]), generator=generator, dtype=x.dtype).to(x.device)
        return centre + sd * noise

    def _from_devices(self, store: StoredWeights, samples: int, generator: torch.Generator | None) -> Tensor:
        """Return noisy reads of the devices, with digital noise added where sigma exceeds the read noise."""
        noise = store.noise
        with torch.no_grad():
            reads = torch.stack([store.read() for _ in range(samples)])
            missing = (self.sigma.square() - noise**2).clamp(min=0).sqrt()
            extra = torch.randn(reads.shape, generator=generator, dtype=reads.dtype).to(reads.device)
            drawn = reads + missing * extra
            direction = (drawn - self.mean) / self.sigma.clamp(min=max(noise, _TINY))
        # The value is the draw, the derivatives are those of mean + sigma e.
        reparameterised = self.mean + self.sigma * direction
        return reparameterised + (drawn - reparameterised).detach()

    def extra_repr(self) -> str:
        """Return the arguments that `print` shows."""
        outputs, inputs = self.mean.shape
        return f"{inputs}, {outputs}, sampling={self.sampling!r}"


class BinaryBayesianLinear(nn.Module):
    """y = x W^T with weights of -1 and 1, P(W = 1) = sigmoid(2 l), mean tanh(l), without bias.

    In training weights are relaxed, W = tanh((l + logit(u) / 2) / temperature) with u uniform; in tests they are binary. The
    parameter is `field`, l, shape (outputs, inputs), initially uniform within 1 / sqrt(inputs).

    Args:
        inputs: Number of input features.
        outputs: Number of output features.
        temperature: Temperature of the relaxation.
        generator: Source of the initial fields.

    Source: Cottart et al., arXiv:2605.30198 (2026).
    """

    def __init__(
        self, inputs: int, outputs: int, *, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        inputs, outputs = whole_number("inputs", inputs, 1), whole_number("outputs", outputs, 1)
        self.temperature = number("temperature", temperature, 0, above=True)
        self.field = nn.Parameter((2 * torch.rand(outputs, inputs, generator=generator) - 1) / math.sqrt(inputs))

    def forward(self, x: Tensor, samples: int = 1, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the outputs for several draws, as `BayesianLinear.forward`; relaxed in training, binary otherwise."""
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
        """Return the activation of a tensor of any shape."""
        return cast(Tensor, _Gate.apply(x))  # type: ignore[no-untyped-call]


def gaussian_pairs(model: nn.Module) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
    """Yield mean and sigma of each `BayesianLinear` and `Bayesian` of a model, for the optimisers."""
    for layer in model.modules():
        if isinstance(layer, BayesianLinear | Bayesian):
            yield layer.mean, layer.sigma
