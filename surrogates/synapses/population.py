"""A distribution over devices, made of what the measured ones may have been."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from ...typing import Array

#: Share of the whole variance by which a draw is blurred, so that no virtual device is the copy of a measured one.
BLUR = 0.1


class Population(nn.Module):
    """A mixture over (first state, latents): one component for each device that was measured, truncated to what was seen.

        p(z) = sum_d w_d p(z | reads of device d),

    each posterior by samples from it. Averaged over devices, posteriors under the right prior are the population itself;
    those of devices that left a parameter open (a corner that the recording did not reach) spread over what the others show.
    A draw is a sample, drawn towards the mean and blurred so that mean and covariance stay (West's kernel):

        z = m + sqrt(1 - h^2) (z_s - m) + h C^(1/2) xi,    h = 0.1

    Args:
        samples: Posterior samples, shape (devices, copies, parameters).
        weights: w, shape (devices,); equal if omitted.

    Source: M. West, J. R. Stat. Soc. B 55, 409 (1993), for the blur; posteriors by importance resampling, D. B. Rubin (1987).
    """

    samples: Tensor
    weights: Tensor

    def __init__(self, samples: Tensor | Array, weights: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("samples", torch.as_tensor(samples, dtype=torch.float64).clone())
        even = torch.full((len(self.samples),), 1 / len(self.samples), dtype=torch.float64)
        self.register_buffer("weights", even if weights is None else weights.double() / weights.sum())

    @property
    def typical(self) -> Tensor:
        """Mean, shape (parameters,)."""
        return torch.einsum("d,dcp->p", self.weights, self.samples) / self.samples.shape[1]

    @property
    def deviation(self) -> Tensor:
        """Standard deviation of each parameter, shape (parameters,)."""
        return self._covariance().diagonal().sqrt()

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Parameters of virtual devices, shape (count, parameters)."""
        device = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        copy = torch.randint(self.samples.shape[1], (count,), generator=generator)
        return self._blurred(self.samples[device, copy], generator)

    def given(self, first: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Latents of devices that begin at known states: those of the measured devices that began near there.

        Near is the distance within which the square root of their number began.

        Args:
            first: First states x, shape (count,).
            generator: Source of randomness; the mean of those near if omitted.

        Returns:
            Shape (count, latents).
        """
        # Piece by piece: a million devices beside some hundred measured ones would take gigabytes.
        size = max(1, 2**22 // len(self.samples))
        return torch.cat([self._near(part, generator) for part in first.split(size)])

    def _near(self, first: Tensor, generator: torch.Generator | None) -> Tensor:
        began = self.samples[:, :, 0].mean(1)
        apart = (first.double()[:, None] - began).abs()
        near = math.ceil(math.sqrt(len(began)))
        reach = apart.kthvalue(near, dim=1).values.clamp(min=1e-9)
        share = self.weights * torch.exp(-0.5 * (apart / reach[:, None]) ** 2)
        if generator is None:
            share = share / share.sum(1, keepdim=True)
            return torch.einsum("nd,dl->nl", share, self.samples[:, :, 1:].mean(1))
        device = torch.multinomial(share, 1, generator=generator)[:, 0]
        copy = torch.randint(self.samples.shape[1], (len(first),), generator=generator)
        return self.samples[device, copy, 1:]

    def resampled(self, generator: torch.Generator) -> Population:
        """The population with other weights of its devices, as another sample of so many might have given them.

        Source: the Bayesian bootstrap, D. B. Rubin, Ann. Stat. 9, 130 (1981).
        """
        uniform = torch.rand(len(self.weights), generator=generator, dtype=torch.float64)
        return Population(self.samples, -torch.log1p(-uniform) * self.weights)

    def _blurred(self, drawn: Tensor, generator: torch.Generator) -> Tensor:
        flat = self.samples.reshape(-1, self.samples.shape[-1])
        mean = self.typical
        noise = torch.randn(drawn.shape, generator=generator, dtype=torch.float64) @ _root(self._covariance()).T
        wide = mean + math.sqrt(1 - BLUR**2) * (drawn - mean) + BLUR * noise
        return wide.clamp(flat.amin(0), flat.amax(0))

    def _covariance(self) -> Tensor:
        offset = self.samples - self.typical
        return torch.einsum("d,dci,dcj->ij", self.weights, offset, offset) / self.samples.shape[1]


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors * values.clamp(min=0).sqrt()
    return root


def resample(samples: Array, logs: Array, copies: int, generator: np.random.Generator) -> Array:
    """So many of weighted samples of each device, by systematic resampling.

    Args:
        samples: Shape (proposals, devices, parameters).
        logs: Log weights, shape (proposals, devices).
        copies: How many to keep of each device.
        generator: Source of randomness.

    Returns:
        Shape (devices, copies, parameters).
    """
    logs = np.where(np.isfinite(logs), logs, -1e300)  # a path that diverged says nothing; where all do, all count alike
    weights = np.exp(logs - logs.max(0))
    edges = np.cumsum(weights / weights.sum(0), axis=0)
    points = (np.arange(copies)[:, None] + generator.random(logs.shape[1])) / copies
    index = (edges[None] < points[:, None]).sum(1).clip(max=len(samples) - 1)
    return np.asarray(samples[index, np.arange(logs.shape[1])].transpose(1, 0, 2))
