"""A Kalman filter that does not know what a trap does: a mixture of histories, each read judged from those before it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import logsumexp, ndtr, ndtri

from ...typing import Array
from .kalman import KalmanState, Noise, Steps
from .telegraph import TelegraphNoise

#: Histories that are kept of each recording.
HISTORIES = 12


def run_trapped(steps: Steps, noise: Noise, pulses: Array, trap: TelegraphNoise) -> tuple[Array, Array, Array, Array, Array]:
    """Filter recordings with random telegraph noise; nothing of a read enters its own prediction.

    Args:
        steps: Recordings with their drift; `filled` is ignored.
        noise: Variances.
        pulses: Of each step, shape (reads - 1, lanes).
        trap: Its rates and depth.

    Returns:
        Filtered state x; mean, variance and log density of each read as predicted; and the read as a standard normal number,
        by the distribution function of the mixture. Each of shape (reads, lanes); the last four are zero, one, zero and zero
        at the first read.
    """
    count, lanes = steps.reads.shape
    keep = HISTORIES
    full = keep * 2
    modes = np.zeros((keep, lanes), dtype=bool)
    modes[1::2] = True
    weights = np.full((keep, lanes), -np.inf)
    weights[0], weights[1] = np.log1p(-trap.occupancy), np.log(trap.occupancy)
    depth, deep = np.full(full * lanes, trap.depth), np.full(full * lanes, trap.depth_deviation**2)
    start = replace(
        noise, read=np.tile(noise.read[:1], (1, full)), memory=np.tile(noise.memory, full), depth=depth, depth_variance=deep
    )
    belief = KalmanState(np.tile(steps.reads[0], full), start, np.concatenate([modes, modes]).reshape(-1))
    chain = np.log(trap.transitions(np.maximum(pulses, 0)).clip(1e-300))
    fresh = noise.memory * (1 - noise.decay**2)
    state, mean = np.zeros((count, lanes)), np.zeros((count, lanes))
    variance, loglik, normal = np.ones((count, lanes)), np.zeros((count, lanes)), np.zeros((count, lanes))
    state[0] = (np.exp(weights) * belief.m[0].reshape(full, lanes)[:keep]).sum(0)

    def tiled(values: Array) -> Array:
        return np.tile(values, full)

    at = np.arange(lanes)
    for k in range(count - 1):
        before = np.concatenate([modes, modes])
        after = np.concatenate([np.zeros_like(modes), np.ones_like(modes)])
        was, now = before.reshape(-1), after.reshape(-1)
        belief.predict(
            tiled(steps.drift[k]), tiled(steps.slope[k]), tiled(steps.reference[k]), tiled(noise.decay[k]),
            tiled(noise.process[k]), tiled(fresh[k]), (was & now).astype(float), (~was & now).astype(float), depth, deep,
        )  # fmt: skip
        prior = np.concatenate([weights, weights]) + chain[before.astype(int), after.astype(int), k, at]
        seen = steps.seen[k + 1].astype(float)
        e, s, gains = belief.innovation(tiled(steps.reads[k + 1]), tiled(noise.read[k + 1]))
        wide_e, wide_s = e.reshape(full, lanes), s.reshape(full, lanes)
        share = np.exp(prior - logsumexp(prior, 0))
        expected = steps.reads[k + 1] - wide_e
        mean[k + 1] = (share * expected).sum(0)
        variance[k + 1] = (share * (wide_s + (expected - mean[k + 1]) ** 2)).sum(0)
        each = -0.5 * (np.log(2 * np.pi * wide_s) + wide_e**2 / wide_s)
        loglik[k + 1] = logsumexp(np.log(share.clip(1e-300)) + each, 0)
        normal[k + 1] = _normal(share, wide_e / np.sqrt(wide_s))
        belief.update(e * tiled(seen), s, gains * tiled(seen))
        total = prior + seen * each
        best = np.argpartition(-total, keep - 1, axis=0)[:keep]
        modes = np.take_along_axis(after, best, 0)
        weights = np.take_along_axis(total, best, 0)
        weights = weights - logsumexp(weights, 0)
        for values in (belief.m, belief.p):
            cut = np.take_along_axis(values.reshape(-1, full, lanes), best[None], 1)
            values[:] = np.concatenate([cut, cut], 1).reshape(len(values), -1)
        state[k + 1] = (np.exp(weights) * belief.m[0].reshape(full, lanes)[:keep]).sum(0)
    return state, mean, variance, loglik, normal


def _normal(share: Array, e: Array) -> Array:
    """The standard normal number of the same rank as a read under a mixture; the nearer tail is used, for its precision."""
    low, high = (share * ndtr(e)).sum(0), (share * ndtr(-e)).sum(0)
    return np.asarray(np.where(low < high, ndtri(low.clip(1e-300)), -ndtri(high.clip(1e-300))))
