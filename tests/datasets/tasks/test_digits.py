"""Spoken digits: reading recordings and transforming them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io.wavfile
import torch

from spinode.datasets import digit_inputs, spoken_digits
from spinode.errors import ConfigError, TraceError


def tone(rate=8000, seconds=0.3, frequency=440.0, level=0.5):
    return (level * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate) * 32767).astype(np.int16)


def write_wave(folder, name, samples, rate=8000):
    scipy.io.wavfile.write(folder / name, rate, samples)


def test_recordings_are_read_from_wave_files(tmp_path):
    for digit in (0, 7):
        for number in (0, 1):
            write_wave(tmp_path, f"{digit}_ann_{number}.wav", tone(frequency=300.0 * (digit + 1)))
    digits = spoken_digits(tmp_path)
    assert digits.label.tolist() == [0, 0, 7, 7]
    assert digits.utterance.tolist() == [0, 1, 0, 1]
    assert len(digits.utterances(1)) == 2
    for name, width in (("linear", 65), ("spectrogram", 65), ("cochlear", 40)):
        features = digit_inputs(digits, name)
        assert features.shape == (4, 15, width)
        assert float(features.abs().max()) == 1
    low, high = (digit_inputs(digits, "cochlear")[k].mean(0).argmax() for k in (0, 2))
    assert low < high
    with pytest.raises(TraceError, match="no recording has an index of 5"):
        digits.utterances(1, first=5)
    with pytest.raises(ConfigError, match="transform is 'wavelet'"):
        digit_inputs(digits, "wavelet")


def test_mel_bands_need_librosa(tmp_path):
    pytest.importorskip("librosa", reason="librosa is not installed: pip install 'spinode[speech]'")
    write_wave(tmp_path, "3_ann_0.wav", tone())
    assert digit_inputs(spoken_digits(tmp_path), "log-mel").shape == (1, 15, 40)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(4000, np.int16), "recording 0 of 3 by ann is silent"),
        (np.clip(3.0 * tone(), -32768, 32767).astype(np.int16), "is clipped"),
        (np.zeros((400, 2), np.int16), "expected one channel"),
        (np.zeros(0, np.int16), "contains NaN|cannot be read|shape"),
    ],
)
def test_unusable_recordings_are_refused(samples, message, tmp_path):
    write_wave(tmp_path, "3_ann_0.wav", samples)
    with pytest.raises(TraceError, match=message):
        spoken_digits(tmp_path)


def test_folders_without_recordings_are_refused(tmp_path):
    with pytest.raises(TraceError, match=r"contains no fsdd\.npz and no \.wav files"):
        spoken_digits(tmp_path)
    (tmp_path / "hello.wav").write_bytes(b"RIFF")
    with pytest.raises(TraceError, match="is not named"):
        spoken_digits(tmp_path)
    (tmp_path / "fsdd.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(TraceError, match="is damaged"):
        spoken_digits(tmp_path)


def test_free_spoken_digit_dataset_is_read(shared):
    digits = spoken_digits(shared / "data/speech")
    assert len(digits) == 3000
    assert sorted(set(digits.speaker)) == ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
    assert torch.equal(digits.label.bincount(), torch.full((10,), 300))
