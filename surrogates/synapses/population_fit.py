"""The population of a fit: samples of the posterior of each device (or cycle)."""

from __future__ import annotations

import numpy as np

from ...typing import Array
from .population import Population, resample
from .state_space_fit import StateFit

#: Number of proposals for the latent parameters of each device, and of samples kept of them.
PROPOSALS, COPIES = 64, 4


def fit_population(fit: StateFit, seed: int) -> Population | None:
    """Sample the posterior of each device (or cycle) by importance resampling.

    Proposals are sampled from the Laplace approximation of each posterior and weighted by likelihood and prior. The weights
    correct the approximation where the reads bound a parameter on one side only.

    Args:
        fit: A finished fit.
        seed: Seed of the samples.

    Returns:
        The population; None for a model without latent parameters.
    """
    groups, size = fit.latents.shape
    if not size:
        return None
    generator = np.random.default_rng(seed)
    factors = np.linalg.cholesky(fit.covariance + 1e-12 * np.eye(size))
    proposals, log_weights = np.empty((PROPOSALS, groups, size)), np.empty((PROPOSALS, groups))
    for index in range(PROPOSALS):
        normal = generator.standard_normal((groups, size))
        proposals[index] = fit.latents + np.einsum("gij,gj->gi", factors, normal)
        log_weights[index] = fit.log_posterior(proposals[index]) + 0.5 * (normal**2).sum(1)
    latents = resample(proposals, log_weights, COPIES, generator)
    first = _sample_first_states(fit, generator)
    return Population(np.concatenate([first[:, :, None], latents], 2))


def _sample_first_states(fit: StateFit, generator: np.random.Generator) -> Array:
    """Sample the first state of each group: its first reads, shrunk to the mean of all by their share of noise.

    Returns:
        Shape (groups, COPIES).
    """
    noise = fit.variances(fit.steps())
    groups = fit.data.groups
    counts = np.bincount(fit.data.group, minlength=groups)
    mean = np.bincount(fit.data.group, fit.reference[0], groups) / counts
    error = np.bincount(fit.data.group, noise.read[0] + noise.memory, groups) / counts**2
    spread = max(float(mean.var() - error.mean()), 1e-3 * float(mean.var()), 1e-12)
    share = spread / (spread + error)
    centre = mean.mean() + share * (mean - mean.mean())
    normal = generator.standard_normal((groups, COPIES))
    return np.asarray(centre[:, None] + np.sqrt(share * error)[:, None] * normal)
