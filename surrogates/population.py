"""A distribution over the latent parameters of devices, from posteriors of the devices that were measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .kalman import Array

#: Most components of the mixture; the Bayesian information criterion chooses.
MOST = 4
_ROUNDS = 300
#: Rounds of rejection before draws are squeezed into the window, and sweeps of that.
_TRIALS, _SWEEPS = 30, 10


class Population(nn.Module):
    """Gaussian mixture over (first state, latents), truncated to what was seen.

        p(z) = sum_k w_k N(z; m_k, C_k)  for low <= z <= high,   0 elsewhere

    Args:
        weights: w, shape (components,).
        means: m, shape (components, parameters).
        covariances: C, shape (components, parameters, parameters).
        low: Least value seen of each parameter, shape (parameters,).
        high: Greatest.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, weights: Array, means: Array, covariances: Array, low: Array, high: Array) -> None:
        super().__init__()
        for name, value in (("weights", weights), ("means", means), ("covariances", covariances), ("low", low), ("high", high)):
            self.register_buffer(name, torch.as_tensor(np.array(value, np.float64)))

    @property
    def typical(self) -> Tensor:
        """Mean of the mixture, shape (parameters,)."""
        return (self.weights[:, None] * self.means).sum(0)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Parameters of virtual devices, shape (count, parameters): by rejection, and where it rejects nearly all by Gibbs."""
        factors = torch.linalg.cholesky(self.covariances)
        found: list[Tensor] = []
        missing = count
        for _ in range(_TRIALS):
            size = int(1.2 * missing) + 16
            which = torch.multinomial(self.weights, size, replacement=True, generator=generator)
            normal = torch.randn(size, self.means.shape[1], generator=generator, dtype=torch.float64)
            drawn = self.means[which] + torch.einsum("nij,nj->ni", factors[which], normal)
            drawn = drawn[((drawn >= self.low) & (drawn <= self.high)).all(1)][:missing]
            found.append(drawn)
            missing -= len(drawn)
            if not missing:
                break
        else:
            found.append(self._squeezed(missing, generator))
        return torch.cat(found)

    def given(self, first: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Latents of devices whose first state is known, shape (count, latents): drawn, or their mean without a generator.

        Of a normal component: N(m_l + C_l0 (x - m_0) / C_00, C_ll - C_l0 C_0l / C_00), brought to the range that was seen.

        Args:
            first: First states x, shape (count,).
            generator: Source of randomness.
        """
        own, cross = self.covariances[:, 0, 0], self.covariances[:, 1:, 0]
        offset = first.double().clamp(self.low[0], self.high[0])[:, None] - self.means[:, 0]
        share = torch.softmax(self.weights.log() - 0.5 * (offset**2 / own + own.log()), 1)
        means = self.means[:, 1:] + offset[..., None] * (cross / own[:, None])
        if generator is None:
            found = (share[..., None] * means).sum(1)
        else:
            rest = self.covariances[:, 1:, 1:] - cross[:, :, None] * cross[:, None, :] / own[:, None, None]
            factors = torch.linalg.cholesky(rest + 1e-12 * torch.eye(rest.shape[-1], dtype=torch.float64))
            which = torch.multinomial(share, 1, generator=generator)[:, 0]
            normal = torch.randn(len(first), rest.shape[-1], generator=generator, dtype=torch.float64)
            found = means[torch.arange(len(first)), which] + torch.einsum("nij,nj->ni", factors[which], normal)
        return found.clamp(self.low[1:], self.high[1:])

    def _squeezed(self, count: int, generator: torch.Generator) -> Tensor:
        """Draws of a window that the mixture hardly reaches: one parameter after the other given the rest, a few times over."""
        which = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        drawn = self.means[which].clamp(self.low, self.high)
        precisions = torch.linalg.inv(self.covariances)[which]
        for index in list(range(drawn.shape[1])) * _SWEEPS:
            own = precisions[:, index, index]
            pull = (precisions[:, index] * (drawn - self.means[which])).sum(1) / own
            centre, width = drawn[:, index] - pull, own.rsqrt()
            ends = torch.special.ndtr(torch.stack([self.low[index] - centre, self.high[index] - centre]) / width)
            share = torch.rand(count, generator=generator, dtype=torch.float64)
            value = centre + width * torch.special.ndtri(ends[0] + share * (ends[1] - ends[0]))
            drawn[:, index] = value.clamp(self.low[index], self.high[index])
        return drawn


@dataclass(frozen=True)
class Mixture:
    """Parameters of a mixture under fit."""

    weights: Array
    means: Array
    covariances: Array

    @property
    def free(self) -> int:
        """Number of free parameters."""
        count, size = self.means.shape
        return count - 1 + count * size + count * size * (size + 1) // 2


def mixture(means: Array, covariances: Array, *, seed: int = 0, most: int = MOST, counts: Array | None = None) -> Mixture:
    """The mixture whose draws, blurred by each device's posterior, are most likely: deconvolution by EM.

    Args:
        means: Posterior mean of each device, under its likelihood alone, shape (devices, parameters).
        covariances: Posterior covariance likewise.
        seed: Of the first guesses.
        most: Greatest number of components to try; the Bayesian information criterion chooses.
        counts: Weight of each device, as a bootstrap gives them; one each if omitted.

    Source: J. Bovy, D. W. Hogg, S. T. Roweis, Ann. Appl. Stat. 5, 1657 (2011).
    """
    counts = np.ones(len(means)) if counts is None else counts
    best, lowest = None, np.inf
    for size in range(1, most + 1):
        if size > 1 and len(means) < 12 * size:
            break
        fit, loglik = _deconvolved(means, covariances, counts, size, np.random.default_rng(seed))
        criterion = -2 * loglik + fit.free * np.log(counts.sum())
        if criterion < lowest:
            best, lowest = fit, criterion
    assert best is not None
    return best


def _deconvolved(points: Array, blur: Array, counts: Array, size: int, generator: np.random.Generator) -> tuple[Mixture, float]:
    dims = points.shape[1]
    total = np.cov(points.T, aweights=counts).reshape(dims, dims) + 1e-9 * np.eye(dims)
    # A prior of one device with the variance of all keeps components from collapsing onto a few devices.
    scale = np.diag(np.diag(total))
    means = points[generator.choice(len(points), size, replace=False, p=counts / counts.sum())]
    if size == 1:
        means = np.average(points, axis=0, weights=counts)[None]
    weights, covariances = np.full(size, 1 / size), np.repeat(total[None], size, 0)
    loglik = -np.inf
    for _ in range(_ROUNDS):
        sums = covariances[None] + blur[:, None]  # (devices, components, d, d)
        inverse = np.linalg.inv(sums)
        offset = points[:, None] - means[None]
        pull = np.einsum("nkij,nkj->nki", inverse, offset)
        log = np.log(weights) - 0.5 * (
            np.linalg.slogdet(sums)[1] + np.einsum("nki,nki->nk", offset, pull) + dims * np.log(2 * np.pi)
        )
        top = log.max(1, keepdims=True)
        each = np.log(np.exp(log - top).sum(1)) + top[:, 0]
        now = float(counts @ each)
        share = np.exp(log - each[:, None]) * counts[:, None]
        centre = means[None] + np.einsum("kij,nkj->nki", covariances, pull)
        rest = covariances[None] - np.einsum("kij,nkjl,klm->nkim", covariances, inverse, covariances)
        mass = share.sum(0)
        weights = mass / mass.sum()
        means = np.einsum("nk,nki->ki", share, centre) / mass[:, None]
        spread = centre - means[None]
        second = np.einsum("nk,nkij->kij", share, rest) + np.einsum("nk,nki,nkj->kij", share, spread, spread)
        covariances = (second + 1e-2 * scale) / (mass[:, None, None] + 1e-2)
        if now - loglik < 1e-4 * len(points) ** 0.5 and now >= loglik:
            break
        loglik = now
    return Mixture(weights, means, covariances), now
