"""Metrics: analytical values for constructed errors."""

from __future__ import annotations

import numpy as np
import pytest

from spinode.surrogates.neural_ode.evaluation.metrics import divergence_time, horizon_curve, rms_ratio, spectrum_error


def test_rms_ratio_of_a_constructed_error():
    error = np.array([[3.0, 0.0], [-3.0, 0.0]])
    assert rms_ratio(error, np.array([2.0, 5.0])) == pytest.approx(np.sqrt(0.5 * 1.5**2))


def test_spectrum_error_depends_on_amplitudes_and_not_on_phases():
    t = np.arange(4000)
    wave = np.sin(2 * np.pi * t / 50)[:, None]
    assert spectrum_error(wave, wave) == 0
    assert spectrum_error(wave, 1.3 * wave) == pytest.approx(0.3)
    assert spectrum_error(wave, np.sin(2 * np.pi * t / 50 + 1)[:, None] + 7) < 0.01
    assert spectrum_error(wave, 0 * wave) == pytest.approx(1.0)
    assert spectrum_error(wave, np.sin(2 * np.pi * t / 25)[:, None]) == pytest.approx(np.sqrt(2), rel=0.01)


def test_horizon_curve_is_the_error_since_the_start():
    time = 5.0 + np.arange(1000)
    scaled = np.where(np.arange(1000) < 500, 0.1, 0.3)[:, None]
    curve = horizon_curve(time, scaled)
    assert curve[0] == (1.0, pytest.approx(0.1))
    assert curve[-1] == (999.0, pytest.approx(np.sqrt(0.5 * (0.01 + 0.09))))
    assert [t for t, _ in curve] == sorted({t for t, _ in curve})


def test_divergence_is_an_error_that_stays_large():
    time = np.arange(1000.0)
    lasting = np.where(time >= 600, 2.0, 0.1)[:, None]
    passing = np.where((time >= 300) & (time < 500), 2.0, 0.1)[:, None]
    assert divergence_time(time, lasting, None) == pytest.approx(600, abs=26)  # the running mean is 25 samples long
    assert divergence_time(time, passing, None) is None
    assert divergence_time(time, passing, 123.0) == 123.0
    assert divergence_time(time, np.full((1000, 1), 2.0), None) == 0.0
