"""Signs of rectified outputs are restored from smoothness and drive; rectification is detected without false alarms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from spinode.traces.unfold import is_rectified, smooth_signs, unfold


def motor(samples=1200, seed=0, noise=0.0, bias=0.0):
    """Return a held drive, the speed of a motor of second order, and what a sensor without direction records."""
    generator = np.random.default_rng(seed)
    drive = np.repeat(generator.normal(size=samples // 25 + 1) + bias, 25)[:samples]
    numerator, denominator, _ = signal.cont2discrete(([0.05], [1, 0.25, 0.05]), 1.0)
    speed = signal.lfilter(numerator[0], denominator, drive)
    return drive[:, None], speed, np.abs(speed) + noise * speed.std() * generator.normal(size=samples)


def wrong_signs(speeds, restored):
    """Return the share of wrong signs among samples that are clearly not zero."""
    truth, found = np.concatenate(speeds), np.concatenate(restored)
    clear = np.abs(truth) > 0.2 * truth.std()
    return np.mean((np.sign(truth) != np.sign(found))[clear])


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("bias", [0.0, 0.5])
def test_signs_of_several_recordings_are_restored_together(noise, bias):
    recordings = [motor(seed=seed, noise=noise, bias=bias, samples=700) for seed in (0, 1)]
    restored = unfold([each[2] for each in recordings], [each[0] for each in recordings])
    assert wrong_signs([each[1] for each in recordings], restored) <= 0.002
    assert all(np.array_equal(np.abs(a), np.abs(b[2])) for a, b in zip(restored, recordings, strict=True))


def test_signs_after_a_rest_follow_the_drive():
    """The device rests between pulses of either sign: smoothness alone cannot tell their directions."""
    generator = np.random.default_rng(0)
    drive = np.zeros(1600)
    for start in range(20, 1600, 80):
        drive[start : start + 20] = generator.choice([-1.0, 1.0]) * generator.uniform(0.5, 1.5)
    numerator, denominator, _ = signal.cont2discrete(([0.2], [1, 0.8, 0.2]), 1.0)
    speed = signal.lfilter(numerator[0], denominator, drive)
    (restored,) = unfold([np.abs(speed)], [drive[:, None]])
    assert wrong_signs([speed], [restored]) == 0


def test_without_drives_the_signal_is_smooth_and_begins_positive():
    wave = np.sin(np.linspace(0.3, 40, 500))
    (restored,) = unfold([np.abs(wave)], [np.zeros((500, 0))])
    assert np.allclose(restored, wave)


def test_signs_are_those_of_the_smoothest_sequence():
    """Dynamic programming finds the least sum of squared third differences among all sequences of signs."""
    values = np.abs(np.random.default_rng(3).normal(size=10))
    found = np.sum(np.diff(values * smooth_signs(values), 3) ** 2)
    every = ((np.arange(2**10)[:, None] >> np.arange(10)) % 2) * 2 - 1
    assert found == pytest.approx(np.min(np.sum(np.diff(values * every, 3) ** 2, axis=1)))


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_rectified_speed_is_detected(noise):
    drive, _, recorded = motor(noise=noise)
    assert is_rectified([recorded], [drive])
    assert is_rectified([recorded])


@pytest.mark.parametrize("kind", ["signed", "positive", "squared", "pulses", "touches once", "decay"])
def test_output_that_is_not_rectified_is_not_detected(kind):
    drive, speed, _ = motor()
    output = {
        "signed": speed,
        "positive": speed - speed.min() + 0.1,
        "squared": speed**2,
        "pulses": np.repeat(np.random.default_rng(0).choice([0.0, 1.0], 60), 20),
        "touches once": np.abs(np.linspace(-1, 1, 1200)),
        "decay": np.exp(-np.arange(1200) / 100),
    }[kind]
    assert not is_rectified([output], [drive[: len(output)]])
