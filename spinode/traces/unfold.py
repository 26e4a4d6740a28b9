"""Rectified outputs: the sign that an instrument has removed, found from smoothness and from the drives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import signal

from ..typing import Array

#: Lags of the linear model that relates the drives to the sign, and the share of the data that its coefficients may have.
MAX_LAGS, MAX_SHARE = 80, 0.125

#: Rectification is detected from this many sign changes whose cusps stand out of the noise by this factor (median), in an
#: output whose smallest value is within this share of its range of zero.
MIN_FLIPS, MIN_CUSP, MAX_NEGATIVE = 3, 12.0, 0.03

# Rounds of linear model and signs in turn.
_ROUNDS = 12
# Samples below this share of the range are at rest: a sign is not continued through several of them.
_REST, _REST_SAMPLES = 0.02, 4
# Residuals of the linear model count for no less than this share of the output.
_MIN_MODEL_ERROR = 0.1


def unfold(outputs: Sequence[Array], inputs: Sequence[Array]) -> list[Array]:
    """Return rectified recordings of one output, |y|, with the signs restored: a smooth y that follows its drives.

    The signs s minimise, by dynamic programming over the time,

        sum_t (third difference of s |y|)^2 / a^2 + (s |y| - p)^2 / b^2,

    with p a linear model (finite impulse response) of the drives that is fitted to s |y| in turn, and a, b the scatter of both
    terms. Where the output rests at zero, only p decides. Without drives each recording has a sign of its own; the first
    motion is positive.

    Args:
        outputs: For each recording, shape (time,).
        inputs: Drives of each recording, shape (time, drives).

    Example:
        >>> time = np.linspace(0, 40, 400)
        >>> speed = np.sin(time)
        >>> restored, = unfold([np.abs(speed)], [speed[:, None]])
        >>> bool(np.allclose(restored, speed))
        True
    """
    recordings = [np.asarray(values, dtype=np.float64) for values in outputs]
    signed = [values * smooth_signs(values) for values in recordings]
    if not any(drives.shape[1] for drives in inputs):
        return signed
    designs = _designs(inputs)
    signed = _consistent_pieces(recordings, signed, designs)
    for _ in range(_ROUNDS):
        predicted = _predictions(designs, signed, np.concatenate([np.ones(len(each), dtype=np.bool_) for each in signed]))
        error = np.concatenate([s - p for s, p in zip(signed, predicted, strict=True)])
        scale = max(float(np.std(error)), _MIN_MODEL_ERROR * float(np.std(np.concatenate(recordings))))
        updated = [v * smooth_signs(v, p, scale) for v, p in zip(recordings, predicted, strict=True)]
        same = all(np.array_equal(a, b) for a, b in zip(updated, signed, strict=True))
        signed = updated
        if same:
            break
    return _positive_gain(signed, inputs)


def is_rectified(outputs: Sequence[Array], inputs: Sequence[Array] = ()) -> bool:
    """Return True if an output looks like |y| of a y that changes its sign.

    It touches zero in cusps and is never negative; and a linear model of the drives, if there are any, describes the output
    with signs better than without.

    Args:
        outputs: For each recording, shape (time,).
        inputs: Drives of each recording, shape (time, drives).

    Example:
        >>> time = np.linspace(0, 60, 600)
        >>> is_rectified([np.abs(np.sin(time))]), is_rectified([np.sin(time) ** 2]), is_rectified([np.sin(time)])
        (True, False, False)
    """
    values = np.concatenate(list(outputs))
    low, high = float(np.min(values)), float(np.max(values))
    if high <= 0 or not -MAX_NEGATIVE * (high - low) <= low <= MAX_NEGATIVE * high:
        return False
    cusps = []
    for recording in outputs:
        scatter = _scatter(recording)
        signs = smooth_signs(recording)
        for flip in np.flatnonzero(np.diff(signs)):
            near = slice(max(flip - 3, 0), flip + 5)
            folded, restored = (np.sum(np.diff(y[near], 3) ** 2) for y in (recording, recording * signs))
            cusps.append((folded - restored) / scatter**2)
    if len(cusps) < MIN_FLIPS or float(np.median(cusps)) <= MIN_CUSP:
        return False
    return not (inputs and inputs[0].shape[1]) or _linear_error(unfold(outputs, inputs), inputs) < _linear_error(
        outputs, inputs
    )


def smooth_signs(values: Array, predicted: Array | None = None, scale: float = 1.0) -> Array:
    """Return the signs that make a rectified signal smoothest, of -1 and 1, shape (time,).

    Args:
        values: Rectified signal, shape (time,).
        predicted: Prediction of the signed one; without it, the first sign is positive.
        scale: Standard deviation of the prediction's error.
    """
    count = len(values)
    if count < 4:
        return np.ones(count)
    weight = 1 / _scatter(values) ** 2
    choices = np.array([-1.0, 1.0])
    prior = np.zeros((count, 2))
    if predicted is not None:
        prior = (values[:, None] * choices - predicted[:, None]) ** 2 / scale**2
    # A state is the signs of three neighbouring samples (oldest first); each step appends one and drops the oldest.
    cost = prior[0][:, None, None] + prior[1][None, :, None] + prior[2][None, None, :]
    back = np.empty((count, 2, 2, 2), dtype=np.int8)
    for t in range(3, count):
        a, b, c, d = (values[t - 3 + i] * choices for i in range(4))
        third = (d[None, None, None, :] - 3 * c[None, None, :, None] + 3 * b[None, :, None, None] - a[:, None, None, None]) ** 2
        total = cost[..., None] + np.minimum(weight * third, _MAX_COST)
        back[t] = total.argmin(0)
        cost = total.min(0) + prior[t]
    signs = np.empty(count)
    last = np.unravel_index(int(cost.argmin()), cost.shape)
    for t in range(count - 1, 2, -1):
        signs[t] = choices[last[2]]
        last = (back[t][last], last[0], last[1])
    signs[:3] = choices[list(last)]
    return signs if predicted is not None or signs[np.argmax(values > 0)] > 0 else -signs


# The cost of one third difference is bounded: an outlier must not decide on the signs.
_MAX_COST = 400.0


def _scatter(values: Array) -> float:
    """Return a robust standard deviation of the third differences; cusps are few and do not count."""
    third = np.diff(values, 3)
    return max(1.4826 * float(np.median(np.abs(third))), 1e-6 * float(np.max(np.abs(values))), 1e-150)


def _designs(inputs: Sequence[Array]) -> list[Array]:
    """Return the regressors of the linear model: drives at lags 0, 1, ..., and a constant."""
    total, width = sum(len(each) for each in inputs), inputs[0].shape[1]
    lags = max(2, min(MAX_LAGS, int(MAX_SHARE * total / max(width, 1))))
    designs = []
    for drives in inputs:
        padded = np.concatenate([np.repeat(drives[:1], lags - 1, 0), drives])
        shifted = [padded[lags - 1 - lag : len(padded) - lag] for lag in range(lags)]
        designs.append(np.concatenate([*shifted, np.ones((len(drives), 1))], 1))
    return designs


def _predictions(designs: Sequence[Array], signed: Sequence[Array], used: npt.NDArray[np.bool_]) -> list[Array]:
    """Fit the linear model to the selected samples and return its predictions for all."""
    design, target = np.concatenate(list(designs)), np.concatenate(list(signed))
    normal = design[used].T @ design[used]
    ridge = 1e-4 * np.trace(normal) / len(normal)
    weights = np.linalg.solve(normal + ridge * np.eye(len(normal)), design[used].T @ target[used])
    return [each @ weights for each in designs]


def _linear_error(outputs: Sequence[Array], inputs: Sequence[Array]) -> float:
    """Return the standard deviation of the error of the linear model."""
    everything = np.ones(sum(len(each) for each in outputs), dtype=np.bool_)
    predicted = _predictions(_designs(inputs), outputs, everything)
    return float(np.std(np.concatenate([y - p for y, p in zip(outputs, predicted, strict=True)])))


def _consistent_pieces(outputs: Sequence[Array], signed: Sequence[Array], designs: Sequence[Array]) -> list[Array]:
    """Give the pieces between rests, whose signs are independent, the signs that one linear model explains best.

    The pieces are added from the one with the most power to the one with the least.
    """
    high = max(float(np.max(values)) for values in outputs)
    labels, first = [], 0
    for values in outputs:
        resting = signal.convolve((values < _REST * high).astype(float), np.ones(_REST_SAMPLES), mode="same")
        begins = np.concatenate([[True], np.diff((resting > _REST_SAMPLES - 0.5).astype(np.int8)) > 0])
        labels.append(np.cumsum(begins) - 1 + first)
        first = int(labels[-1][-1]) + 1
    label, target = np.concatenate(labels), np.concatenate(list(signed))
    power = np.bincount(label, weights=target**2)
    used = np.zeros(len(target), dtype=np.bool_)
    lengths = np.cumsum([len(each) for each in signed])[:-1]
    for piece in np.argsort(power)[::-1][:60]:
        here = label == piece
        if used.any():
            predicted = np.concatenate(_predictions(designs, np.split(target, lengths), used))
            if float(predicted[here] @ target[here]) < 0:
                target[here] *= -1
        used |= here
    return list(np.split(target, lengths))


def _positive_gain(signed: Sequence[Array], inputs: Sequence[Array]) -> list[Array]:
    """Return the recordings with the common sign by which the output follows the first drive."""
    output, drive = np.concatenate(list(signed)), np.concatenate([each[:, 0] for each in inputs])
    # Means included: a motor that always turns the same way turns forwards.
    product = float(np.sum((output - output.mean()) * (drive - drive.mean()))) + len(output) * output.mean() * drive.mean()
    return [values if product >= 0 else -values for values in signed]
