"""Derivatives and noise of sampled signals by a local polynomial whose window follows from the noise."""

from __future__ import annotations

import numpy as np
from scipy import signal

from ....errors import TraceError
from ....typing import Array

#: Windows that are tried, in samples.
WINDOWS = (7, 9, 13, 19, 27, 39, 55, 79, 111, 157)

#: Degree of the polynomial.
DEGREE = 5


def local_polynomial(values: Array, order: int) -> tuple[Array, Array, float]:
    """Estimate derivatives 0 .. order-1 by a sliding polynomial of degree 5, its window chosen by leave-one-out error.

    The smoother is linear, so the error of predicting a sample without itself is r / (1 - h), with r the residual and h
    the centre weight: exact cross-validation for the price of one filter. Clean data choose the shortest window (next to no
    smoothing), noisy data a long one. The noise deviation follows from r as rms(r) / sqrt(1 - h).

    Args:
        values: Samples on a uniform grid, shape (time,).
        order: Number of derivatives, counted from the zeroth.

    Returns:
        Derivatives in units per sample, shape (time, order); the noise deviation in each, shape (order,), which the
        smoothing has lowered; and the noise deviation of the samples.

    Raises:
        TraceError: fewer than 8 samples.

    Source: Savitzky & Golay, Anal. Chem. 36, 1627 (1964) (the filter).

    Example:
        >>> import numpy as np
        >>> derivatives, _, _ = local_polynomial(np.arange(20.0) ** 2, 3)
        >>> derivatives[4].round(6).tolist()
        [16.0, 8.0, 2.0]
    """
    lowest_error, chosen, noise = np.inf, 0, 0.0
    for window in WINDOWS:
        if window >= len(values):
            break
        centre = signal.savgol_coeffs(window, DEGREE)[window // 2]
        residual = values - signal.savgol_filter(values, window, DEGREE)
        residual = residual[window // 2 : len(values) - window // 2]
        error = float(np.mean(residual**2)) / (1 - centre) ** 2
        # A longer window must gain 2 %: within rounding, all windows are alike on a clean signal.
        if not chosen or error < 0.98 * lowest_error:
            lowest_error, chosen, noise = error, window, float(np.sqrt(np.mean(residual**2) / (1 - centre)))
    if not chosen:
        raise TraceError(f"the segment has {len(values)} samples; at least {WINDOWS[0] + 1} are needed for derivatives.")
    columns, deviations = [], []
    for j in range(order):
        columns.append(signal.savgol_filter(values, chosen, DEGREE, deriv=j))
        deviations.append(noise * float(np.linalg.norm(signal.savgol_coeffs(chosen, DEGREE, deriv=j))))
    return np.stack(columns, -1), np.array(deviations), noise
