"""The first guess of latent parameters that are inputs of the network: the main differences in the sizes of devices' steps.

A network and its latent inputs, both random at first, often end where one value of a latent stands for two kinds of devices.
They begin with the principal components of the sizes of devices in cells of polarity and state instead.
"""

from __future__ import annotations

import numpy as np

from ...contracts.synapse import SET
from ...typing import Array
from .state_space_fit import StateFit

#: Parts of the range, for each polarity, in which the size of the steps of a device is estimated.
STATE_CELLS = 4
#: Iterations of the alternating least squares.
ITERATIONS = 100
#: Sizes are clipped at this many times the typical one.
MAX_SIZE = 5.0


def main_differences(fit: StateFit, count: int) -> Array:
    """Return the principal components of the sizes of steps, with mean 0 and deviation 1, shape (groups, count).

    The size of a device in a cell is the slope of its recorded steps in those of a fit that does not distinguish devices.
    """
    sizes, precision = _sizes(fit)
    scores = _weighted_components(sizes, precision, count)
    return np.asarray((scores - scores.mean(0)) / np.maximum(scores.std(0), 1e-12))


def _sizes(fit: StateFit) -> tuple[Array, Array]:
    """Return size minus one and its precision, shape (groups, cells); a precision of zero where there is no step."""
    data = fit.data
    typical, step = fit.steps().drift, np.diff(data.reads, axis=0)
    good = data.seen[1:] & data.seen[:-1] & (data.pulses > 0)
    state = fit.reference[:-1]
    edges = np.quantile(state[good], np.linspace(0, 1, STATE_CELLS + 1)[1:-1])
    cell = np.searchsorted(edges, state)
    group = np.broadcast_to(data.group, good.shape)
    sizes, precisions = [], []
    for name in data.polarities:
        for index in range(STATE_CELLS):
            chosen = good & (cell == index) & (data.polarity == (1.0 if name == SET else -1.0))
            m, s, g = typical[chosen], step[chosen], group[chosen]
            weight = np.bincount(g, m * m, data.groups)
            known = weight > 0
            size = np.where(known, np.bincount(g, m * s, data.groups) / np.where(known, weight, 1.0), 1.0).clip(-1, MAX_SIZE)
            residual = s - size[g] * m
            sizes.append(size - 1.0)
            precisions.append(weight / max(float((residual**2).mean()) if len(residual) else 1.0, 1e-12))
    return np.stack(sizes, 1), np.stack(precisions, 1)


def _weighted_components(values: Array, precision: Array, count: int) -> Array:
    """Return the scores of principal components of values with unequal precision, by alternating least squares.

    Source: K. R. Gabriel and S. Zamir, Technometrics 21, 489 (1979); with unit normal priors of scores.
    """
    # An error of the typical step itself, of a tenth, bounds the precision.
    precision = precision / (1 + 0.01 * precision)
    centre = (precision * values).sum(0) / np.maximum(precision.sum(0), 1e-12)
    offset = values - centre
    filled = np.where(precision > 0, offset * precision / (precision + 1.0), 0.0)
    left, _, _ = np.linalg.svd(filled, full_matrices=False)
    scores = np.asarray(left[:, :count] * np.sqrt(len(values)))
    for _ in range(ITERATIONS):
        loadings = _regressed(offset.T, precision.T, scores, 1e-3)
        scores = _regressed(offset, precision, loadings, 1.0)
        scores = scores / np.maximum(scores.std(0), 1e-12)
    return scores


def _regressed(values: Array, precision: Array, inputs: Array, ridge: float) -> Array:
    """Return the coefficients of each row of values in the inputs, shape (rows, columns of the inputs)."""
    matrix = np.einsum("rc,ci,cj->rij", precision, inputs, inputs) + ridge * np.eye(inputs.shape[1])
    return np.asarray(np.linalg.solve(matrix, np.einsum("rc,rc,ci->ri", precision, values, inputs)[..., None])[..., 0])
