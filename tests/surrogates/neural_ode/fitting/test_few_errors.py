"""Few errors: Student's t gives nominal coverage, the best of several equal fits is underestimated as order statistics say."""

from __future__ import annotations

import numpy as np
import pytest

from spinode.surrogates.neural_ode.evaluation.metrics import QUANTILE_90
from spinode.surrogates.neural_ode.fitting.few_errors import best_of_factor, few_errors_factor, independent_errors

TRIALS = 20_000


@pytest.mark.parametrize("count", [3, 10, 40])
def test_interval_from_few_gaussian_errors_covers_nine_tenths(count):
    """20 000 trials: the standard error is 0.2 %."""
    rng = np.random.default_rng(count)
    scale = np.sqrt(np.mean(rng.standard_normal((TRIALS, count)) ** 2, 1))
    covered = np.abs(rng.standard_normal(TRIALS)) <= few_errors_factor(count) * QUANTILE_90 * scale
    assert np.mean(covered) == pytest.approx(0.9, abs=0.008)


@pytest.mark.parametrize("candidates", [1, 2, 4, 8])
def test_best_of_equal_fits_is_underestimated_by_the_factor(candidates):
    """The factor is of first order in 1 / sqrt(n); the next term is below 2 / 2 n = 0.0025. A mean of 2000 trials: 0.001."""
    rng, count = np.random.default_rng(candidates), 400
    estimates = np.sqrt(rng.chisquare(count, (2000, candidates)) / count)
    assert np.mean(estimates.min(1)) * best_of_factor(candidates, count) == pytest.approx(1.0, abs=0.006)


def test_errors_that_last_are_counted_once():
    """Errors that repeat each value ten times have a tenth of the independent ones."""
    errors = np.random.default_rng(0).standard_normal((400, 40))
    quick, slow = independent_errors(np.repeat(errors, 10, 1), 400), independent_errors(np.tile(errors, 10), 400)
    assert quick == pytest.approx(slow, rel=0.3)  # either way 40 values a run
    assert independent_errors(np.random.default_rng(1).standard_normal((400, 400)), 400) == pytest.approx(10 * slow, rel=0.4)


def test_runs_that_differ_are_few_errors_however_long_they_are():
    level = np.array([1.0, 1.0, 4.0, 1.0])[:, None]
    few = independent_errors(level * np.random.default_rng(0).standard_normal((4, 5000)), 4)
    assert few < 10


def test_shorter_runs_and_a_single_one_are_counted():
    errors = np.random.default_rng(0).standard_normal((100, 200))
    shorter = np.concatenate([errors, np.full((100, 200), np.nan)], 1)
    assert np.isfinite(independent_errors(shorter, 100))
    assert independent_errors(errors[:1], 1) == 2.0
