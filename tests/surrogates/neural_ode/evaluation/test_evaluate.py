"""Scores: analytical values on constructed errors, and a change of regime that is found when there is one."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import signal

import spinode
from spinode import Trace, TraceError, evaluate
from spinode.surrogates.neural_ode.evaluation.evaluate import _diverged_at, _nrmse, horizon_curve, matched, spectrum_error
from spinode.surrogates.neural_ode.evaluation.short_runs import clear_steps, regime_change, short_run_residuals, steps_of
from spinode.surrogates.neural_ode.free_run import short_run_errors
from spinode.surrogates.testing import resonator

INTERVAL, NOISE = 1e-11, 0.01

#: A device of another resonance, damping and gain.
OTHER = resonator(period=6.0, damping=0.3, gain=-0.5, interval=INTERVAL, noise=NOISE)


def drive_of(samples, seed):
    noise = np.random.default_rng(seed).standard_normal(samples)
    return 3 * signal.filtfilt(*signal.butter(3, 0.1), noise)


def recordings(device, drives, seeds, starts=None):
    """Recordings of a device that obeys a surrogate's equations, with measurement noise; one batch for all drives."""
    states = torch.zeros(len(drives), 2, dtype=torch.float64) if starts is None else starts
    device._warned = True
    with torch.no_grad():
        outputs = device.simulate(torch.as_tensor(np.stack(drives))[..., None], state=states)[..., 0].numpy()
    noises = [np.random.default_rng(seed + 10_000).standard_normal(outputs.shape[1]) for seed in seeds]
    return [
        Trace(
            INTERVAL * np.arange(len(u)),
            {"V": u},
            {"y": y + float(device.noise) * noise},
            {},
            {"V": "V", "y": "T"},
            {"V": "spline"},
        )
        for u, y, noise in zip(drives, outputs, noises, strict=True)
    ]


def recorded(device, samples, seed, *, drive=None):
    """One of them, from rest."""
    return recordings(device, [drive_of(samples, seed) if drive is None else drive], [seed])[0]


@pytest.fixture
def device():
    """A resonator whose level of short-run errors is known, as a fit would have stored it."""
    made = resonator(noise=NOISE, interval=INTERVAL)
    errors = short_run_errors(made, recorded(made, 2000, 99), steps_of(made))
    made.record["residual_level"] = np.sqrt(np.mean(errors**2, 0)).tolist()
    return made


def joined(first, second):
    """One recording after the other, on one clock."""
    channels = {
        role: {name: np.concatenate([getattr(first, role)[name], getattr(second, role)[name]]) for name in getattr(first, role)}
        for role in ("drive", "output")
    }
    return replace(first, time=INTERVAL * np.arange(len(first) + len(second)), **channels)


# --- numbers ------------------------------------------------------------------------------------------------------------


def test_nrmse_of_a_constructed_error():
    error = np.array([[3.0, 0.0], [-3.0, 0.0]])
    assert _nrmse(error, np.array([2.0, 5.0])) == pytest.approx(np.sqrt(0.5 * 1.5**2))


def test_a_perfect_model_scores_nought_and_a_flat_one_scores_one():
    made = resonator(interval=INTERVAL)
    trace = recorded(made, 1000, 0)
    perfect = evaluate(made, trace)
    assert perfect.nrmse < 1e-3
    assert perfect.r2 > 0.999
    assert perfect.spectrum_error < 1e-2
    assert perfect.diverged_at is None
    flat = evaluate(resonator(interval=INTERVAL, gain=0.0, damping=0.9), trace)
    assert flat.nrmse == pytest.approx(1.0, abs=0.05)
    assert flat.r2 == pytest.approx(1 - flat.nrmse**2)


def test_the_scores_hang_together(device):
    scores = evaluate(device, recorded(device, 1500, 3))
    assert scores.r2 == pytest.approx(1 - scores.nrmse**2)
    assert scores.horizon[-1] == (pytest.approx(scores.trace.duration), pytest.approx(scores.nrmse))
    error = scores.prediction - scores.truth
    assert scores.nrmse == pytest.approx(np.sqrt(np.mean(error**2)) / scores.truth.std())
    assert json.loads(json.dumps(scores.to_dict(), allow_nan=False))["samples"] == 1500


def test_the_spectrum_error_counts_amplitudes_and_not_phases():
    t = np.arange(4000)
    wave = np.sin(2 * np.pi * t / 50)[:, None]
    assert spectrum_error(wave, wave) == 0
    assert spectrum_error(wave, 1.3 * wave) == pytest.approx(0.3)
    assert spectrum_error(wave, np.sin(2 * np.pi * t / 50 + 1)[:, None] + 7) < 0.01
    assert spectrum_error(wave, 0 * wave) == pytest.approx(1.0)
    assert spectrum_error(wave, np.sin(2 * np.pi * t / 25)[:, None]) == pytest.approx(np.sqrt(2), rel=0.01)


def test_the_horizon_is_the_error_so_far():
    time = 5.0 + np.arange(1000)
    scaled = np.where(np.arange(1000) < 500, 0.1, 0.3)[:, None]
    curve = horizon_curve(time, scaled)
    assert curve[0] == (1.0, pytest.approx(0.1))
    assert curve[-1] == (999.0, pytest.approx(np.sqrt(0.5 * (0.01 + 0.09))))
    assert [t for t, _ in curve] == sorted({t for t, _ in curve})


def test_divergence_is_an_error_that_stays():
    time = np.arange(1000.0)
    lasting = np.where(time >= 600, 2.0, 0.1)[:, None]
    passing = np.where((time >= 300) & (time < 500), 2.0, 0.1)[:, None]
    assert _diverged_at(time, lasting, None) == pytest.approx(600, abs=26)  # the running mean is 25 samples long
    assert _diverged_at(time, passing, None) is None
    assert _diverged_at(time, passing, 123.0) == 123.0
    assert _diverged_at(time, np.full((1000, 1), 2.0), None) == 0.0


def test_the_predicted_interval_covers_nine_tenths(device):
    """The error of a perfect model is the noise: 1500 independent samples, 90 % within 4 standard errors of 0.8 %."""
    assert evaluate(device, recorded(device, 1500, 5)).coverage == pytest.approx(0.9, abs=4 * 0.008)


def test_steps_outside_the_domain_are_counted(device):
    u = drive_of(1000, 0)
    u[600:] += 40.0
    scores = evaluate(device, recorded(device, 1000, 0, drive=u))
    assert scores.outside_domain == pytest.approx(0.4, abs=0.02)


# --- names and units ------------------------------------------------------------------------------------------------------


def test_own_names_are_found_whatever_their_role(device):
    trace = recorded(device, 100, 0)
    swapped = replace(trace, drive={}, output={**trace.drive, **trace.output})
    named = matched(device, swapped)
    assert list(named.drive) == ["V"]
    assert list(named.output) == ["y"]
    assert named.interpolation == {"V": "spline"}


def test_other_names_take_their_places(device):
    trace = recorded(device, 200, 0)
    other = Trace(trace.time, {}, {"a": trace.output["y"], "b": trace.drive["V"]}, interpolation={"b": "spline"})
    scores = evaluate(device, other, drive=["b"], output=["a"])
    assert scores.nrmse == pytest.approx(evaluate(device, trace).nrmse)
    assert list(scores.trace.output) == ["y"]


def test_a_channel_of_another_name_takes_a_place_only_if_it_is_named(device):
    trace = recorded(device, 200, 0)
    other = Trace(trace.time, {"b": trace.drive["V"]}, {"a": trace.output["y"]})
    with pytest.raises(TraceError, match="no channel 'V' for the drive 'V'"):
        matched(device, other)
    with pytest.raises(TraceError, match="no output 'y' to compare with"):
        evaluate(device, other, drive=["b"])
    named = matched(device, other, drive=["b"], output=["a"])
    assert np.array_equal(named.drive["V"], trace.drive["V"])
    assert np.array_equal(named.output["y"], trace.output["y"])


@pytest.mark.parametrize(
    ("change", "names", "message"),
    [
        ({"drive": {}}, {}, r"no channel 'V' for the drive 'V'; its channels are: y"),
        ({}, {"drive": ["W"]}, "no channel 'W'"),
        ({}, {"drive": ["V", "y"]}, "2 drive names came"),
        ({"output": {"z": np.arange(100.0), "w": np.arange(100.0)}}, {}, "no output 'y' to compare with"),
        ({"units": {"V": "A"}}, {}, "'V' is in A, the surrogate's 'V' is in V"),
        ({"units": {"y": "V"}}, {}, "'y' is in V, the surrogate's 'y' is in T"),
        ({"output": {"y": np.full(100, 0.3)}}, {}, "constant in the chosen stretch"),
        ({"output": {"y": np.r_[np.nan, np.arange(99.0)]}}, {}, "'y' holds 1 NaN"),
    ],
)
def test_a_recording_that_does_not_match_is_refused(device, change, names, message):
    with pytest.raises(TraceError, match=message):
        evaluate(device, replace(recorded(device, 100, 0), **change), **names)


def test_stretches_that_mean_nothing_are_refused(device):
    trace = recorded(device, 400, 0)
    with pytest.raises(TraceError, match="at least 50 are needed for a score"):
        evaluate(device, trace.between(0, 30 * INTERVAL))
    coarse = replace(trace, time=trace.time[::4], drive={"V": trace.drive["V"][::4]}, output={"y": trace.output["y"][::4]})
    with pytest.raises(TraceError, match="cannot be made up"):
        evaluate(device, coarse)


def test_another_interval_is_resampled_and_said(device):
    trace = recorded(resonator(interval=INTERVAL), 800, 0)
    finer = spinode.resample(trace, INTERVAL / 2)
    scores = evaluate(device, finer)
    assert scores.nrmse == pytest.approx(evaluate(device, trace).nrmse, abs=5e-3)
    assert any("resampled from 5 ps to 10 ps" in note for note in scores.notes)


# --- the device changes -----------------------------------------------------------------------------------------------


def change_in(device, trace):
    """As `evaluate` finds it, without the free run."""
    return regime_change(device, trace, short_run_residuals(device, trace))


def test_no_alarm_while_the_device_stays_the_same(device):
    """None in 60 recordings: a true rate of 5 % would show with 95 % probability."""
    traces = recordings(device, [drive_of(800, seed) for seed in range(60)], range(60))
    assert [change_in(device, trace) for trace in traces] == [None] * 60


def test_no_alarm_for_a_drive_that_changes_its_strength(device):
    drives = [drive_of(1000, seed) * np.where(np.arange(1000) < 500, 0.3, 1.0) for seed in range(20)]
    assert [change_in(device, trace) for trace in recordings(device, drives, range(20))] == [None] * 20


def changing(device, after, seeds, at=500, samples=1000):
    """Recordings whose device is another one from sample `at` on."""
    drives = [drive_of(samples, seed) for seed in seeds]
    first = recordings(device, [u[:at] for u in drives], seeds)
    starts = torch.tensor([[float(trace.output["y"][-1]), 0.0] for trace in first], dtype=torch.float64)
    second = recordings(after, [u[at:] for u in drives], [seed + 1 for seed in seeds], starts)
    return [joined(*pair) for pair in zip(first, second, strict=True)]


@pytest.mark.parametrize(
    "after", [resonator(period=8.0, interval=INTERVAL, noise=NOISE), OTHER],
    ids=["another resonance", "another device"],
)  # fmt: skip
def test_a_change_is_found_where_it_happens(device, after):
    """In 20 of 20 recordings, to within 1.5 % of their length."""
    for trace in changing(device, after, range(20)):
        found = change_in(device, trace)
        assert found is not None
        assert found.at == pytest.approx(500 * INTERVAL, abs=15 * INTERVAL)
        assert found.after > 4 * found.before


def test_the_score_before_a_change_is_told_apart(device):
    scores = evaluate(device, changing(device, OTHER, [0])[0])
    assert scores.regime_change_at == pytest.approx(500 * INTERVAL, abs=15 * INTERVAL)
    assert scores.nrmse_before_change < 0.2 * scores.nrmse


def test_a_recording_that_begins_after_the_change_says_so_from_the_start(device):
    for seed in range(3):
        trace = recorded(OTHER, 600, seed)
        late = replace(trace, time=trace.time + 1e-9)
        scores = evaluate(device, late)
        assert scores.regime_change_at == pytest.approx(1e-9), seed
        assert scores.nrmse_before_change is None


@pytest.mark.parametrize(("noise", "steps"), [(0.0, 4), (0.05, 12), (0.2, 24)])
def test_noisier_devices_are_watched_over_longer_runs(noise, steps):
    # A sine of 40 samples per period moves by 0.44, 1.14 and 1.34 (rms) in 4, 12 and 24 samples.
    wave = np.sin(2 * np.pi * np.arange(4000) / 40)[:, None]
    assert clear_steps(wave, np.array([noise])) == steps
