"""The local polynomial: derivatives of known signals, and the noise that it finds in them."""

from __future__ import annotations

import numpy as np
import pytest

from spinode.errors import TraceError
from spinode.surrogates.neural_ode.embeddings.local_polynomial import DEGREE, local_polynomial


def polynomial(degree: int, length: int = 60):
    """Return a function of (shift, derivative) for a polynomial with random coefficients, in units per sample."""
    coefficients = np.random.default_rng(degree).normal(size=degree + 1)
    exact = np.polynomial.Polynomial(coefficients, domain=[0, length], window=[-1, 1])
    times = np.arange(length, dtype=float)
    return lambda shift=0.0, order=0: (exact.deriv(order) if order else exact)(times + shift)


@pytest.mark.parametrize("degree", range(DEGREE + 1))
def test_derivatives_of_polynomials_are_exact(degree):
    values = polynomial(degree)
    estimate, noise, _ = local_polynomial(values(), 5)
    for order in range(5):
        scale = max(1e-3, np.max(np.abs(values(order=order))))
        assert np.max(np.abs(estimate[:, order] - values(order=order))) < 1e-7 * scale, order
    assert noise[0] < 1e-12


def test_derivatives_of_a_clean_sine_need_no_smoothing():
    times, rate = np.arange(400.0), 2 * np.pi / 25
    estimate, _, _ = local_polynomial(np.sin(rate * times), 3)
    inside = slice(10, -10)
    assert np.max(np.abs(estimate[inside, 1] - rate * np.cos(rate * times)[inside])) < 2e-3 * rate
    assert np.max(np.abs(estimate[inside, 2] + rate**2 * np.sin(rate * times)[inside])) < 2e-2 * rate**2


@pytest.mark.parametrize("deviation", [0.003, 0.03, 0.3])
def test_noise_of_a_noisy_sine_is_found(deviation):
    """Ten recordings: the mean estimate within a tenth of the truth, each within a quarter."""
    times = np.arange(600.0)
    found = np.array(
        [
            local_polynomial(np.sin(times / 8) + deviation * np.random.default_rng(seed).normal(size=600), 1)[2]
            for seed in range(10)
        ]
    )
    assert np.mean(found) == pytest.approx(deviation, rel=0.1)
    assert found / deviation == pytest.approx(np.ones(10), rel=0.25)


def test_all_of_white_noise_counts_as_noise():
    noise = np.random.default_rng(0).normal(size=4000)
    assert local_polynomial(noise, 1)[2] == pytest.approx(1, rel=0.05)


def test_stated_noise_of_each_derivative_is_its_error():
    """The stated deviation is that of the noise that passes the smoother; the bias of the smoother adds a little."""
    clean = [np.sin(np.arange(3000) / 12 + order * np.pi / 2) / 12**order for order in range(3)]
    estimate, noise, recorded = local_polynomial(clean[0] + 0.01 * np.random.default_rng(3).normal(size=3000), 3)
    errors = [np.sqrt(np.mean((estimate[100:-100, order] - clean[order][100:-100]) ** 2)) for order in range(3)]
    assert errors / noise == pytest.approx(np.ones(3), rel=0.3)
    assert noise[0] < 0.6 * recorded


def test_smoothed_derivative_beats_differences_on_noise():
    times, rate = np.arange(1000.0), 1 / 10
    noisy = np.sin(rate * times) + 0.02 * np.random.default_rng(1).normal(size=1000)
    truth = rate * np.cos(rate * times)
    smoothed = local_polynomial(noisy, 2)[0][:, 1]
    naive = np.gradient(noisy)
    rms = lambda error: np.sqrt(np.mean(error[20:-20] ** 2))  # noqa: E731
    assert rms(smoothed - truth) < 0.2 * rms(naive - truth)


def test_too_few_samples_for_derivatives_are_refused():
    with pytest.raises(TraceError, match="has 6 samples; at least 8 are needed"):
        local_polynomial(np.arange(6.0), 2)
