"""Resampling: exact where it can be, of known order elsewhere, and honest about what it did."""

from __future__ import annotations

import numpy as np
import pytest

from spinode import Trace, TraceError, TraceWarning, resample
from spinode.traces.resample import band_limited, change_times, held_on, is_uniform, recorded_interpolation, spline_of


def trace_of(time, output, drive=None, kind=None):
    drives = {} if drive is None else {"u": drive}
    return Trace(time, drives, {"y": output}, interpolation={"u": kind} if kind else {})


def test_the_spline_is_exact_on_polynomials_of_fifth_degree():
    generator = np.random.default_rng(0)
    time = np.sort(generator.uniform(0, 10, 40))
    grid = np.linspace(time[0], time[-1], 97)
    for degree in range(6):
        weights = generator.standard_normal(degree + 1)
        error = spline_of(time, np.polyval(weights, time))(grid) - np.polyval(weights, grid)
        assert np.abs(error).max() < 1e-8 * np.abs(np.polyval(weights, grid)).max()


def test_the_spline_converges_with_sixth_order():
    errors = []
    for count in (21, 41, 81):
        time = np.linspace(0, 2, count)
        grid = np.linspace(0, 2, 333)
        errors.append(np.abs(spline_of(time, np.sin(3 * time))(grid) - np.sin(3 * grid)).max())
    assert np.all(np.abs(np.log2(np.array(errors[:-1]) / errors[1:]) - 6) < 0.7)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7])
def test_a_line_survives_however_few_samples_there_are(count):
    time = np.arange(float(count))
    assert np.allclose(spline_of(time, 2 * time + 1)(time[:-1] + 0.5), 2 * (time[:-1] + 0.5) + 1)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e6])
def test_jitter_is_removed_from_a_sine(scale):
    """Thirty samples per period, each up to a fifth of a step late: the spline knows the sine at the even instants."""
    generator = np.random.default_rng(1)
    time = scale * (np.arange(600) + generator.uniform(0, 0.2, 600))
    wave = lambda t: np.sin(2 * np.pi * t / (30 * scale))  # noqa: E731
    back = resample(trace_of(time, wave(time)), scale)
    assert is_uniform(back, scale)
    assert np.abs(back.output["y"] - wave(back.time)).max() < 1e-4
    assert back.provenance["resampled"]["jitter_rms"] == pytest.approx(np.std(np.diff(time)))


def test_a_uniform_recording_is_left_alone():
    time = 1e-9 * np.arange(200)
    trace = trace_of(time, np.random.default_rng(0).standard_normal(200))
    back = resample(trace)
    assert np.allclose(back.time, time, atol=1e-18)
    assert np.allclose(back.output["y"], trace.output["y"], atol=1e-9)


def test_an_offset_in_time_changes_nothing():
    time = np.arange(300.0) + 0.1 * np.sin(np.arange(300))
    wave = np.sin(0.2 * time)
    plain, late = (resample(trace_of(time + shift, wave), 2.0) for shift in (0.0, 1e6))
    assert np.allclose(plain.output["y"], late.output["y"], atol=1e-7)


def test_the_passband_is_kept_and_what_lies_above_nyquist_is_taken_out():
    time = np.arange(4000.0)
    inside = slice(400, -400)
    for period, low, high in ((80, 0.99, 1.01), (40, 0.99, 1.01), (13, 0.0, 2e-3), (5, 0.0, 2e-3)):
        wave = np.sin(2 * np.pi * time / period)
        gain = np.std(band_limited(time, wave, 10.0)[inside]) / np.std(wave[inside])  # Nyquist period: 20
        assert low <= gain <= high, period


def test_power_above_nyquist_aliases_with_a_spline_alone_and_is_accounted_for():
    time = np.arange(4000.0)
    slow, fast = np.sin(2 * np.pi * time / 160), 0.5 * np.sin(2 * np.pi * time / 13)
    spline, filtered = (resample(trace_of(time, slow + fast), 10.0, method=m) for m in ("spline", "band-limited"))
    truth = np.sin(2 * np.pi * filtered.time / 160)
    inside = slice(40, -40)
    assert np.std((filtered.output["y"] - truth)[inside]) < 0.01
    assert np.std((spline.output["y"] - truth)[inside]) > 0.3
    for each in (spline, filtered):
        assert each.provenance["resampled"]["variance_above_nyquist"]["y"] == pytest.approx(0.2, abs=0.01)
    assert resample(trace_of(time, slow), 10.0).provenance["resampled"]["variance_above_nyquist"]["y"] < 1e-4


def test_held_values_are_looked_up_never_mixed():
    time = np.arange(101.0)
    steps = np.repeat([1.0, -2.0, 5.0, 0.5], [30, 20, 40, 11])
    for interval in (0.5, 1.0, 5.0, 10.0):
        back = resample(trace_of(time, np.sin(time / 9), steps, "held"), interval)
        assert np.array_equal(
            back.drive["u"], steps[np.round(back.time).astype(int) if interval >= 1 else back.time.astype(int)]
        )
    assert resample(trace_of(time, np.sin(time / 9), steps), 1.0).provenance["resampled"]["held"] == ["u"]


def test_a_held_pulse_keeps_its_area_on_a_coarser_grid():
    time = np.arange(120.0)
    pulse = np.where((time >= 37) & (time < 44), 3.0, 0.0)
    grid = np.arange(0.0, 120.0, 10.0)
    assert 10.0 * held_on(time, pulse, grid).sum() == pytest.approx(3.0 * 7)


def test_changes_of_a_jittering_recorder_are_placed_on_the_clock_of_the_generator():
    generator = np.random.default_rng(0)
    time = np.arange(400) + generator.uniform(0, 0.3, 400)
    levels = generator.uniform(-1, 1, 40)
    values = levels[np.minimum(time // 10, 39).astype(int)]
    instants, held = change_times(time, values)
    assert np.array_equal(held, levels)
    gaps = np.diff(instants[1:])
    assert np.abs(gaps - 10).max() < 0.02


def test_linear_drives_stay_polygons():
    time, corners = np.arange(11.0), np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0.0])
    back = resample(trace_of(time, np.sin(time), corners, "linear"), 0.25)
    assert np.allclose(back.drive["u"], np.interp(back.time, time, corners), atol=1e-12)
    assert back.interpolation == {"u": "linear"}


def test_how_a_drive_ran_is_judged_from_its_samples():
    generator = np.random.default_rng(0)
    assert recorded_interpolation(np.repeat(generator.standard_normal(50), 5)) == "held"
    assert recorded_interpolation(np.ones(10)) == "held"
    assert recorded_interpolation(generator.standard_normal(200)) == "spline"
    assert recorded_interpolation(np.sin(np.arange(200) / 7)) == "spline"


def test_the_account_says_what_was_done():
    time = 1e-9 * np.arange(100)
    back = resample(trace_of(time, np.sin(np.arange(100) / 9)), 2e-9)
    account = back.provenance["resampled"]
    assert account["from_interval"] == pytest.approx(1e-9)
    assert account["to_interval"] == 2e-9
    assert account["samples"] == [100, 50]
    assert account["method"] == "spline"
    assert account["longest_gap"] is None


def test_a_gap_is_said():
    keep = np.r_[0:50, 80:130]
    time = 1e-9 * keep
    with pytest.warns(TraceWarning, match=r"nothing was recorded from 4.9e-08 s to 8e-08 s"):
        back = resample(trace_of(time, np.sin(keep / 9)), 1e-9)
    assert back.provenance["resampled"]["longest_gap"] == pytest.approx([4.9e-8, 8e-8])
    alone = Trace(time, {"u": np.repeat([1.0, 2.0], 50)}, {}, interpolation={"u": "held"})
    assert len(resample(alone, 1e-9)) == 130  # steps that were held need no samples between them


@pytest.mark.parametrize(
    ("time", "options", "message"),
    [
        (np.arange(10.0), {"interval": 0.0}, "pass a positive interval"),
        (np.arange(10.0), {"interval": -1.0}, "pass a positive interval"),
        (np.arange(10.0), {"interval": float("nan")}, "pass a positive interval"),
        (np.arange(10.0), {"interval": 6.0}, "at most half its length"),
        (np.arange(10.0), {"method": "magic"}, "method 'magic' is unknown"),
        (np.r_[0:5, 4:9] * 1.0, {}, "time repeats after sample 4"),
        (np.arange(10.0)[::-1], {}, "time runs backwards after sample 0"),
        (np.array([0, 1, np.inf, *range(3, 10)]), {}, "'time' holds 1 NaN or infinite"),
    ],
)
def test_what_cannot_be_resampled_is_refused(time, options, message):
    with pytest.raises(TraceError, match=message):
        resample(trace_of(time, np.sin(np.arange(10))), **options)


def test_one_sample_is_too_few():
    with pytest.raises(TraceError, match="holds 1 samples; at least 2 are needed"):
        resample(trace_of([0.0], [1.0]))


def test_last_digits_that_wiggle_are_no_steps_and_a_burst_is_not_held():
    steps = np.repeat([1.0, 2.0, 1.5, 3.0], 100)
    wiggling = steps * (1 + 1e-7 * (np.arange(400) % 10 < 3) * (np.arange(400) % 2))
    assert recorded_interpolation(wiggling) == "held"
    burst = np.concatenate([np.zeros(450), np.sin(np.arange(550) / 7)])
    assert recorded_interpolation(burst) == "spline"
