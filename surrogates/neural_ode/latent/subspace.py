"""Subspace identification: a linear state-space model from recordings, without a first guess.

The column space of the observability matrix follows from one QR decomposition of past and future samples (PO-MOESP), A and C
from its shift invariance; B, D, the initial states and a constant are a linear least-squares problem in the error of free runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....errors import ConfigError, TraceError
from ....typing import Array
from ....validation import whole_number
from .state_space import StateSpace, linear_states

#: Largest magnitude of a pole; those beyond it are moved there, so that every free run decays.
MAX_POLE = 1 - 1e-5

#: Largest number of past or future samples that are compared, over all outputs. Beyond it, the identification becomes slow.
MAX_ROWS = 200

#: Largest number of columns of the decomposed matrix for each of its rows; of longer recordings every second or third is used.
MAX_COLUMNS = 5

#: Rows of which a triangular factor is computed at once.
_CHUNK = 4096


def identify_subspace(
    outputs: Sequence[Array], inputs: Sequence[Array], order: int, *, horizon: int | None = None, feedthrough: bool = True
) -> StateSpace:
    """Identify a linear state-space model from recordings by PO-MOESP.

    Args:
        outputs: One recording each, shape (time, outputs); all on one sample interval.
        inputs: Inputs of the same recordings, held between samples, shape (time, inputs); no columns for free decays.
        order: Number of state values.
        horizon: Samples of the past and of the future that are compared; chosen from the order if omitted.
        feedthrough: Fit D; otherwise D = 0.

    Returns:
        The model, stable, with the initial state of each recording.

    Raises:
        TraceError: too few samples for the order, or shapes that do not belong together.
        ConfigError: an order below 1.

    Source: Verhaegen, Automatica 30, 61 (1994) (PO-MOESP); Van Overschee & De Moor, Subspace Identification (1996).

    Example:
        >>> import numpy as np
        >>> u = np.random.default_rng(0).normal(size=(300, 1))
        >>> y = np.zeros((300, 1))
        >>> for t in range(299):
        ...     y[t + 1] = 0.8 * y[t] + u[t]
        >>> identify_subspace([y], [u], 1).poles.round(6).tolist()
        [0.8]
    """
    return SubspaceIdentification(outputs, inputs, order, horizon=horizon).model(order, feedthrough=feedthrough)


class SubspaceIdentification:
    """Recordings after the QR decomposition and the singular value decomposition, which all orders share.

    Args:
        outputs: One recording each, shape (time, outputs).
        inputs: Inputs of the same recordings, shape (time, inputs).
        max_order: Largest order that will be requested.
        horizon: Samples of the past and of the future that are compared; chosen from the order if omitted.

    Attributes:
        singular_values: In descending order; a gap shows the order.
    """

    def __init__(
        self, outputs: Sequence[Array], inputs: Sequence[Array], max_order: int, *, horizon: int | None = None
    ) -> None:
        whole_number("order", max_order, 1)
        self._outputs, self._inputs = _checked(outputs, inputs)
        y, u = np.concatenate(self._outputs), np.concatenate(self._inputs)
        self._means = y.mean(0), u.mean(0)
        self._scales = _deviation(y), _deviation(u)
        channels = y.shape[1] + u.shape[1]
        self._horizon = self._choose_horizon(max_order, channels) if horizon is None else whole_number("horizon", horizon, 2)
        if self._horizon * y.shape[1] <= max_order:
            raise TraceError(
                f"{sum(map(len, self._outputs))} samples determine a horizon of {self._horizon} only; expected more samples "
                f"for order {max_order}, or a lower order."
            )
        left, self.singular_values = self._decompose()
        self._observability = left

    def model(self, order: int, *, feedthrough: bool = True) -> StateSpace:
        """Return the model of one order.

        Args:
            order: Number of state values.
            feedthrough: Fit D; otherwise D = 0.
        """
        size = whole_number("order", order, 1, len(self.singular_values) - 1)
        count = len(self._means[0])
        gamma = self._observability[:, :size] * np.sqrt(self.singular_values[:size])
        a = stable(np.asarray(np.linalg.lstsq(gamma[:-count], gamma[count:], rcond=None)[0], dtype=float))
        scaled_outputs = [(y - self._means[0]) / self._scales[0] for y in self._outputs]
        scaled_inputs = [(u - self._means[1]) / self._scales[1] for u in self._inputs]
        b, d, offset, starts = fit_input_matrices(a, gamma[:count], scaled_outputs, scaled_inputs, feedthrough=feedthrough)
        output_scale, input_scale = self._scales
        model = StateSpace(
            a=a,
            b=b / input_scale,
            c=gamma[:count] * output_scale[:, None],
            d=d * output_scale[:, None] / input_scale,
            input_offset=self._means[1],
            output_offset=self._means[0] + offset * output_scale,
            initial_states=tuple(starts),
            singular_values=self.singular_values,
        )
        return model.normalised(self._outputs, self._inputs)

    def _choose_horizon(self, order: int, channels: int) -> int:
        outputs = self._outputs[0].shape[1]
        # Modes that lie close to each other are only distinguished within a time of one over their distance, so the horizon
        # is as long as the samples allow: at least five columns for four rows of the decomposed matrix.
        allowed = min(
            sum(map(len, self._outputs)) * 2 // (5 * channels + 4 * len(self._outputs)), max(map(len, self._outputs)) // 4
        )
        return int(max(2, min(allowed, max(MAX_ROWS // outputs, order // outputs + 2))))

    def _decompose(self) -> tuple[Array, Array]:
        """Return left singular vectors and singular values of the future outputs that the past determines."""
        horizon = self._horizon
        height = 1 + 2 * horizon * (self._inputs[0].shape[1] + self._outputs[0].shape[1])
        stride = max(1, sum(map(len, self._outputs)) // (MAX_COLUMNS * height))
        factor: Array | None = None
        for y, u in zip(self._outputs, self._inputs, strict=True):
            if len(y) < 2 * horizon + 1:
                continue
            rows = _hankel((y - self._means[0]) / self._scales[0], (u - self._means[1]) / self._scales[1], horizon, stride)
            factor = _triangle(factor, rows)
        assert factor is not None
        inputs = 1 + horizon * self._inputs[0].shape[1]
        past = inputs + horizon * (self._inputs[0].shape[1] + self._outputs[0].shape[1])
        # Rows are samples, so the factor is the transpose of the textbook's; order: 1 and future u, past u and y, future y.
        block = factor[inputs : min(past, len(factor)), past:].T
        left, values, _ = np.linalg.svd(block, full_matrices=False)
        return left, values


def choose_order(
    outputs: Sequence[Array],
    inputs: Sequence[Array],
    *,
    max_order: int,
    validation: float = 0.25,
    gain: float = 0.15,
    enough: float = 0.0,
    noise: Array | None = None,
) -> tuple[StateSpace, dict[int, float]]:
    """Identify models of all orders on the first part of each recording, and choose by free runs over the rest.

    The smallest order is chosen whose error is within `gain` (relative) of the lowest.

    Args:
        outputs: One recording each, shape (time, outputs).
        inputs: Inputs of the same recordings, shape (time, inputs).
        max_order: Largest order.
        validation: Share at the end of each recording that is held out.
        gain: Relative improvement that a higher order must bring.
        enough: Error that is low enough in any case.
        noise: Standard deviation of the measurement noise, shape (outputs,), beyond which the errors are compared.

    Returns:
        The model of the chosen order, identified on the whole recordings, and the held-out error of each order: the rms
        error over the deviation, of the worst output.
    """
    outputs, inputs = _checked(outputs, inputs)
    cuts = [round(len(y) * (1 - validation)) for y in outputs]
    first_outputs, first_inputs = ([v[:cut] for v, cut in zip(values, cuts, strict=True)] for values in (outputs, inputs))
    fitted = SubspaceIdentification(first_outputs, first_inputs, max_order)
    scale = _deviation(np.concatenate(outputs))
    errors: dict[int, float] = {}
    for order in range(1, min(max_order, len(fitted.singular_values) - 1) + 1):
        model = fitted.model(order)
        residuals = [
            (model.simulate(u, start) - y)[cut:]
            for y, u, cut, start in zip(outputs, inputs, cuts, model.initial_states, strict=True)
        ]
        errors[order] = float((np.sqrt(np.mean(np.concatenate(residuals) ** 2, 0)) / scale).max())
    lowest = min(errors.values())
    # No model falls below the noise, and the noise of the held-out samples is itself known to some per cent only.
    floor = 0.0 if noise is None else min(float((noise / scale).max()), 0.99 * lowest)
    limit = np.hypot(floor, max(enough, (1 + gain) * np.sqrt(lowest**2 - floor**2)))
    chosen = next(order for order, error in errors.items() if error <= limit)
    return SubspaceIdentification(outputs, inputs, max_order).model(chosen), errors


def fit_input_matrices(
    a: Array, c: Array, outputs: Sequence[Array], inputs: Sequence[Array], *, feedthrough: bool = True
) -> tuple[Array, Array, Array, list[Array]]:
    """Fit B, D, a constant and the initial states to the error of free runs, by linear least squares.

    Args:
        a: A, stable, shape (states, states).
        c: C, shape (outputs, states).
        outputs: One recording each, shape (time, outputs).
        inputs: Shape (time, inputs).
        feedthrough: Fit D; otherwise D = 0.

    Returns:
        B, shape (states, inputs); D, shape (outputs, inputs); the constant, shape (outputs,); and an initial state for each
        recording.
    """
    size, count, drives = len(a), len(c), inputs[0].shape[1]
    gains = size * drives
    direct = count * drives if feedthrough else 0
    factors: list[Array] = []
    shared: Array | None = None
    for y, u in zip(outputs, inputs, strict=True):
        factor = _triangle(None, _regressors(a, c, y, u, feedthrough=feedthrough))
        factors.append(factor[:size])
        # Below the rows of its own initial state, a recording says something about the shared unknowns only.
        shared = _triangle(shared, factor[size:, size:])
    assert shared is not None
    solution = _least_squares(shared[:, :-1], shared[:, -1])
    starts = [_least_squares(factor[:, :size], factor[:, -1] - factor[:, size:-1] @ solution) for factor in factors]
    b = solution[:gains].reshape(drives, size).T
    d = solution[gains : gains + direct].reshape(count, drives) if feedthrough else np.zeros((count, drives))
    return b, d, solution[gains + direct :], starts


def _regressors(a: Array, c: Array, y: Array, u: Array, *, feedthrough: bool) -> Array:
    """Return (initial state, B, D, constant, outputs) of each output sample, shape (time * outputs, unknowns + 1)."""
    length, count, drives, size = len(y), len(c), u.shape[1], len(a)
    starts = linear_states(a.T, np.zeros((length, *c.shape)), c)
    # C A^k B u = (A'^k C') . (B u): one run of the transposed system per output and input, whatever the order.
    runs = linear_states(a.T, u[:, None, :, None] * c[None, :, None, :], np.zeros((count, drives, size)))
    identity = np.broadcast_to(np.eye(count), (length, count, count))
    direct = identity[..., None] * u[:, None, None, :] if feedthrough else np.zeros((length, count, 0, drives))
    parts = [starts, runs.reshape(length, count, drives * size), direct.reshape(length, count, -1), identity, y[:, :, None]]
    return np.concatenate(parts, -1).reshape(length * count, -1)


def _triangle(factor: Array | None, rows: Array) -> Array:
    """Return the triangular factor of rows that are added to those behind another factor."""
    for part in np.array_split(rows, max(1, len(rows) // _CHUNK)):
        factor = np.asarray(np.linalg.qr(part if factor is None else np.concatenate([factor, part]), mode="r"))
    assert factor is not None
    return factor


def _least_squares(matrix: Array, target: Array) -> Array:
    """Solve a least-squares problem with columns scaled to one length."""
    scale = np.linalg.norm(matrix, axis=0)
    scale[scale == 0] = 1
    solution: Array = np.linalg.lstsq(matrix / scale, target, rcond=1e-11)[0] / scale
    return solution


def stable(a: Array, limit: float = MAX_POLE) -> Array:
    """Return a matrix with the poles beyond a magnitude moved there along their ray.

    Args:
        a: Shape (states, states).
        limit: Largest magnitude of an eigenvalue.
    """
    poles, vectors = np.linalg.eig(a)
    size = np.abs(poles)
    if not (size > limit).any():
        return a
    if np.linalg.cond(vectors) > 1e10:
        shrunk: Array = a * (limit / size.max())
        return shrunk
    moved = np.where(size > limit, poles * limit / np.maximum(size, 1e-300), poles)
    return np.ascontiguousarray((vectors * moved @ np.linalg.inv(vectors)).real)


def _hankel(y: Array, u: Array, horizon: int, stride: int) -> Array:
    """Return (1, future u, past u, past y, future y) of each instant, shape (instants, 1 + 2 horizon channels)."""
    count = len(y) - 2 * horizon + 1

    def lagged(values: Array, first: int) -> Array:
        return np.concatenate([values[first + j : first + j + count : stride] for j in range(horizon)], -1)

    # The constant is projected out together with the future inputs: the means of a recording are not those of its rest.
    return np.concatenate(
        [np.ones((-(-count // stride), 1)), lagged(u, horizon), lagged(u, 0), lagged(y, 0), lagged(y, horizon)], -1
    )


def _checked(outputs: Sequence[Array], inputs: Sequence[Array]) -> tuple[list[Array], list[Array]]:
    if not len(outputs) or len(outputs) != len(inputs):
        raise ConfigError(
            f"got {len(outputs)} recordings of outputs and {len(inputs)} of inputs; expected as many, at least one."
        )
    y, u = ([np.asarray(values, dtype=float) for values in parts] for parts in (outputs, inputs))
    for one, other in zip(y, u, strict=True):
        if one.ndim != 2 or other.ndim != 2 or len(one) != len(other) or not one.shape[1]:
            raise TraceError(
                f"outputs of shape {one.shape} with inputs of shape {other.shape}; expected (time, channels) each."
            )
        if not (np.isfinite(one).all() and np.isfinite(other).all()):
            raise TraceError("outputs or inputs contain NaN or infinite values; cut them out before.")
    return y, u


def _deviation(values: Array) -> Array:
    deviation = values.std(0)
    deviation[deviation <= 1e-12 * np.abs(values).max(0, initial=0)] = 1
    return np.where(deviation > 0, deviation, 1.0)
