"""`Population`: the distribution over devices, a mixture of the posteriors of the measured ones."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from ...typing import Array

#: Smallest number of devices (or cycles of one device) whose spread is used.
MIN_DEVICES = 10
#: Relative bandwidth h of the kernel around each sample, so that no virtual device is a copy of a measured one.
BLUR = 0.1


class Population(nn.Module):
    """A mixture over (first state, latents): one component for each measured device, truncated to the range of the samples.

        p(z) = sum_d w_d p(z | reads of device d)

    Each posterior is represented by samples. Averaged over devices, posteriors under the right prior are the population itself.
    If the recording of a device does not determine a parameter, its posterior covers the values of the other devices.
    A draw is one of the samples, shrunk towards the mean and blurred so that mean and covariance are unchanged (West's kernel):

        z = m + sqrt(1 - h^2) (z_s - m) + h C^(1/2) xi,    h = 0.1

    Args:
        samples: Posterior samples, shape (devices, copies, parameters).
        weights: w, shape (devices,); equal if omitted.

    Example:
        >>> import numpy as np, torch
        >>> population = Population(np.random.default_rng(0).normal(size=(30, 4, 2)))
        >>> population.draw(1000, torch.Generator().manual_seed(0)).shape
        torch.Size([1000, 2])

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
        """Mean of each parameter, shape (parameters,)."""
        return torch.einsum("d,dcp->p", self.weights, self.samples) / self.samples.shape[1]

    @property
    def deviation(self) -> Tensor:
        """Standard deviation of each parameter, shape (parameters,)."""
        return self._covariance().diagonal().sqrt()

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Sample the parameters of virtual devices, shape (count, parameters)."""
        device = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        copy = torch.randint(self.samples.shape[1], (count,), generator=generator)
        return self._blurred(self.samples[device, copy], generator)

    def given(self, first: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Sample the latents of devices with known first states, from the measured devices that began near these.

        Measured devices are weighted by a normal kernel. Its width is the distance within which sqrt(devices) of them began.

        Args:
            first: First states x, shape (count,).
            generator: Source of randomness; the weighted mean if omitted.

        Returns:
            Shape (count, latents).
        """
        # In blocks: a million devices times some hundred measured ones would take gigabytes.
        size = max(1, 2**22 // len(self.samples))
        return torch.cat([self._given_block(part, generator) for part in first.split(size)])

    def _given_block(self, first: Tensor, generator: torch.Generator | None) -> Tensor:
        measured = self.samples[:, :, 0].mean(1)
        distance = (first.double()[:, None] - measured).abs()
        neighbours = math.ceil(math.sqrt(len(measured)))
        width = distance.kthvalue(neighbours, dim=1).values.clamp(min=1e-9)
        share = self.weights * torch.exp(-0.5 * (distance / width[:, None]) ** 2)
        if generator is None:
            share = share / share.sum(1, keepdim=True)
            return torch.einsum("nd,dl->nl", share, self.samples[:, :, 1:].mean(1))
        device = torch.multinomial(share, 1, generator=generator)[:, 0]
        copy = torch.randint(self.samples.shape[1], (len(first),), generator=generator)
        return self.samples[device, copy, 1:]

    def resampled(self, generator: torch.Generator) -> Population:
        """Return the population with resampled weights of its devices, as another sample of as many devices might have.

        Source: the Bayesian bootstrap, D. B. Rubin, Ann. Stat. 9, 130 (1981).
        """
        uniform = torch.rand(len(self.weights), generator=generator, dtype=torch.float64)
        return Population(self.samples, -torch.log1p(-uniform) * self.weights)

    def _blurred(self, drawn: Tensor, generator: torch.Generator) -> Tensor:
        flat = self.samples.reshape(-1, self.samples.shape[-1])
        mean = self.typical
        noise = torch.randn(drawn.shape, generator=generator, dtype=torch.float64) @ _root(self._covariance()).T
        blurred = mean + math.sqrt(1 - BLUR**2) * (drawn - mean) + BLUR * noise
        return blurred.clamp(flat.amin(0), flat.amax(0))

    def _covariance(self) -> Tensor:
        offset = self.samples - self.typical
        return torch.einsum("d,dci,dcj->ij", self.weights, offset, offset) / self.samples.shape[1]


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors * values.clamp(min=0).sqrt()
    return root


def resample(samples: Array, log_weights: Array, copies: int, generator: np.random.Generator) -> Array:
    """Resample weighted samples of each device by systematic resampling.

    Args:
        samples: Proposals, shape (proposals, devices, parameters).
        log_weights: Log weights, shape (proposals, devices).
        copies: Number of samples to return for each device.
        generator: Source of randomness.

    Returns:
        Shape (devices, copies, parameters).
    """
    # Proposals whose filter diverged have no weight; if all diverged, all have the same.
    log_weights = np.where(np.isfinite(log_weights), log_weights, -1e300)
    weights = np.exp(log_weights - log_weights.max(0))
    edges = np.cumsum(weights / weights.sum(0), axis=0)
    points = (np.arange(copies)[:, None] + generator.random(weights.shape[1])) / copies
    index = (edges[None] < points[:, None]).sum(1).clip(max=len(samples) - 1)
    return np.asarray(samples[index, np.arange(weights.shape[1])].transpose(1, 0, 2))
