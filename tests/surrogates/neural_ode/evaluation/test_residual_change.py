"""A change of the device is detected where it happens, and only if there is one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spinode import evaluate
from spinode.surrogates.neural_ode.evaluation.residual_change import detect_residual_change
from spinode.surrogates.neural_ode.evaluation.short_runs import choose_short_run_steps, short_run_residuals
from spinode.surrogates.testing import resonator


def detect(device, trace):
    """Detect a change as `evaluate` does, without the free run."""
    return detect_residual_change(device, trace, short_run_residuals(device, trace))


def concatenate(first, second, interval):
    """One recording after the other on one time axis."""
    channels = {
        role: {name: np.concatenate([getattr(first, role)[name], getattr(second, role)[name]]) for name in getattr(first, role)}
        for role in ("drive", "output")
    }
    return replace(first, time=interval * np.arange(len(first) + len(second)), **channels)


@pytest.fixture
def record_change(device, recorder):
    """Factory of recordings whose device becomes another one at a sample."""

    def build(after, seeds, at=500, samples=1000):
        drives = [recorder.random_drive(samples, seed) for seed in seeds]
        first = recorder.record_all(device, [drive[:at] for drive in drives], seeds)
        states = torch.tensor([[float(trace.output["y"][-1]), 0.0] for trace in first], dtype=torch.float64)
        second = recorder.record_all(after, [drive[at:] for drive in drives], [seed + 1 for seed in seeds], states)
        return [concatenate(*pair, recorder.interval) for pair in zip(first, second, strict=True)]

    return build


def test_no_false_alarm_while_the_device_stays_the_same(device, recorder):
    """None in 60 recordings: a true rate of 5 % would show with 95 % probability."""
    drives = [recorder.random_drive(800, seed) for seed in range(60)]
    assert [detect(device, trace) for trace in recorder.record_all(device, drives, range(60))] == [None] * 60


def test_no_false_alarm_for_a_drive_of_changing_strength(device, recorder):
    drives = [recorder.random_drive(1000, seed) * np.where(np.arange(1000) < 500, 0.3, 1.0) for seed in range(20)]
    assert [detect(device, trace) for trace in recorder.record_all(device, drives, range(20))] == [None] * 20


@pytest.mark.parametrize("change", ["resonance", "resonance, damping and gain"])
def test_change_is_detected_where_it_happens(device, other_device, recorder, record_change, change):
    """In 20 of 20 recordings, to within 1.5 % of their length."""
    of_resonance = resonator(period=8.0, interval=recorder.interval, noise=recorder.noise)
    for trace in record_change(of_resonance if change == "resonance" else other_device, range(20)):
        found = detect(device, trace)
        assert found is not None
        assert found.at == pytest.approx(500 * recorder.interval, abs=15 * recorder.interval)
        assert found.after > 4 * found.before


def test_score_before_the_change_is_reported_separately(device, other_device, recorder, record_change):
    scores = evaluate(device, record_change(other_device, [0])[0])
    assert scores.regime_change_at == pytest.approx(500 * recorder.interval, abs=15 * recorder.interval)
    assert scores.nrmse_before_change < 0.2 * scores.nrmse


def test_recording_of_another_device_is_detected_from_its_start(device, other_device, recorder):
    for seed in range(3):
        trace = recorder.record(other_device, 600, seed)
        late = replace(trace, time=trace.time + 1e-9)
        scores = evaluate(device, late)
        assert scores.regime_change_at == pytest.approx(1e-9), seed
        assert scores.nrmse_before_change is None


def residuals_of(trace, levels):
    """Short-run residuals that scatter by a fifth around a level for each part of a recording."""
    rows = np.repeat(np.array(levels), -(-len(trace) // len(levels)))[: len(trace) - 4]
    return (rows * np.exp(0.2 * np.random.default_rng(0).standard_normal(len(rows))))[:, None]


def test_error_that_begins_late_is_not_another_device_from_its_start(device, recorder):
    """It rises too little for a change, and exceeds that of "the output stays constant", since the output rests there."""
    trace = recorder.record(device, 1200, 0)
    resting = replace(trace, output={"y": np.where(np.arange(1200) < 400, trace.output["y"], 0.1)})
    assert detect_residual_change(device, resting, residuals_of(resting, [3.0, 10.0, 10.0])) is None


def test_another_device_from_its_start_needs_a_drive_of_the_fitted_kind(device, other_device, recorder):
    trace = recorder.record(other_device, 600, 0)
    large = 1e3 * residuals_of(trace, [1.0])
    assert detect_residual_change(device, trace, large).at == trace.time[0]
    held = replace(trace, interpolation={"V": "held"})
    assert detect_residual_change(device, held, large) is None


def test_calm_stretch_does_not_excuse_another_device(device, other_device, recorder):
    trace = recorder.record(other_device, 1000, 0)
    assert detect_residual_change(device, trace, 1e3 * residuals_of(trace, [1.0] * 9 + [1e-4])).at == trace.time[0]


@pytest.mark.parametrize(("noise", "steps"), [(0.0, 4), (0.05, 12), (0.2, 24)])
def test_noisier_outputs_get_longer_runs(noise, steps):
    # A sine of 40 samples per period changes by 0.44, 1.14 and 1.34 (rms) in 4, 12 and 24 samples.
    wave = np.sin(2 * np.pi * np.arange(4000) / 40)[:, None]
    assert choose_short_run_steps(wave, np.array([noise])) == steps
