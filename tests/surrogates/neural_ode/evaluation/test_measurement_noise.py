"""Measurement noise: right from 0 to 30 %, white and mildly coloured, and fast motion of the device is not noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal

from spinode.surrogates.neural_ode.evaluation.measurement_noise import (
    REPEATS,
    UNEXPLAINED,
    ComparedRun,
    drive_period,
    measurement_noise,
    unexplained_variance,
)
from spinode.surrogates.neural_ode.evaluation.noise_correction import model_error, without_noise
from spinode.surrogates.testing import resonator

SAMPLES = 3000


def held_steps(seed, hold=12, samples=SAMPLES):
    levels = np.random.default_rng(seed).uniform(-1, 1, -(-samples // hold))
    return np.repeat(levels, hold)[:samples]


def smooth(seed, samples=SAMPLES):
    return 3 * signal.filtfilt(*signal.butter(3, 0.1), np.random.default_rng(seed).standard_normal(samples))


def response(drive, kind, **changed):
    """Free run of a resonator of a period of 20 samples, from rest."""
    device = resonator(**changed)
    device._warned = True
    with torch.no_grad():
        state = torch.zeros(2, dtype=torch.float64)
        return device.simulate(torch.as_tensor(drive)[:, None], state=state, interpolation={"V": kind}).numpy()


def coloured(seed, correlation, shape):
    noise = signal.lfilter(
        [np.sqrt(1 - correlation**2)], [1, -correlation], np.random.default_rng(seed).standard_normal(shape), 0
    )
    return np.asarray(noise)


DRIVES = {"held": held_steps(0), "spline": smooth(0)}


@pytest.mark.parametrize("kind", ["held", "spline"])
@pytest.mark.parametrize("noise", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("correlation", [0.0, 0.3])
def test_noise_and_model_error_are_separated(kind, noise, correlation):
    """The deviation of 3000 samples is known to 1.3 %; of coloured noise a part of the model's band is extrapolated."""
    drive = DRIVES[kind]
    clean, predicted = response(drive, kind), response(drive, kind, damping=0.06)
    truth = clean + noise * clean.std() * coloured(1, correlation, clean.shape)
    found = model_error(("y",), ComparedRun(truth, predicted, drive[:, None]))
    true_error = np.sqrt(np.mean((predicted - clean) ** 2)) / clean.std()
    added = np.std(truth - clean)
    assert float(found.noise[0]) == pytest.approx(added, rel=0.08 if correlation == 0 else 0.3)
    assert found.nrmse == pytest.approx(true_error, abs=max(0.01, 0.15 * noise))
    assert found.low <= true_error + 0.01
    assert found.high >= true_error - 0.01


@pytest.mark.parametrize("kind", ["held", "spline"])
@pytest.mark.parametrize("period", [20.0, 6.0])
@pytest.mark.parametrize("wrong", [{"damping": 0.08}, {"period": 40.0}, {"gain": -0.5}])
def test_motion_of_the_device_is_not_noise(kind, period, wrong):
    """Kinks of held steps, and motion within a few samples, under a good and under a wrong model: at most 3 % of the error."""
    drive = DRIVES[kind]
    truth, predicted = response(drive, kind, period=period), response(drive, kind, **({"period": period} | wrong))
    noise = measurement_noise(ComparedRun(truth, predicted, drive[:, None]))
    assert np.sqrt(noise.variance[0]) <= 0.03 * truth.std()
    found = model_error(("y",), ComparedRun(truth, predicted, drive[:, None]))
    assert found.nrmse >= 0.97 * np.sqrt(np.mean((predicted - truth) ** 2)) / truth.std()


def test_constant_prediction_is_not_excused_by_noise():
    truth = response(DRIVES["held"], "held")
    assert model_error(("y",), ComparedRun(truth, np.zeros_like(truth), DRIVES["held"][:, None])).nrmse > 0.95


def test_error_as_broad_as_noise_is_attributed_to_the_drive():
    """A feedthrough of the wrong size under a white drive: the error is white, and the drive explains all of it."""
    drive = np.random.default_rng(0).standard_normal((2000, 1))
    truth = drive + 0.1 * np.random.default_rng(1).standard_normal((2000, 1))
    found = measurement_noise(ComparedRun(truth, 0.5 * drive, drive))
    assert found.method == (UNEXPLAINED,)
    assert np.sqrt(found.variance[0]) == pytest.approx(0.1, rel=0.05)


def test_unexplained_variance_is_not_fitted_noise():
    """Cross-validation: of pure noise nothing is explained, also where features are many and samples few."""
    rng = np.random.default_rng(0)
    error, drive = rng.standard_normal(300), rng.standard_normal((300, 2))
    assert unexplained_variance(error, drive) == pytest.approx(np.mean(error**2), rel=0.02)


def test_repeats_of_a_periodic_drive_need_no_model():
    wave = np.tile(held_steps(3, samples=240), 6)
    clean = response(wave, "held", damping=0.2)
    truth = clean + 0.2 * clean.std() * np.random.default_rng(0).standard_normal(clean.shape)
    found = measurement_noise(ComparedRun(truth, np.zeros_like(truth), wave[:, None]))
    assert drive_period(wave[:, None]) == 240
    assert found.method == (REPEATS,)
    assert np.sqrt(found.variance[0]) == pytest.approx(0.2 * clean.std(), rel=0.08)


def test_random_drive_has_no_period():
    assert drive_period(DRIVES["held"][:, None]) is None
    assert drive_period(np.zeros((500, 1))) is None
    assert drive_period(np.zeros((500, 0))) is None


def test_outputs_have_noise_of_their_own():
    drive = DRIVES["spline"]
    clean = response(drive, "spline")
    both = np.concatenate([clean, 1e-3 * clean], 1)
    noise = np.random.default_rng(0).standard_normal(both.shape) * both.std(0) * [0.1, 0.02]
    found = model_error(("a", "b"), ComparedRun(both + noise, both, drive[:, None]))
    assert found.noise / both.std(0) == pytest.approx([0.1, 0.02], rel=0.1)
    assert max(found.by_output.values()) < 0.03


def test_interval_covers_the_model_error():
    """Of twenty noisy recordings, the 90 % interval contains the error of the model in at least sixteen."""
    drive = DRIVES["spline"]
    clean, predicted = response(drive, "spline"), response(drive, "spline", damping=0.06)
    true_error = np.sqrt(np.mean((predicted - clean) ** 2)) / clean.std()
    noises = [0.1 * clean.std() * np.random.default_rng(seed).standard_normal(clean.shape) for seed in range(20)]
    found = [model_error(("y",), ComparedRun(clean + noise, predicted, drive[:, None])) for noise in noises]
    assert sum(error.low <= true_error <= error.high for error in found) >= 16


def test_short_recording_is_estimated():
    drive = smooth(5, samples=120)
    clean = response(drive, "spline")
    truth = clean + 0.1 * clean.std() * np.random.default_rng(0).standard_normal(clean.shape)
    found = model_error(("y",), ComparedRun(truth, clean, drive[:, None]))
    assert float(found.noise[0]) == pytest.approx(0.1 * clean.std(), rel=0.35)


def test_escaped_run_has_no_noise():
    truth = response(DRIVES["held"], "held")
    predicted = truth.copy()
    predicted[100:] = 1e8
    found = model_error(("y",), ComparedRun(truth, predicted, DRIVES["held"][:, None]))
    assert found.nrmse > 1e5
    assert np.isfinite([found.low, found.high]).all()


def test_correction_is_that_of_variances():
    assert without_noise(np.sqrt(0.3**2 * (1 - 0.4**2) + 0.4**2), 0.4) == pytest.approx(0.3)
    assert without_noise(0.1, 0.2) == 0


@pytest.mark.parametrize("motion", ["doubled period", "own oscillation", "drift"])
def test_motion_between_repeats_is_not_noise(motion):
    rng = np.random.default_rng(3)
    steps = np.tile(np.repeat(rng.uniform(-1, 1, 8), 15), 20)
    time = np.arange(len(steps))
    response = signal.lfilter([0.2], [1, -0.8], steps)
    period = {"doubled period": 240.0, "own oscillation": 47.3, "drift": 900.0}[motion]
    extra = 0.5 * response.std() * np.sqrt(2) * np.sin(2 * np.pi * time / period)
    noise = 0.02 * response.std() * rng.standard_normal(len(time))
    found = measurement_noise(ComparedRun((response + extra + noise)[:, None], response[:, None], steps[:, None]))
    assert found.method == (REPEATS,)
    assert 0.5 * noise.std() < found.variance[0] ** 0.5 < 2 * noise.std()
