"""Prediction intervals: nominal coverage on new recordings, for clean and noisy ones, and wider outside the domain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal

from spinode.surrogates.neural_ode.domain import Domain
from spinode.surrogates.neural_ode.evaluation.evaluate import evaluate
from spinode.surrogates.neural_ode.fitting.calibration import calibrate
from spinode.surrogates.neural_ode.free_run import run_along
from spinode.surrogates.testing import resonator
from spinode.traces.trace import Trace

INTERVAL = 1e-11


def smooth_drive(samples, seed, scale=1.0):
    noise = np.random.default_rng(seed).standard_normal(samples)
    return 3 * scale * signal.filtfilt(*signal.butter(3, 0.1), noise)


def chirp_drive(samples, seed):
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    time = np.arange(samples)
    return 0.9 * np.sin(phase + 2 * np.pi * (0.002 * time + 0.03 * time**2 / (2 * samples)))


def recording(drive, seed, noise=0.0, device=None):
    """A recording of a resonator of a period of 20 samples."""
    device = resonator() if device is None else device
    device._warned = True
    state = torch.zeros(2, dtype=torch.float64)
    y = device.simulate(torch.as_tensor(drive)[:, None], state=state)[:, 0].detach().numpy()
    noisy = y + noise * y.std() * np.random.default_rng(seed).standard_normal(len(y))
    units = {"V": "V", "y": "T"}
    return Trace(INTERVAL * np.arange(len(y)), {"V": drive}, {"y": noisy}, {}, units, {"V": "spline"})


def calibrated(noise=0.0, samples=3000, seed=1, **changed):
    """A resonator that differs from the recorded one, with domain and spread of a recording."""
    model = resonator(**({"period": 20.6, "damping": 0.055} | changed))
    model._warned = True
    trace = recording(smooth_drive(samples, seed), seed, noise)
    model.noise.fill_(noise * float(np.std(trace.output["y"])))
    points = run_along(resonator(), recording(smooth_drive(samples, seed), seed)).points  # the recorded states
    cut = int(0.8 * samples)
    model.domain = Domain.around(points[:cut], points[cut:])
    calibrate(model, [trace], 0.2)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3])
def test_interval_covers_nine_tenths_of_new_recordings(noise):
    models = [calibrated(noise, seed=seed) for seed in (1, 11, 12)]
    new = [recording(smooth_drive(2000, seed), seed, noise) for seed in (2, 3)]
    covered = [evaluate(model, trace).coverage for model in models for trace in new]
    assert 0.85 <= np.mean(covered) <= 0.95


def test_interval_covers_three_quarters_under_another_drive():
    model = calibrated()
    assert evaluate(model, recording(chirp_drive(2000, 3), 3)).coverage >= 0.75


def test_interval_is_wider_outside_the_domain():
    model = calibrated()
    spreads = [float(run_along(model, recording(smooth_drive(2000, 2, scale), 2)).spread.median()) for scale in (1.0, 3.0)]
    assert spreads[1] > 2 * spreads[0]


def test_interval_grows_with_the_time_since_the_start():
    """An error of the period builds up within the memory of a resonator of 20 samples period and quality 10."""
    spread = run_along(calibrated(), recording(smooth_drive(2000, 2), 2)).spread[:, 0]
    assert float(spread[:3].mean()) < 0.5 * float(spread[200:].median())


def test_noise_does_not_grow_with_the_distance():
    """Noise alone: the model is exact, and its interval is that of the noise within and outside the domain."""
    model = calibrated(0.1, period=20.0, damping=0.05)
    for scale in (1.0, 2.0):
        spread = run_along(model, recording(smooth_drive(2000, 2, scale), 2)).spread
        assert float(spread.median() / model.noise) == pytest.approx(1.0, abs=0.25)


@pytest.mark.slow
def test_ensemble_covers_nine_tenths():
    single = [resonator(period=period, damping=0.055) for period in (20.3, 20.6, 21.0)]
    model = single[0]
    model.members = torch.nn.ModuleList([other.members[0] for other in single])
    model._warned = True
    trace = recording(smooth_drive(3000, 1), 1)
    points = run_along(resonator(), trace).points
    model.domain = Domain.around(points[:2400], points[2400:])
    calibrate(model, [trace], 0.2)
    covered = [evaluate(model, recording(smooth_drive(2000, seed), seed)).coverage for seed in range(2, 7)]
    assert 0.85 <= np.mean(covered) <= 0.96


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_short_validation_segment_is_calibrated(share):
    model = calibrated(samples=1200)
    calibrate(model, [recording(smooth_drive(1200, 1), 1)], share)
    assert np.mean([evaluate(model, recording(smooth_drive(2000, seed), seed)).coverage for seed in (2, 3)]) >= 0.85


# --- the domain of a fitted run ---------------------------------------------------------------------------------------------


def periodic_drive(samples, scale=1.0, period=100):
    time = np.arange(samples) / period
    return scale * (np.sin(2 * np.pi * time) + 0.5 * np.sin(2 * np.pi * 3 * time + 1))


@pytest.fixture(scope="module")
def of_repeated_motion():
    """A slightly wrong model whose domain is that of the recorded states of a periodic motion."""
    model = resonator(period=20.3)
    model._warned = True
    trace = recording(periodic_drive(3000), 1)
    points = run_along(resonator(), trace).points
    model.domain = Domain.around(points[600:2400], points[2400:])
    before = float(run_along(model, trace).outside.double().mean())
    calibrate(model, [trace], 0.2)
    return model, trace, before


def test_fitted_run_of_repeated_motion_is_inside(of_repeated_motion):
    model, trace, before = of_repeated_motion
    assert before > 0.3  # recorded states repeat themselves to rounding, those of the model lie beside them
    assert float(run_along(model, trace.between(6e-9, None)).outside.double().mean()) < 0.01


@pytest.mark.parametrize("drive", [periodic_drive(2000, scale=1.6), periodic_drive(2000, period=70)])
def test_other_amplitude_and_frequency_are_outside(of_repeated_motion, drive):
    model = of_repeated_motion[0]
    assert float(run_along(model, recording(drive, 2)).outside.double().mean()) > 0.25


def test_interval_allows_for_the_luck_of_the_chosen_restart():
    """The kept restart has half the validation error of a typical one; the noise, which is no matter of luck, stays."""
    lucky = calibrated(0.1)
    lucky.record.update({"validation": [0.2, 0.1, 0.21], "kept": [1]})
    trace = recording(smooth_drive(3000, 1), 1, 0.1)
    floor, plain = lucky.spread_floor.clone(), lucky.spread.curve.clone()
    calibrate(lucky, [trace], 0.2)
    assert torch.allclose(lucky.spread.curve, 2 * plain)
    assert torch.equal(lucky.spread_floor, floor)


def test_other_kind_of_drive_adds_the_difference_of_the_restarts():
    model = calibrated()
    held = recording(smooth_drive(1000, 2), 2)
    held = Trace(held.time, held.drive, held.output, {}, held.units, {"V": "held"})
    before = run_along(model, held).spread
    model.spread.other_drive.fill_(0.1)
    assert torch.allclose(run_along(model, held).spread, (before.square() + 0.01).sqrt())
    smooth = recording(smooth_drive(1000, 2), 2)
    model.spread.other_drive.zero_()
    same = run_along(model, smooth).spread
    model.spread.other_drive.fill_(0.1)
    assert torch.equal(run_along(model, smooth).spread, same)
