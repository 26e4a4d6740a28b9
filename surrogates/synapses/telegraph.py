"""Random telegraph noise found in recordings: the most likely times at which a trap fills and empties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...typing import Array
from .kalman import KalmanState, Mask, Noise, Steps

#: Hypotheses kept for each recording.
HYPOTHESES = 12


@dataclass(frozen=True)
class TelegraphNoise:
    """A two-state trap.

    Attributes:
        fill: Probability per pulse that it fills.
        leave: Probability per pulse that it empties.
        depth: Mean change of the state while it is filled, in deviations of the state.
        depth_deviation: Standard deviation between captures.
    """

    fill: float
    leave: float
    depth: float
    depth_deviation: float

    def transitions(self, pulses: Array) -> Array:
        """Probabilities over n pulses, P[from, to], shape (2, 2, ...): the n-th power of the chain."""
        total = self.fill + self.leave
        settled = 1 - (1 - total) ** pulses
        up, down = self.fill / total * settled, self.leave / total * settled
        return np.stack([np.stack([1 - up, up]), np.stack([down, 1 - down])])

    @property
    def occupancy(self) -> float:
        """Stationary share of time filled."""
        return self.fill / (self.fill + self.leave)


def most_likely(steps: Steps, noise: Noise, pulses: Array, trap: TelegraphNoise) -> tuple[Mask, Array]:
    """The most likely history of the trap in each lane, by a filter that follows several hypotheses.

    Every step each hypothesis splits in two (the trap filled or empty), and the best `HYPOTHESES` stay (a beam search over
    Kalman filters).

    Args:
        steps: Recordings with their drift; `filled` is ignored.
        noise: Variances.
        pulses: Of each step, shape (reads - 1, lanes).
        trap: Its rates and depth.

    Returns:
        Whether it is filled at each read, shape (reads, lanes), and the log probability of each lane's reads and history.
    """
    count, lanes = steps.reads.shape
    keep = HYPOTHESES
    wide = _Wide(steps, noise, trap, 2 * keep)
    mode = np.zeros((keep, lanes), dtype=bool)
    mode[1::2] = True
    belief = wide.start(mode)
    score = np.full((keep, lanes), -np.inf)
    score[0], score[1] = np.log1p(-trap.occupancy), np.log(trap.occupancy)
    parents = np.zeros((count - 1, keep, lanes), dtype=np.int8)
    modes = np.zeros((count, keep, lanes), dtype=bool)
    modes[0] = mode
    chain = np.log(trap.transitions(np.maximum(pulses, 0)).clip(1e-300))
    for k in range(count - 1):
        after = np.concatenate([np.zeros_like(mode), np.ones_like(mode)])
        before = np.concatenate([mode, mode])
        loglik = wide.step(belief, k, before, after)
        prior = chain[before.astype(int), after.astype(int), k, np.arange(lanes)]
        total = np.concatenate([score, score]) + loglik + prior
        best = np.argpartition(-total, keep - 1, axis=0)[:keep]
        score = np.take_along_axis(total, best, 0)
        mode = np.take_along_axis(after, best, 0)
        parents[k], modes[k + 1] = best % keep, mode
        belief = wide.chosen(belief, best)
    path = np.zeros((count, lanes), dtype=bool)
    index = score.argmax(0)
    at = np.arange(lanes)
    top = score[index, at]
    for k in range(count - 1, -1, -1):
        path[k] = modes[k, index, at]
        if k:
            index = parents[k - 1, index, at]
    return path, top


class _Wide:
    """The filter of all hypotheses of all lanes side by side, hypothesis by hypothesis."""

    def __init__(self, steps: Steps, noise: Noise, trap: TelegraphNoise, width: int) -> None:
        self.steps, self.noise, self.trap, self.width = steps, noise, trap, width
        self.lanes = steps.reads.shape[1]
        self.fresh = noise.memory * (1 - noise.decay**2)
        self.depth = np.full(width * self.lanes, trap.depth)
        self.depth_variance = np.full(width * self.lanes, trap.depth_deviation**2)

    def start(self, mode: Mask) -> KalmanState:
        """Beliefs after the first read, doubled."""
        times = self.width
        noise = Noise(
            self.noise.process, np.tile(self.noise.read[:1], (1, times)), np.tile(self.noise.memory, times),
            self.noise.decay, self.depth, self.depth_variance,
        )  # fmt: skip
        both = np.concatenate([mode, mode]).reshape(-1)
        return KalmanState(np.tile(self.steps.reads[0], times), noise, both)

    def step(self, belief: KalmanState, k: int, before: Mask, after: Mask) -> Array:
        """Advance all by one read; returns its log likelihood, shape (hypotheses, lanes)."""

        def tiled(values: Array) -> Array:
            return np.tile(values, self.width)

        was, now = before.reshape(-1), after.reshape(-1)
        steps, noise = self.steps, self.noise
        belief.predict(
            tiled(steps.drift[k]), tiled(steps.slope[k]), tiled(steps.reference[k]), tiled(noise.decay[k]),
            tiled(noise.process[k]), tiled(self.fresh[k]), (was & now).astype(float), (~was & now).astype(float),
            self.depth, self.depth_variance,
        )  # fmt: skip
        seen = tiled(steps.seen[k + 1].astype(float))
        e, s, gains = belief.innovation(tiled(steps.reads[k + 1]), tiled(noise.read[k + 1]))
        belief.update(e * seen, s, gains * seen)
        return np.asarray(-0.5 * seen * (np.log(2 * np.pi * s) + e * e / s)).reshape(self.width, self.lanes)

    def chosen(self, belief: KalmanState, best: npt.NDArray[np.intp]) -> KalmanState:
        """The beliefs that stay, doubled for the next split."""
        for values in (belief.m, belief.p):
            cut = np.take_along_axis(values.reshape(-1, self.width, self.lanes), best[None], 1)
            values[:] = np.concatenate([cut, cut], 1).reshape(len(values), -1)
        return belief
