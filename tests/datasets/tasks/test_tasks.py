"""Tasks of reservoirs: their equations, published statistics, and input that cannot be used."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.io.wavfile
import torch

from spinode.datasets import (
    capacity,
    delayed,
    digit_inputs,
    mackey_glass,
    modulated_sine,
    narma,
    parity,
    random_bits,
    random_steps,
    sine_square,
    spoken_digits,
)
from spinode.errors import ConfigError, TraceError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# Series


def test_mackey_glass_fulfils_its_equation():
    x = mackey_glass(4000, interval=0.1, substeps=10, tau=17.0)
    slope = (8 * (x[3:-1] - x[1:-3]) - (x[4:] - x[:-4])) / 1.2
    late, now = x[2:-172], x[172:-2]
    expected = 0.2 * late / (1 + late**10) - 0.1 * now
    torch.testing.assert_close(slope[170:], expected, rtol=0, atol=2e-6)


def test_mackey_glass_converges_with_the_fourth_power_of_the_step():
    exact = mackey_glass(40, substeps=80, washout=0)
    errors = [float((mackey_glass(40, substeps=n, washout=0) - exact)[1:].abs().max()) for n in (5, 10)]
    assert 10 < errors[0] / errors[1] < 24


def test_mackey_glass_has_the_statistics_of_the_published_series(shared):
    published = np.loadtxt(shared / "data/spin_neural_ode/mg.txt").ravel()
    made = mackey_glass(10_000).numpy()
    for one, two in ((made.mean(), published.mean()), (made.std(), published.std()), (made.max(), published.max())):
        assert one == pytest.approx(two, rel=0.01)


def test_narma_fulfils_its_recursion():
    u, y = narma(300, generator=generator())
    t = 200
    expected = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
    assert float(y[t + 1]) == pytest.approx(float(expected))
    assert 0 <= float(u.min()) <= float(u.max()) <= 0.5


def test_sine_and_square():
    wave, kind = sine_square(100, generator=generator())
    assert wave.shape == kind.shape == (800,)
    periods = wave.reshape(100, 8)
    square = kind.reshape(100, 8)[:, 0] == 1
    assert set(periods[square].unique().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(periods[~square][0], torch.sin(2 * math.pi * torch.arange(8, dtype=torch.float64) / 8))
    assert 25 < int(square.sum()) < 75


def test_capacities_of_what_is_known():
    u = random_bits(2000, generator=generator())
    past, odd = delayed(u, 3), parity(u, 3)
    assert past[10].tolist() == [u[9], u[8], u[7]]
    assert odd[10].tolist() == [(u[10] + u[9]) % 2, (u[10] + u[9] + u[8]) % 2, u[7:11].sum() % 2]
    torch.testing.assert_close(capacity(past, past), torch.ones(3, dtype=torch.float64))
    noise = torch.randn(2000, 3, generator=generator(), dtype=torch.float64)
    assert float(capacity(noise, past).max()) < 0.02


# Drives


def test_random_steps_fill_their_range_and_keep_their_times():
    drive = random_steps(-1.0, 3.0, duration=1e-6, interval=1e-10, hold=(1e-9, 1e-8), generator=generator())
    assert drive.shape == (10_000,)
    assert -1 <= float(drive.min()) < -0.9
    assert 2.9 < float(drive.max()) <= 3
    changes = torch.diff((torch.diff(drive) != 0).nonzero().squeeze())
    assert int(changes.min()) >= 10
    assert int(changes.max()) <= 100
    pairs = random_steps(0, 1, duration=1.0, interval=0.1, hold=0.2, generator=generator())
    assert torch.equal(pairs[::2], pairs[1::2])


def test_a_modulated_sine_is_zero_between_its_periods():
    drive = modulated_sine(2.0, 0.5, frequency=1e9, duration=1e-8, interval=1e-11, generator=generator())
    torch.testing.assert_close(drive[::50], torch.full((20,), 2.0, dtype=torch.float64))
    assert float((drive - 2).abs().max()) <= 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mackey_glass(0), "length is 0"),
        (lambda: mackey_glass(10, tau=0.33), "tau a multiple"),
        (lambda: narma(10, order=30, generator=generator()), "order is 30"),
        (lambda: sine_square(3, samples=5, generator=generator()), "samples is 5"),
        (lambda: delayed(torch.ones(5), 5), "longest delay is 5"),
        (lambda: parity(torch.full((9,), 0.5), 2), "parity is that of bits"),
        (lambda: random_steps(1, 0, duration=1, interval=0.1, hold=0.1, generator=generator()), "levels run from 1 to 0"),
        (lambda: random_steps(0, 1, duration=1, interval=0.1, hold=0, generator=generator()), "hold is 0"),
        (
            lambda: random_steps(0, 1, duration=1, interval=0.1, hold=2, generator=generator()),
            "held up to 2 s, and the drive lasts 1 s",
        ),
        (lambda: random_steps(0, 1, duration=1, interval=1, hold=1, generator=generator()), "expected two intervals"),
        (lambda: random_steps(0, 1, duration=1, interval=1e-12, hold=0.1, generator=generator()), "expected at most 1000000"),
        (lambda: modulated_sine(0, 1, frequency=5, duration=1, interval=0.1, generator=generator()), "ten samples a period"),
    ],
)
def test_what_cannot_be(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


# Spoken digits


def tone(rate=8000, seconds=0.3, frequency=440.0, level=0.5):
    return (level * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate) * 32767).astype(np.int16)


def write(folder, name, samples, rate=8000):
    scipy.io.wavfile.write(folder / name, rate, samples)


def test_recordings_are_read_from_wave_files(tmp_path):
    for digit in (0, 7):
        for number in (0, 1):
            write(tmp_path, f"{digit}_ann_{number}.wav", tone(frequency=300.0 * (digit + 1)))
    digits = spoken_digits(tmp_path)
    assert digits.label.tolist() == [0, 0, 7, 7]
    assert digits.utterance.tolist() == [0, 1, 0, 1]
    assert len(digits.utterances(1)) == 2
    for name, width in (("linear", 65), ("spectrogram", 65), ("cochlear", 40)):
        made = digit_inputs(digits, name)
        assert made.shape == (4, 15, width)
        assert float(made.abs().max()) == 1
    low, high = (digit_inputs(digits, "cochlear")[k].mean(0).argmax() for k in (0, 2))
    assert low < high
    with pytest.raises(TraceError, match="no recording has a number of 5"):
        digits.utterances(1, first=5)
    with pytest.raises(ConfigError, match="transform is 'wavelet'"):
        digit_inputs(digits, "wavelet")


def test_mel_bands_come_from_librosa(tmp_path):
    pytest.importorskip("librosa", reason="librosa is not installed: pip install 'spinode[speech]'")
    write(tmp_path, "3_ann_0.wav", tone())
    assert digit_inputs(spoken_digits(tmp_path), "log-mel").shape == (1, 15, 40)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(4000, np.int16), "recording 0 of 3 by ann is silent"),
        (np.clip(3.0 * tone(), -32768, 32767).astype(np.int16), "is clipped"),
        (np.zeros((400, 2), np.int16), "expected one channel"),
        (np.zeros(0, np.int16), "holds NaN|cannot be read|shape"),
    ],
)
def test_recordings_that_cannot_be_used(samples, message, tmp_path):
    write(tmp_path, "3_ann_0.wav", samples)
    with pytest.raises(TraceError, match=message):
        spoken_digits(tmp_path)


def test_folders_that_hold_no_recordings(tmp_path):
    with pytest.raises(TraceError, match=r"holds no fsdd\.npz and no \.wav files"):
        spoken_digits(tmp_path)
    (tmp_path / "hello.wav").write_bytes(b"RIFF")
    with pytest.raises(TraceError, match="is not named"):
        spoken_digits(tmp_path)
    (tmp_path / "fsdd.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(TraceError, match="is damaged"):
        spoken_digits(tmp_path)


def test_the_free_spoken_digit_dataset(shared):
    digits = spoken_digits(shared / "data/speech")
    assert len(digits) == 3000
    assert sorted(set(digits.speaker)) == ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
    assert torch.equal(digits.label.bincount(), torch.full((10,), 300))
