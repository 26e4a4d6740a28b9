"""The likelihood of reads under accumulating, correlated, telegraph and read noise: a Kalman filter over many recordings.

    x' = x + D + b' (x - x^) + w,    w ~ N(0, q)                     accumulating noise: stays in the conductance
    a' = rho a + v,                  v ~ N(0, sa^2 (1 - rho^2))      correlated noise: decays over some pulses
    h' = h while a trap is filled, ~ N(mh, sh^2) when it is filled, 0 while it is empty     random telegraph noise
    y  = x + a + h + e,              e ~ N(0, r)                     white read noise: independent at each read

with the drift D of a step and its slope b' at a reference path x^. Arrays have shape (steps, lanes); a lane is one recording
under one set of noise parameters, so that the perturbed runs of a numerical gradient are lanes of one pass.

Source: R. E. Kalman, J. Basic Eng. 82, 35 (1960); the gradient is the adjoint of the recursion at fixed gains.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ... import kernels
from ...kernels import kalman as compiled
from ...typing import Array

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Steps:
    """The linearised recordings, which do not depend on the noise parameters.

    Attributes:
        reads: y, shape (reads, lanes); missing reads are masked by `seen`.
        seen: True where a read exists, shape (reads, lanes).
        drift: D of each step, shape (reads - 1, lanes).
        slope: 1 + b', shape (reads - 1, lanes).
        reference: x^ at the start of each step, shape (reads - 1, lanes).
        filled: True where the trap is filled at a read, shape (reads, lanes).
    """

    reads: Array
    seen: Mask
    drift: Array
    slope: Array
    reference: Array
    filled: Mask

    def tiled(self, times: int) -> Steps:
        """Return the lanes repeated `times` times, one block after the other."""
        return Steps(*(np.tile(value, (1, times)) for value in vars(self).values()))


@dataclass(frozen=True)
class Noise:
    """Variances along the recordings.

    Attributes:
        process: q of each step, shape (reads - 1, lanes).
        read: r of each read, shape (reads, lanes).
        memory: sa^2, shape (lanes,); zero for none.
        decay: rho of each step, shape (reads - 1, lanes).
        depth: mh, shape (lanes,).
        depth_variance: sh^2, shape (lanes,).
    """

    process: Array
    read: Array
    memory: Array
    decay: Array
    depth: Array
    depth_variance: Array


@dataclass(frozen=True)
class Filtered:
    """Result of one pass of the filter.

    Attributes:
        loglik: Log likelihood of each lane given its first read, shape (lanes,).
        innovation: y minus its prediction, zero where there is no read, shape (reads, lanes); the first is zero.
        variance: S of the innovation, shape (reads, lanes).
        mean: Filtered x, a and h, shape (3, reads, lanes).
        gain: Kalman gain of each, shape (3, reads, lanes).
    """

    loglik: Array
    innovation: Array
    variance: Array
    mean: Array
    gain: Array


class KalmanState:
    """Mean and covariance of (x, a, h) in every lane, with the prediction and update of a Kalman filter.

    Attributes:
        m: Means, shape (3, lanes).
        p: Covariance as six rows xx, xa, xh, aa, ah, hh, shape (6, lanes).
    """

    def __init__(self, first: Array, noise: Noise, filled: Mask) -> None:
        # The prior of x is flat, so the first read determines it up to the other parts: x = y0 - a - h - e.
        depth, spread = np.where(filled, noise.depth, 0.0), np.where(filled, noise.depth_variance, 0.0)
        zero = np.zeros_like(first)
        self.m = np.stack([first - depth, zero, depth])
        self.p = np.stack([noise.memory + spread + noise.read[0], -noise.memory, -spread, noise.memory, zero, spread])

    def predict(
        self, drift: Array, slope: Array, reference: Array, rho: Array, q: Array, fresh: Array, stays: Array, fills: Array,
        depth: Array, depth_variance: Array,
    ) -> None:  # fmt: skip
        """Advance one step; `stays` is one where the trap stays filled, `fills` where it becomes filled."""
        m, p = self.m, self.p
        m[0] += drift + (slope - 1) * (m[0] - reference)
        m[1] *= rho
        m[2] = stays * m[2] + fills * depth
        p[0] = slope * slope * p[0] + q
        p[1] *= slope * rho
        p[2] *= slope * stays
        p[3] = rho * rho * p[3] + fresh
        p[4] *= rho * stays
        p[5] = stays * p[5] + fills * depth_variance

    def innovation(self, read: Array, r: Array) -> tuple[Array, Array, Array]:
        """Return the innovation of a read, its variance, and the gains, shape (3, lanes)."""
        p = self.p
        g = np.stack([p[0] + p[1] + p[2], p[1] + p[3] + p[4], p[2] + p[4] + p[5]])
        s = g.sum(0) + r
        return read - self.m.sum(0), s, g / s

    def update(self, e: Array, s: Array, k: Array) -> None:
        """Update with a read; gains of zero leave the lane unchanged."""
        self.m += k * e
        for row, (i, j) in enumerate(((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))):
            self.p[row] -= k[i] * k[j] * s


def run(steps: Steps, noise: Noise) -> Filtered:
    """Filter all lanes from their first read, which must exist; uses the compiled kernel if it is available."""
    if kernels.available():
        return Filtered(*compiled.forward(_inputs(steps, noise), steps.seen, steps.filled))
    return run_plain(steps, noise)


def _inputs(steps: Steps, noise: Noise) -> dict[str, Array]:
    """Return all arrays by name, as the compiled kernel takes them."""
    return {name: value for name, value in {**vars(steps), **vars(noise)}.items() if name not in ("seen", "filled")}


def run_plain(steps: Steps, noise: Noise) -> Filtered:
    """Filter all lanes with NumPy; the twin of the compiled filter."""
    count, lanes = steps.reads.shape
    kalman = KalmanState(steps.reads[0], noise, steps.filled[0])
    innovation, variance = np.zeros((count, lanes)), np.ones((count, lanes))
    mean, gain = np.zeros((3, count, lanes)), np.zeros((3, count, lanes))
    mean[:, 0] = kalman.m
    loglik = np.zeros(lanes)
    fresh = noise.memory * (1 - noise.decay**2)
    stays, fills = telegraph_transitions(steps.filled)
    seen = steps.seen.astype(np.float64)
    for k in range(count - 1):
        kalman.predict(
            steps.drift[k], steps.slope[k], steps.reference[k], noise.decay[k], noise.process[k], fresh[k], stays[k],
            fills[k], noise.depth, noise.depth_variance,
        )  # fmt: skip
        e, s, gains = kalman.innovation(steps.reads[k + 1], noise.read[k + 1])
        e, gains = e * seen[k + 1], gains * seen[k + 1]
        kalman.update(e, s, gains)
        loglik -= 0.5 * seen[k + 1] * (np.log(2 * np.pi * s) + e * e / s)
        innovation[k + 1], variance[k + 1], mean[:, k + 1], gain[:, k + 1] = e, s, kalman.m, gains
    return Filtered(loglik, innovation, variance, mean, gain)


def telegraph_transitions(filled: Mask) -> tuple[Array, Array]:
    """Return one where the trap stays filled and one where it becomes filled, each of shape (reads - 1, lanes)."""
    before, after = filled[:-1], filled[1:]
    return (before & after).astype(np.float64), (~before & after).astype(np.float64)


def drift_gradient(steps: Steps, noise: Noise, filtered: Filtered) -> Array:
    """Return d loglik / dD of each step at fixed gains and slopes, shape (reads - 1, lanes)."""
    if kernels.available():
        result = (filtered.innovation, filtered.variance, filtered.gain)
        return compiled.gradient(_inputs(steps, noise), steps.seen, steps.filled, *result)
    return drift_gradient_plain(steps, noise, filtered)


def drift_gradient_plain(steps: Steps, noise: Noise, filtered: Filtered) -> Array:
    """Return `drift_gradient` by NumPy; the twin of the compiled adjoint."""
    count, lanes = steps.reads.shape
    gradient = np.empty((count - 1, lanes))
    stays, _ = telegraph_transitions(steps.filled)
    weight = -filtered.innovation / filtered.variance
    seen = steps.seen.astype(np.float64)
    adjoint = np.zeros((3, lanes))
    factors = np.stack([steps.slope, noise.decay, stays])
    for k in range(count - 2, -1, -1):
        adjoint = adjoint - ((filtered.gain[:, k + 1] * adjoint).sum(0) + weight[k + 1]) * seen[k + 1]
        gradient[k] = adjoint[0]
        adjoint = factors[:, k] * adjoint
    return gradient


def information(steps: Steps, noise: Noise, filtered: Filtered, columns: Array) -> tuple[Array, Array]:
    """Return the Gauss-Newton equations of parameters on which the drift depends.

    Args:
        steps: As in `run`.
        noise: As in `run`.
        filtered: Result of `run`.
        columns: dD / d parameter of each step, shape (parameters, reads - 1, lanes).

    Returns:
        Information sum s s^T / S of each lane, shape (lanes, parameters, parameters), with s the innovations' derivatives,
        and the gradient d loglik / d parameter, shape (lanes, parameters).
    """
    size, _, lanes = columns.shape
    matrix, vector = np.zeros((lanes, size, size)), np.zeros((lanes, size))
    for block_matrix, block_vector in information_blocks(steps, noise, filtered, columns):
        matrix += block_matrix
        vector += block_vector
    return matrix, vector


def information_blocks(
    steps: Steps, noise: Noise, filtered: Filtered, columns: Array, length: int = 64
) -> Iterator[tuple[Array, Array]]:
    """Yield the parts of `information` that successive blocks of `length` reads contribute."""
    size, _, lanes = columns.shape
    count = steps.reads.shape[0]
    state = np.zeros((3, size, lanes))
    stays, _ = telegraph_transitions(steps.filled)
    factors = np.stack([steps.slope, noise.decay, stays])[:, :, None]
    root = steps.seen / np.sqrt(filtered.variance)
    whitened = filtered.innovation * root
    block: list[Array] = []
    for k in range(count - 1):
        state = factors[:, k] * state
        state[0] += columns[:, k]
        slope = -state.sum(0) * steps.seen[k + 1]  # derivative of the innovation
        state += filtered.gain[:, k + 1, None] * slope
        block.append(slope * root[k + 1])
        if len(block) == length or k == count - 2:
            s = np.stack(block)
            matrix = np.einsum("kpl,kql->lpq", s, s, optimize=True)
            yield matrix, -np.einsum("kpl,kl->lp", s, whitened[k + 2 - len(block) : k + 2], optimize=True)
            block = []
