"""The interval of a fit follows from the fastest motion, is a whole multiple of the recorded one, and blurs no held step."""

from __future__ import annotations

import numpy as np
import pytest

from spinode import Trace
from spinode.traces.interval import candidate_intervals, choose_interval, fastest_frequency
from spinode.traces.sampling import base_interval


def motion(frequency, rate=1000.0, duration=25.0, noise=0.0, seed=0):
    """Return times, a drive and an output with motion up to a frequency [Hz]."""
    generator = np.random.default_rng(seed)
    time = np.arange(int(duration * rate)) / rate
    tones, phases = generator.uniform(0.1 * frequency, frequency, (2, 8))
    tones[0] = frequency
    drive, output = (np.sin(2 * np.pi * np.outer(time, tones) + shift * phases).sum(1) for shift in (1, 2))
    return time, drive, output + noise * output.std() * generator.normal(size=len(time))


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("frequency", [1.0, 3.0])
def test_recording_much_finer_than_its_motion_is_decimated_to_some_samples_per_period(frequency, noise):
    time, drive, output = motion(frequency, noise=noise)
    choice = choose_interval([Trace(time, {"u": drive}, {"y": output}, interpolation={"u": "spline"})])
    per_period = 1 / (frequency * choice.interval)
    assert 12 <= per_period <= 25 or choice.factor == 31  # 31 leave 800 samples
    assert choice.interval == choice.factor * choice.recorded
    assert str(choice.factor) in choice.reason


@pytest.mark.parametrize("per_period", [3, 8, 15, 25])
def test_fitting_rate_is_kept_bit_for_bit(per_period):
    time, drive, output = motion(1000.0 / per_period)
    choice = choose_interval([Trace(time, {"u": drive}, {"y": output}, interpolation={"u": "spline"})])
    assert choice.factor == 1
    assert choice.interval == float(np.median(np.diff(time)))


def test_broadband_signal_is_not_taken_for_noise():
    drive = np.random.default_rng(0).normal(size=20_000)
    slow = np.sin(2 * np.pi * 0.001 * np.arange(20_000))
    choice = choose_interval([Trace(np.arange(20_000.0), {"u": drive}, {"y": slow}, interpolation={"u": "spline"})])
    assert choice.factor == 1


def test_fastest_frequency_of_a_two_tone_signal_is_that_of_the_weaker_one():
    time = np.arange(20_000.0)
    wave = np.sin(2 * np.pi * 0.002 * time) + 0.1 * np.sin(2 * np.pi * 0.03 * time)
    assert fastest_frequency(wave, 1.0) == pytest.approx(0.03, rel=0.05)
    assert fastest_frequency(np.ones(1000), 1.0) == 0.0


@pytest.mark.parametrize(("hold", "allowed"), [(60, {1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60}), (7, {1, 7}), (200, None)])
def test_interval_divides_the_time_for_which_a_drive_is_held(hold, allowed):
    time, _, output = motion(1.0)
    levels = np.random.default_rng(1).normal(size=len(time) // hold + 1)
    drive = np.repeat(levels, hold)[: len(time)]
    choice = choose_interval([Trace(time, {"u": drive}, {"y": output}, interpolation={"u": "held"})])
    assert hold % choice.factor == 0
    assert choice.factor > 1
    assert allowed is None or set(choice.divides) <= allowed
    assert all(round(each / choice.recorded) in choice.divides for each in candidate_intervals(choice))


def test_drive_held_for_irregular_times_is_never_blurred():
    time, _, output = motion(1.0)
    changes = np.sort(np.random.default_rng(1).choice(np.arange(1, len(time)), 100, replace=False))
    drive = np.searchsorted(changes, np.arange(len(time)), side="right") % 7 * 1.0
    choice = choose_interval([Trace(time, {"u": drive}, {"y": output}, interpolation={"u": "held"})])
    assert choice.factor == 1
    assert "held" in choice.reason


def test_missing_samples_change_little():
    time, drive, output = motion(2.0)
    whole = Trace(time, {"u": drive}, {"y": output}, interpolation={"u": "spline"})
    present = np.random.default_rng(0).random(len(time)) < 0.7
    thinned = Trace(time[present], {"u": drive[present]}, {"y": output[present]}, interpolation={"u": "spline"})
    expected = choose_interval([whole]).interval
    assert choose_interval([whole.masked(present)]).interval == pytest.approx(expected, rel=0.15)
    assert choose_interval([thinned]).interval == pytest.approx(expected, rel=0.15)


def test_candidates_surround_the_choice():
    time, drive, output = motion(2.0)
    choice = choose_interval([Trace(time, {"u": drive}, {"y": output}, interpolation={"u": "spline"})])
    candidates = candidate_intervals(choice)
    assert candidates[0] == choice.interval
    assert max(candidates) <= choice.period / 8
    assert min(candidates) >= choice.recorded


@pytest.mark.parametrize("jitter", [0.0, 1e-3])
def test_base_interval_is_that_of_the_grid_with_rows_left_out(jitter):
    generator = np.random.default_rng(0)
    time = 1e-11 * (np.arange(4000) + jitter * generator.uniform(-1, 1, 4000))
    for share in (1.0, 0.7, 0.3):
        keep = generator.random(4000) < share
        trace = Trace(time[keep], output={"y": np.zeros(keep.sum())})
        assert base_interval(trace) == pytest.approx(1e-11, rel=2e-3)


def test_base_interval_of_random_times_is_the_median():
    time = np.cumsum(np.random.default_rng(0).exponential(size=1000))
    assert base_interval(Trace(time, output={"y": time})) == np.median(np.diff(time))
