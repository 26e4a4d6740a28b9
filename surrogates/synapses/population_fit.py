"""The population of a fit: samples of the posterior of each device (or cycle)."""

from __future__ import annotations

import numpy as np

from ...typing import Array
from . import kalman
from .population import Population, resample
from .state_space_fit import StateFit

#: Number of proposals for the latent parameters of each device, and of samples kept of them.
PROPOSALS, COPIES = 64, 4
#: Reads of a block whose gradient is taken as independent of the other blocks.
BLOCK = 16


def fit_population(fit: StateFit, seed: int) -> Population | None:
    """Sample the posterior of each device (or cycle) by importance resampling.

    Proposals are sampled from the Laplace approximation of each posterior and weighted by likelihood and prior. The weights
    correct the approximation where the reads bound a parameter on one side only. Where the model is not exact, both are
    widened by `overconfidence`.

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
    excess = max(overconfidence(fit), 1.0)
    factors = np.linalg.cholesky(excess * fit.covariance + 1e-12 * np.eye(size))
    proposals, log_weights = np.empty((PROPOSALS, groups, size)), np.empty((PROPOSALS, groups))
    for index in range(PROPOSALS):
        normal = generator.standard_normal((groups, size))
        proposals[index] = fit.latents + np.einsum("gij,gj->gi", factors, normal)
        log_weights[index] = fit.log_posterior(proposals[index]) / excess + 0.5 * (normal**2).sum(1)
    latents = resample(proposals, log_weights, COPIES, generator)
    first = _sample_first_states(fit, generator)
    return Population(np.concatenate([first[:, :, None], latents], 2))


def overconfidence(fit: StateFit) -> float:
    """Return the factor by which the variance of the latents' estimates exceeds that of their posteriors.

        tr(C J) / tr(C H),    H = sum s s^T / S  the information,  J = sum_b g_b g_b^T  the scatter of its gradient

    over all devices, with the posterior covariance C and the gradients g_b of blocks of reads. Under the true model J estimates
    H, and the factor is one; errors that a wrong drift repeats from read to read add up in g_b and make it larger.

    Source: the sandwich covariance, P. J. Huber, Proc. 5th Berkeley Symp. 1, 221 (1967), in blocks as of a time series.
    """
    steps = fit.steps()
    noise = fit.variances(steps)
    blocks = kalman.information_blocks(steps, noise, kalman.run(steps, noise), fit.latent_columns(), BLOCK)
    covariance = fit.covariance[fit.data.group]
    expected = found = count = 0.0
    for matrix, gradient in blocks:
        expected += float(np.einsum("lpq,lqp->", covariance, matrix))
        found += float(np.einsum("lp,lpq,lq->", gradient, covariance, gradient))
        count += 1
    # The gradients add up to nearly zero at the optimum, as many residuals to a fitted mean.
    return found / max(expected, 1e-300) * (count / max(count - 1, 1))


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
