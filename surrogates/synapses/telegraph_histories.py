"""Histories of a trap: a bank of Kalman filters, one for each of the most likely histories, and the best of them.

For a known history of the trap, the model of the reads is linear and Gaussian, and the Kalman filter is exact. The history is
unknown: each step splits every history in two (the trap is filled or empty at the next read), and only the most likely ones are
kept (a beam search).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...typing import Array
from .kalman import KalmanState, Mask, Noise, Steps
from .telegraph import TelegraphNoise

#: Histories kept for each recording.
HISTORIES = 12


class Branches(NamedTuple):
    """Both continuations of each kept history at the next read, shape (2 * HISTORIES, lanes).

    Attributes:
        filled: True where the trap is filled at this read.
        log_prior: Log weight of the history times the probability of its last transition.
        innovation: Read minus its prediction.
        variance: Variance of the innovation.
        log_likelihood: Log density of the read.
    """

    filled: Mask
    log_prior: Array
    innovation: Array
    variance: Array
    log_likelihood: Array


class HistoryFilter:
    """A Kalman filter for each of several histories of the trap, for all lanes side by side.

    Call `branch` and then `keep_best` for each step.

    Attributes:
        filled: True where the trap is filled at the last read, shape (HISTORIES, lanes).
        log_weight: Log weight of each history, shape (HISTORIES, lanes).

    Args:
        steps: Recordings with their drift; `filled` is ignored.
        noise: Variances.
        pulses: Number of pulses of each step, shape (reads - 1, lanes).
        telegraph: Rates and depth of the trap.
    """

    def __init__(self, steps: Steps, noise: Noise, pulses: Array, telegraph: TelegraphNoise) -> None:
        self.steps, self.noise = steps, noise
        self.lanes, self.branches = steps.reads.shape[1], 2 * HISTORIES
        self._log_transitions = telegraph.log_transitions(pulses)
        self._fresh_memory = noise.memory * (1 - noise.decay**2)
        self._depth = np.full(self.branches * self.lanes, telegraph.depth)
        self._depth_variance = np.full(self.branches * self.lanes, telegraph.depth_deviation**2)
        self.filled = np.zeros((HISTORIES, self.lanes), dtype=bool)
        self.filled[1::2] = True
        self.log_weight = np.full((HISTORIES, self.lanes), -np.inf)
        self.log_weight[0], self.log_weight[1] = np.log1p(-telegraph.occupancy), np.log(telegraph.occupancy)
        first = replace(
            noise, read=self._tiled(noise.read[:1]), memory=self._tiled(noise.memory), depth=self._depth,
            depth_variance=self._depth_variance,
        )  # fmt: skip
        both = np.concatenate([self.filled, self.filled]).reshape(-1)
        self._kalman = KalmanState(self._tiled(steps.reads[0]), first, both)

    def mean_state(self) -> Array:
        """Return the filtered state x of each kept history, shape (HISTORIES, lanes)."""
        return np.asarray(self._kalman.m[0].reshape(self.branches, self.lanes)[:HISTORIES])

    def branch(self, k: int) -> Branches:
        """Predict read k + 1 for both continuations of each history, and update their filters with it."""
        steps, noise = self.steps, self.noise
        before = np.concatenate([self.filled, self.filled])
        after = np.concatenate([np.zeros_like(self.filled), np.ones_like(self.filled)])
        was, now = before.reshape(-1), after.reshape(-1)
        self._kalman.predict(
            self._tiled(steps.drift[k]), self._tiled(steps.slope[k]), self._tiled(steps.reference[k]),
            self._tiled(noise.decay[k]), self._tiled(noise.process[k]), self._tiled(self._fresh_memory[k]),
            (was & now).astype(float), (~was & now).astype(float), self._depth, self._depth_variance,
        )  # fmt: skip
        seen = self._tiled(steps.seen[k + 1].astype(float))
        e, s, gains = self._kalman.innovation(self._tiled(steps.reads[k + 1]), self._tiled(noise.read[k + 1]))
        self._kalman.update(e * seen, s, gains * seen)
        transition = self._log_transitions[before.astype(int), after.astype(int), k, np.arange(self.lanes)]
        log_prior = np.concatenate([self.log_weight, self.log_weight]) + transition
        e, s = e.reshape(self.branches, self.lanes), s.reshape(self.branches, self.lanes)
        return Branches(after, log_prior, e, s, np.asarray(-0.5 * (np.log(2 * np.pi * s) + e * e / s)))

    def keep_best(self, branches: Branches, log_weight: Array) -> npt.NDArray[np.intp]:
        """Keep the branches of the largest weight.

        Args:
            branches: Result of `branch`.
            log_weight: Log weight of each branch, shape (2 * HISTORIES, lanes).

        Returns:
            Index of the history that each kept one continues, shape (HISTORIES, lanes).
        """
        best = np.argpartition(-log_weight, HISTORIES - 1, axis=0)[:HISTORIES]
        self.filled = np.take_along_axis(branches.filled, best, 0)
        self.log_weight = np.take_along_axis(log_weight, best, 0)
        for values in (self._kalman.m, self._kalman.p):
            kept = np.take_along_axis(values.reshape(-1, self.branches, self.lanes), best[None], 1)
            values[:] = np.concatenate([kept, kept], 1).reshape(len(values), -1)
        return np.asarray(best % HISTORIES)

    def _tiled(self, values: Array) -> Array:
        """Repeat lanes for all branches, one block after the other."""
        return np.tile(values, self.branches) if values.ndim == 1 else np.tile(values, (1, self.branches))


def most_likely_history(steps: Steps, noise: Noise, pulses: Array, telegraph: TelegraphNoise) -> tuple[Mask, Array]:
    """Find the most likely history of the trap in each lane.

    Args:
        steps: Recordings with their drift; `filled` is ignored.
        noise: Variances.
        pulses: Number of pulses of each step, shape (reads - 1, lanes).
        telegraph: Rates and depth of the trap.

    Returns:
        True where the trap is filled at a read, shape (reads, lanes), and the log probability of each lane's reads and history,
        shape (lanes,).
    """
    count, lanes = steps.reads.shape
    bank = HistoryFilter(steps, noise, pulses, telegraph)
    parents = np.zeros((count - 1, HISTORIES, lanes), dtype=np.int8)
    filled = np.zeros((count, HISTORIES, lanes), dtype=bool)
    filled[0] = bank.filled
    for k in range(count - 1):
        branches = bank.branch(k)
        parents[k] = bank.keep_best(branches, branches.log_prior + steps.seen[k + 1] * branches.log_likelihood)
        filled[k + 1] = bank.filled
    path = np.zeros((count, lanes), dtype=bool)
    lane, index = np.arange(lanes), bank.log_weight.argmax(0)
    log_probability = bank.log_weight[index, lane]
    for k in range(count - 1, -1, -1):
        path[k] = filled[k, index, lane]
        if k:
            index = parents[k - 1, index, lane]
    return path, log_probability
