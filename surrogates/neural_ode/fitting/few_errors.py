"""What few errors say about an interval: how many are independent, and how much wider it is for that and for a choice."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from scipy import stats

from ....typing import Array
from ..evaluation.metrics import QUANTILE_90

#: Nominal coverage of the interval.
COVERAGE = 0.9

#: Part of a run, at its beginning, in which errors build up; and the score, over the quantile, at which one is cut off before
#: squares are averaged.
BEGINNING, CUT_OFF = 0.25, 5.0

#: Fewest independent errors: with fewer, nothing is known about their size.
MIN_INDEPENDENT = 2.0


def independent_errors(scores: Array, runs: float) -> float:
    """Return the number of independent Gaussian errors whose mean square would scatter as that of runs does.

    The mean square of n errors has the relative variance 2 / n. That of whole runs contains what lasts longer than a run, too:
    a calm stretch of the recording, or a block that the fit describes badly.

    Args:
        scores: Errors of runs, shape (runs, time); NaN where there is none.
        runs: Number of runs that do not overlap.

    Example:
        >>> errors = np.random.default_rng(0).standard_normal((200, 100))
        >>> 15_000 < independent_errors(errors, 200) * 4 / 3 < 26_000  # the beginning, a quarter, is left out
        True
        >>> round(independent_errors(np.outer([1.0, 3.0, 1.0, 3.0], np.ones(100)), 4), 1)
        9.4
    """
    late = scores[:, round(BEGINNING * scores.shape[1]) :]
    late = late[~np.isnan(late).all(1)]
    if len(late) < 2:
        return MIN_INDEPENDENT
    limit = CUT_OFF * float(np.nanquantile(late, COVERAGE))
    power = np.nanmean(np.minimum(late, limit) ** 2, 1)
    variance = float(power.var(ddof=1)) / max(float(power.mean()) ** 2, 1e-300)
    return float(max(MIN_INDEPENDENT, 2 * runs / max(variance, 1e-12)))


def few_errors_factor(count: float) -> float:
    """Return how much wider an interval is whose scale is known from few Gaussian errors: Student's t over the normal quantile.

    Args:
        count: Number of independent errors.

    Example:
        >>> [round(few_errors_factor(count), 2) for count in (2, 10, 100)]
        [1.78, 1.1, 1.01]
    """
    return float(stats.t.ppf(0.5 + 0.5 * COVERAGE, count) / QUANTILE_90)


def best_of_factor(candidates: int, count: float) -> float:
    """Return by how much the error of the best of several equal fits is underestimated, as the smallest of many estimates.

    The rms of n independent errors has a relative standard error of 1 / sqrt(2 n), and the smallest of k lies m(k) of these
    below the mean, where m is the expected maximum of k normal variables (Blom's approximation): 1 + m(k) / sqrt(2 n).

    Args:
        candidates: Number of fits that cannot be distinguished, k.
        count: Number of independent errors of each, n.

    Example:
        >>> [round(best_of_factor(candidates, 50), 3) for candidates in (1, 2, 4)]
        [1.0, 1.059, 1.105]

    Source: Blom, Statistical Estimates and Transformed Beta-Variables (1958) (the approximation).
    """
    expected = NormalDist().inv_cdf((candidates - 0.375) / (candidates + 0.25))
    return 1.0 + expected / float(np.sqrt(2 * count))
