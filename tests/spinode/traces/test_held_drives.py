"""Held drives: recognition, times of their changes, and averages over a coarser grid."""

import numpy as np
import pytest

from spinode import Trace, resample
from spinode.errors import TraceWarning
from spinode.traces.held_clock import clock_ticks
from spinode.traces.held_drives import average_held, change_times, infer_interpolation, unknown_share


def test_average_preserves_the_area_of_a_pulse():
    time = np.arange(120.0)
    pulse = np.where((time >= 37) & (time < 44), 3.0, 0.0)
    grid = np.arange(0.0, 120.0, 10.0)
    assert 10.0 * average_held(time, pulse, grid).sum() == pytest.approx(3.0 * 7)


def test_change_times_of_a_jittering_recorder_are_on_the_clock_of_the_generator():
    generator = np.random.default_rng(0)
    time = np.arange(400) + generator.uniform(0, 0.3, 400)
    levels = generator.uniform(-1, 1, 40)
    samples = levels[np.minimum(time // 10, 39).astype(int)]
    times, values = change_times(time, samples)
    assert np.array_equal(values, levels)
    steps = np.diff(times[1:])
    assert np.abs(steps - 10).max() < 0.02


def test_infer_interpolation():
    generator = np.random.default_rng(0)
    assert infer_interpolation(np.repeat(generator.standard_normal(50), 5)) == "held"
    assert infer_interpolation(np.ones(10)) == "held"
    assert infer_interpolation(generator.standard_normal(200)) == "spline"
    assert infer_interpolation(np.sin(np.arange(200) / 7)) == "spline"


def test_noise_in_the_last_digits_is_ignored_and_a_burst_is_not_held():
    steps = np.repeat([1.0, 2.0, 1.5, 3.0], 100)
    noisy = steps * (1 + 1e-7 * (np.arange(400) % 10 < 3) * (np.arange(400) % 2))
    assert infer_interpolation(noisy) == "held"
    burst = np.concatenate([np.zeros(450), np.sin(np.arange(550) / 7)])
    assert infer_interpolation(burst) == "spline"


@pytest.mark.parametrize("hold", [5, 20])
def test_clock_of_a_held_drive_is_found_though_rows_are_left_out(hold):
    time = 1e-11 * np.arange(3000)
    levels = np.repeat(np.random.default_rng(0).normal(size=3000 // hold), hold)
    keep = np.random.default_rng(1).random(3000) < 0.7
    keep[0] = True
    seen = np.repeat(keep.reshape(-1, hold).any(1), hold)
    assert seen.mean() > 0.99
    assert np.array_equal(average_held(time[keep], levels[keep], time)[seen], levels[seen])


@pytest.mark.parametrize("jitter", [0.0, 0.1, 0.3])
def test_clock_is_found_though_half_of_the_rows_are_missing_and_lie_on_no_grid(jitter):
    generator = np.random.default_rng(3)
    time = np.arange(4000) + generator.uniform(-jitter, jitter, 4000) / 2
    levels = generator.uniform(-1, 1, 200)
    values = levels[np.clip(np.floor(time / 20 + 1e-9).astype(int), 0, 199)]
    keep = generator.random(4000) < 0.5
    keep[0] = True
    got = average_held(1e-9 * time[keep], values[keep], 1e-9 * np.arange(4000.0))
    assert np.mean(np.abs(got - np.repeat(levels, 20)) > 1e-9) < 0.001
    assert unknown_share(1e-9 * time[keep], values[keep]) == 0.0


def test_drive_that_cannot_be_known_is_reported():
    generator = np.random.default_rng(0)
    time = np.cumsum(generator.uniform(0.5, 8, 1500))
    changes = np.cumsum(generator.exponential(17, 400))
    values = generator.uniform(-1, 1, 401)[np.searchsorted(changes, time)]
    assert unknown_share(time, values) > 0.005
    with pytest.warns(TraceWarning, match="the held drive 'u' is not known for about"):
        resample(Trace(time, {"u": values}, {"y": np.sin(time / 50)}, interpolation={"u": "held"}), 4.0)


def test_random_changes_fit_no_clock():
    generator = np.random.default_rng(1)
    for _ in range(20):
        changes = np.cumsum(generator.exponential(20, 100))
        assert clock_ticks(changes - generator.uniform(0.1, 4, 100), changes) is None
