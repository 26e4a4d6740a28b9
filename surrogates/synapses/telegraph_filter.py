"""One-step prediction under random telegraph noise: a mixture over histories of the trap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, ndtr, ndtri

from ...typing import Array
from .kalman import Noise, Steps
from .telegraph import TelegraphNoise
from .telegraph_histories import HistoryFilter


class MixturePrediction(NamedTuple):
    """Predictions of all reads from those before them, each of shape (reads, lanes).

    Attributes:
        state: Filtered state x.
        mean: Mean of the predicted density of the read; zero at the first read.
        variance: Its variance; one at the first read.
        log_likelihood: Its log density at the read; zero at the first read.
        innovation: The read as a standard normal number, by the distribution function of the mixture; zero at the first read.
    """

    state: Array
    mean: Array
    variance: Array
    log_likelihood: Array
    innovation: Array


def filter_with_telegraph_noise(steps: Steps, noise: Noise, pulses: Array, telegraph: TelegraphNoise) -> MixturePrediction:
    """Filter recordings with random telegraph noise; no read takes part in its own prediction.

    Args:
        steps: Recordings with their drift; `filled` is ignored.
        noise: Variances.
        pulses: Number of pulses of each step, shape (reads - 1, lanes).
        telegraph: Rates and depth of the trap.
    """
    count, lanes = steps.reads.shape
    bank = HistoryFilter(steps, noise, pulses, telegraph)
    state, mean, log_likelihood, normal = (np.zeros((count, lanes)) for _ in range(4))
    variance = np.ones((count, lanes))
    state[0] = (np.exp(bank.log_weight) * bank.mean_state()).sum(0)
    for k in range(count - 1):
        branches = bank.branch(k)
        share = np.exp(branches.log_prior - logsumexp(branches.log_prior, 0))
        expected = steps.reads[k + 1] - branches.innovation
        mean[k + 1] = (share * expected).sum(0)
        variance[k + 1] = (share * (branches.variance + (expected - mean[k + 1]) ** 2)).sum(0)
        log_likelihood[k + 1] = logsumexp(np.log(share.clip(1e-300)) + branches.log_likelihood, 0)
        normal[k + 1] = _normal_score(share, branches.innovation / np.sqrt(branches.variance))
        bank.keep_best(branches, branches.log_prior + steps.seen[k + 1] * branches.log_likelihood)
        bank.log_weight -= logsumexp(bank.log_weight, 0)
        state[k + 1] = (np.exp(bank.log_weight) * bank.mean_state()).sum(0)
    return MixturePrediction(state, mean, variance, log_likelihood, normal)


def _normal_score(share: Array, z: Array) -> Array:
    """Return the standard normal number with the same rank as a read has in a mixture; uses the smaller tail for precision.

    Args:
        share: Weights of the components, shape (components, lanes).
        z: The read in standard deviations of each component, likewise.
    """
    low, high = (share * ndtr(z)).sum(0), (share * ndtr(-z)).sum(0)
    return np.asarray(np.where(low < high, ndtri(low.clip(1e-300)), -ndtri(high.clip(1e-300))))
