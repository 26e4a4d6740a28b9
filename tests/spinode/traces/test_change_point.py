"""Detection of a change of regime: false alarms, power, and location."""

import numpy as np
import pytest
from scipy.signal import lfilter

from spinode import Trace
from spinode.traces.change_point import detect_statistics_change
from spinode.traces.inspect import diagnose


def steps(rng, length, hold):
    return np.repeat(rng.uniform(-1, 1, length // hold + 1), hold)[:length]


def resonator(drive, period=50.0, quality=15.0):
    """Return the response of a damped oscillator; the period is in samples."""
    radius = np.exp(-np.pi / (period * quality))
    return lfilter([1.0], [1.0, -2 * radius * np.cos(2 * np.pi / period), radius**2], drive)


def telegraph(rng, length, dwell):
    return np.cumsum(rng.random(length) < 1 / dwell) % 2 * 1.0


def modulated(rng, length):
    return steps(rng, length, 50) * np.sin(0.12 * np.arange(length))


ONE_REGIME = {
    "white noise": lambda rng, n: (rng.normal(size=n), []),
    "heavy tails": lambda rng, n: (rng.standard_t(2, size=n), []),
    "random walk": lambda rng, n: (np.cumsum(rng.normal(size=n)), []),
    "beat": lambda rng, n: (np.sin(0.13 * np.arange(n)) + np.sin(rng.uniform(0.128, 0.132) * np.arange(n)), []),
    "telegraph": lambda rng, n: (telegraph(rng, n, 200), []),
    "slow telegraph with noise": lambda rng, n: (telegraph(rng, n, 1000) + 0.05 * rng.normal(size=n), []),
    "held": lambda rng, n: (steps(rng, n, 40), []),
    "resonator under modulation": lambda rng, n: (resonator(modulated(rng, n)), []),
    "resonator under steps": lambda rng, n: (resonator(steps(rng, n, 40)), []),
    "resonator under slow steps": lambda rng, n: (resonator(steps(rng, n, 400)), []),
    "resonator under telegraph": lambda rng, n: (resonator(telegraph(rng, n, 300)), []),
    "ring-down": lambda rng, n: (np.exp(-np.arange(n) * 5 / n) * np.sin(0.13 * np.arange(n)), []),
    "louder drive": lambda rng, n: (lambda u: (resonator(u), [u]))(
        steps(rng, n, 10) * np.where(np.arange(n) < n * rng.uniform(0.2, 0.8), 1.0, 0.25)
    ),
}


@pytest.mark.parametrize("kind", ONE_REGIME)
def test_false_alarm_rate(kind):
    """The rate is at most 1 %: four or more alarms in 60 recordings then have a probability of 0.3 %."""
    alarms = 0
    for seed in range(30):
        for length in (3000, 8000):
            output, drives = ONE_REGIME[kind](np.random.default_rng(seed), length)
            alarms += detect_statistics_change(np.arange(length) * 1.0, output, drives) is not None
    assert alarms <= 3


def test_collapse_of_the_amplitude_is_found_and_located():
    """A drop to a tenth is found in at least 9 of 10 recordings, to within 1/60 of the recording."""
    errors, length = [], 6000
    for seed in range(30):
        rng = np.random.default_rng(seed)
        place = int(length * rng.uniform(0.2, 0.8))
        output = resonator(steps(rng, length, 10)) * np.where(np.arange(length) < place, 1.0, 0.1)
        change = detect_statistics_change(np.arange(length) * 1e-12, output)
        if change is not None:
            errors.append(change.at / 1e-12 - place)
            assert 0.03 < change.amplitude < 0.4
    assert len(errors) >= 27
    assert np.median(np.abs(errors)) < length / 60


def test_change_of_frequency_is_found():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        place = rng.uniform(0.3, 0.7) * 6000
        phase = np.cumsum(np.where(np.arange(6000) < place, 0.06, 0.18))
        change = detect_statistics_change(np.arange(6000) * 1.0, np.sin(phase) + 0.02 * rng.normal(size=6000))
        assert change is not None
        assert change.at == pytest.approx(place, abs=300)
        assert change.speed == pytest.approx(3.0, rel=0.3)


def test_change_caused_by_the_drive_is_not_reported():
    rng = np.random.default_rng(0)
    drive = steps(rng, 6000, 10) * np.where(np.arange(6000) < 3000, 1.0, 0.1)
    output = resonator(drive)
    time = np.arange(6000) * 1e-12
    assert detect_statistics_change(time, output) is not None
    assert detect_statistics_change(time, output, [drive]) is None
    assert diagnose(Trace(time, {"u": drive}, {"m": output})) == []


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e12])
def test_scale_and_offset_have_no_effect(scale):
    rng = np.random.default_rng(1)
    output = resonator(steps(rng, 6000, 10)) * np.where(np.arange(6000) < 4000, 1.0, 0.05)
    time = np.arange(6000) * 1.0
    reference = detect_statistics_change(time, output)
    other = detect_statistics_change(1e-12 * time + 5.0, scale * (output - 3.0))
    assert reference is not None
    assert other is not None
    assert other.at - 5.0 == pytest.approx(1e-12 * reference.at, abs=1e-14)


@pytest.mark.parametrize("output", [np.zeros(6000), np.full(6000, np.nan), np.zeros(3), np.zeros(0)])
def test_constant_empty_and_short_outputs_have_no_change(output):
    assert detect_statistics_change(np.arange(len(output)) * 1.0, output) is None


@pytest.mark.parametrize(
    ("file", "at"),
    [
        ("1skyrmion_voltage_table.txt", None),
        ("1skyrmion_PMA_DMI_train_table.txt", None),
        ("1skyrmion_test_Ku_ext_DMI_table.txt", None),
        ("llg_held_50ps_30ns.csv", None),
        ("llg_held_10ps_30ns.csv", 10.9e-9),
    ],
)
def test_measured_traces_with_and_without_a_collapse(shared, file, at):
    from spinode.datasets import read_trace

    issues = [
        issue for issue in diagnose(read_trace(shared / "data" / "spin_neural_ode" / file)) if issue.code == "regime-change"
    ]
    if at is None:
        assert issues == []
    else:
        (issue,) = issues
        assert issue.channel == "mz"
        assert issue.at == pytest.approx(at, abs=0.1e-9)
