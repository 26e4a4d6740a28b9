"""Resampling: exact for polynomials, of known order otherwise, with a complete record in the provenance."""

from __future__ import annotations

import numpy as np
import pytest

from spinode import Trace, TraceError, TraceWarning, resample
from spinode.traces.resample import fit_spline, low_pass
from spinode.traces.sampling import is_uniform


def make_trace(time, output, drive=None, kind=None):
    drives = {} if drive is None else {"u": drive}
    return Trace(time, drives, {"y": output}, interpolation={"u": kind} if kind else {})


def test_spline_is_exact_for_polynomials_of_fifth_degree():
    generator = np.random.default_rng(0)
    time = np.sort(generator.uniform(0, 10, 40))
    grid = np.linspace(time[0], time[-1], 97)
    for degree in range(6):
        weights = generator.standard_normal(degree + 1)
        error = fit_spline(time, np.polyval(weights, time))(grid) - np.polyval(weights, grid)
        assert np.abs(error).max() < 1e-8 * np.abs(np.polyval(weights, grid)).max()


def test_spline_converges_with_sixth_order():
    errors = []
    for count in (21, 41, 81):
        time = np.linspace(0, 2, count)
        grid = np.linspace(0, 2, 333)
        errors.append(np.abs(fit_spline(time, np.sin(3 * time))(grid) - np.sin(3 * grid)).max())
    assert np.all(np.abs(np.log2(np.array(errors[:-1]) / errors[1:]) - 6) < 0.7)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7])
def test_spline_of_few_samples_is_exact_for_a_line(count):
    time = np.arange(float(count))
    assert np.allclose(fit_spline(time, 2 * time + 1)(time[:-1] + 0.5), 2 * (time[:-1] + 0.5) + 1)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e6])
def test_jitter_is_removed_from_a_sine(scale):
    """Thirty samples per period, each up to a fifth of a step late; the spline returns the sine on the uniform grid."""
    generator = np.random.default_rng(1)
    time = scale * (np.arange(600) + generator.uniform(0, 0.2, 600))
    wave = lambda t: np.sin(2 * np.pi * t / (30 * scale))  # noqa: E731
    result = resample(make_trace(time, wave(time)), scale)
    assert is_uniform(result, scale)
    assert np.abs(result.output["y"] - wave(result.time)).max() < 1e-4
    assert result.provenance["resampled"]["jitter_rms"] == pytest.approx(np.std(np.diff(time)))


def test_uniform_recording_is_unchanged():
    time = 1e-9 * np.arange(200)
    trace = make_trace(time, np.random.default_rng(0).standard_normal(200))
    result = resample(trace)
    assert np.allclose(result.time, time, atol=1e-18)
    assert np.allclose(result.output["y"], trace.output["y"], atol=1e-9)


def test_offset_in_time_changes_nothing():
    time = np.arange(300.0) + 0.1 * np.sin(np.arange(300))
    wave = np.sin(0.2 * time)
    plain, shifted = (resample(make_trace(time + shift, wave), 2.0) for shift in (0.0, 1e6))
    assert np.allclose(plain.output["y"], shifted.output["y"], atol=1e-7)


def test_low_pass_keeps_the_passband_and_removes_power_above_nyquist():
    time = np.arange(4000.0)
    inside = slice(400, -400)
    for period, low, high in ((80, 0.99, 1.01), (40, 0.99, 1.01), (13, 0.0, 2e-3), (5, 0.0, 2e-3)):
        wave = np.sin(2 * np.pi * time / period)
        gain = np.std(low_pass(time, wave, 10.0)[inside]) / np.std(wave[inside])  # Nyquist period: 20
        assert low <= gain <= high, period


def test_power_above_nyquist_aliases_with_a_spline_and_is_recorded():
    time = np.arange(4000.0)
    slow, fast = np.sin(2 * np.pi * time / 160), 0.5 * np.sin(2 * np.pi * time / 13)
    spline, filtered = (resample(make_trace(time, slow + fast), 10.0, method=m) for m in ("spline", "band-limited"))
    truth = np.sin(2 * np.pi * filtered.time / 160)
    inside = slice(40, -40)
    assert np.std((filtered.output["y"] - truth)[inside]) < 0.01
    assert np.std((spline.output["y"] - truth)[inside]) > 0.3
    for each in (spline, filtered):
        assert each.provenance["resampled"]["variance_above_nyquist"]["y"] == pytest.approx(0.2, abs=0.01)
    assert resample(make_trace(time, slow), 10.0).provenance["resampled"]["variance_above_nyquist"]["y"] < 1e-4


def test_held_values_are_never_interpolated():
    time = np.arange(101.0)
    steps = np.repeat([1.0, -2.0, 5.0, 0.5], [30, 20, 40, 11])
    for interval in (0.5, 1.0, 5.0, 10.0):
        result = resample(make_trace(time, np.sin(time / 9), steps, "held"), interval)
        assert np.array_equal(
            result.drive["u"], steps[np.round(result.time).astype(int) if interval >= 1 else result.time.astype(int)]
        )
    assert resample(make_trace(time, np.sin(time / 9), steps), 1.0).provenance["resampled"]["held"] == ["u"]


def test_linear_drives_are_interpolated_linearly():
    time, corners = np.arange(11.0), np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0.0])
    result = resample(make_trace(time, np.sin(time), corners, "linear"), 0.25)
    assert np.allclose(result.drive["u"], np.interp(result.time, time, corners), atol=1e-12)
    assert result.interpolation == {"u": "linear"}


def test_provenance_records_the_resampling():
    time = 1e-9 * np.arange(100)
    result = resample(make_trace(time, np.sin(np.arange(100) / 9)), 2e-9)
    record = result.provenance["resampled"]
    assert record["from_interval"] == pytest.approx(1e-9)
    assert record["to_interval"] == 2e-9
    assert record["samples"] == [100, 50]
    assert record["method"] == "spline"
    assert record["longest_gap"] is None


def test_gap_is_reported():
    keep = np.r_[0:50, 80:130]
    time = 1e-9 * keep
    with pytest.warns(TraceWarning, match=r"there are no samples from 4.9e-08 s to 8e-08 s"):
        result = resample(make_trace(time, np.sin(keep / 9)), 1e-9)
    assert result.provenance["resampled"]["longest_gap"] == pytest.approx([4.9e-8, 8e-8])
    held = Trace(time, {"u": np.repeat([1.0, 2.0], 50)}, {}, interpolation={"u": "held"})
    with pytest.warns(TraceWarning, match="held drive 'u' is not known"):  # it changes somewhere in the gap
        assert len(resample(held, 1e-9)) == 130  # held drives need no samples within a gap


@pytest.mark.parametrize(
    ("time", "options", "message"),
    [
        (np.arange(10.0), {"interval": 0.0}, "pass a positive interval"),
        (np.arange(10.0), {"interval": -1.0}, "pass a positive interval"),
        (np.arange(10.0), {"interval": float("nan")}, "pass a positive interval"),
        (np.arange(10.0), {"interval": "1"}, "pass a positive interval"),
        (np.arange(10.0), {"interval": 6.0}, "at most half its length"),
        (np.arange(10.0), {"method": "magic"}, "the resampling method 'magic' is unknown"),
        (np.r_[0:5, 4:9] * 1.0, {}, "time repeats after sample 4"),
        (np.arange(10.0)[::-1], {}, "time runs backwards after sample 0"),
        (np.array([0, 1, np.inf, *range(3, 10)]), {}, "'time' has 1 NaN or infinite"),
    ],
)
def test_invalid_arguments_and_samples_are_refused(time, options, message):
    with pytest.raises(TraceError, match=message):
        resample(make_trace(time, np.sin(np.arange(10))), **options)


def test_one_sample_is_refused():
    with pytest.raises(TraceError, match="has 1 samples; at least 2 are needed"):
        resample(make_trace([0.0], [1.0]))


@pytest.mark.filterwarnings("ignore::spinode.TraceWarning")
@pytest.mark.parametrize("times", [np.append(np.arange(239) * 1e-9, 1.0), np.geomspace(1e-12, 10, 240)])
def test_wrong_or_logarithmic_times_are_refused_before_a_grid_is_made(times):
    trace = Trace(times, {"u": np.arange(240.0) % 7}, {"y": np.arange(240.0) % 5})
    with pytest.raises(TraceError, match=r"240 samples would need a regular grid of .* points.*the widest gap is"):
        resample(trace, float(np.median(np.diff(times))))
