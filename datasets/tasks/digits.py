"""Spoken digits: recordings, and their transforms by a cochlea model or by spectral analysis."""

from __future__ import annotations

import importlib
import itertools
import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io.wavfile
import scipy.signal
import torch
from torch import Tensor

from ...errors import ConfigError, TraceError
from ...typing import Array
from ...validation import one_of, whole_number

_FILE_NAME = re.compile(r"(\d)_([A-Za-z]+)_(\d+)\.wav")
#: Share of samples in runs of three at the largest value above which a recording counts as clipped.
_MAX_CLIPPED = 0.01


@dataclass(frozen=True, eq=False)
class SpokenDigits:
    """Recordings of spoken digits.

    Attributes:
        audio: Samples of each recording, from -1 to 1.
        label: Digit of each recording, shape (recordings,).
        speaker: Name of the speaker of each recording.
        utterance: Index of each recording among those of its speaker and digit, shape (recordings,).
        rate: Sampling rate [Hz].

    Example:
        >>> tone = np.sin(np.linspace(0, 500, 2400))
        >>> digits = SpokenDigits([tone, tone], torch.tensor([3, 7]), ["ann", "ann"], torch.tensor([0, 1]), 8000)
        >>> len(digits), digits.utterances(1).label.tolist()
        (2, [3])
    """

    audio: list[Array]
    label: Tensor
    speaker: list[str]
    utterance: Tensor
    rate: int

    def __len__(self) -> int:
        return len(self.audio)

    def utterances(self, count: int, *, first: int = 0) -> SpokenDigits:
        """Return the recordings whose index is first .. first + count - 1.

        Raises:
            TraceError: there are no such recordings.
        """
        count, first = whole_number("count", count, 1), whole_number("first", first)
        kept = [k for k, number in enumerate(self.utterance.tolist()) if first <= number < first + count]
        if not kept:
            raise TraceError(
                f"no recording has an index of {first} .. {first + count - 1}; the indices are "
                f"{self.utterance.unique().tolist()}."
            )
        index = torch.tensor(kept)
        return SpokenDigits(
            [self.audio[k] for k in kept], self.label[index], [self.speaker[k] for k in kept], self.utterance[index], self.rate
        )


def spoken_digits(folder: str | Path | None = None) -> SpokenDigits:
    """Read the Free Spoken Digit Dataset: 3000 recordings at 8 kHz by 6 speakers, 50 of each digit by each of them.

    Args:
        folder: Folder of the .wav files, named digit_speaker_number.wav; or a file `fsdd.npz`, or its folder, with the arrays
            audio (all recordings one after another), offsets, label, speaker, index and rate. $SPINODE_DATA if omitted.

    Raises:
        TraceError: there are no such files, or a recording is silent or clipped.

    Source: Jackson et al. (2018), doi:10.5281/zenodo.1342401, CC BY-SA 4.0.
    """
    location = Path(folder or os.environ.get("SPINODE_DATA") or ".")
    file = location if location.is_file() else location / "fsdd.npz"
    if file.is_file():
        return _build(*_read_archive(file))
    wave_files = sorted(location.glob("*.wav")) if location.is_dir() else []
    if not wave_files:
        raise TraceError(
            f"{location} contains no fsdd.npz and no .wav files; pass the folder of the recordings, as in the repository "
            "Jakobovski/free-spoken-digit-dataset, or set SPINODE_DATA."
        )
    return _build(*_read_waves(wave_files))


def _read_archive(file: Path) -> tuple[list[Array], list[int], list[str], list[int], int]:
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            audio, offsets = data["audio"], data["offsets"]
            recordings = [audio[a:b].astype(float) / 32768 for a, b in itertools.pairwise(offsets)]
            columns = [data[name].tolist() for name in ("label", "speaker", "index")]
            rate = int(data["rate"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise TraceError(f"{file} is damaged, or is not an archive of spoken digits: {error}.") from None
    if any(len(column) != len(recordings) for column in columns):
        raise TraceError(
            f"{file} is inconsistent: it has {len(recordings)} recordings, but {[len(column) for column in columns]} labels, "
            "speakers and indices."
        )
    return recordings, columns[0], columns[1], columns[2], rate


def _read_waves(files: list[Path]) -> tuple[list[Array], list[int], list[str], list[int], int]:
    audio, labels, speakers, numbers, rates = [], [], [], [], set()
    for file in files:
        name = _FILE_NAME.fullmatch(file.name)
        if name is None:
            raise TraceError(f"{file} is not named digit_speaker_number.wav, such as 7_theo_3.wav.")
        try:
            rate, samples = scipy.io.wavfile.read(file)
        except (OSError, ValueError) as error:
            raise TraceError(f"{file} cannot be read as a .wav file: {error}.") from None
        if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.integer):
            raise TraceError(f"{file} contains {samples.dtype} of shape {samples.shape}; expected one channel of integers.")
        audio.append(samples.astype(float) / (np.iinfo(samples.dtype).max + 1.0))
        labels.append(int(name[1]))
        speakers.append(name[2])
        numbers.append(int(name[3]))
        rates.add(rate)
    if len(rates) > 1:
        raise TraceError(f"the recordings have sampling rates of {sorted(rates)} Hz; expected a single rate.")
    return audio, labels, speakers, numbers, rates.pop()


def _build(audio: list[Array], labels: list[int], speakers: list[str], numbers: list[int], rate: int) -> SpokenDigits:
    for k, samples in enumerate(audio):
        check_audio(samples, f"recording {numbers[k]} of {labels[k]} by {speakers[k]}")
    return SpokenDigits(audio, torch.tensor(labels), speakers, torch.tensor(numbers), rate)


def check_audio(samples: Array, name: str = "the recording") -> None:
    """Check that a recording is finite, audible and not clipped.

    Args:
        samples: Samples of one channel, shape (time,).
        name: Name of the recording in messages.

    Raises:
        TraceError: it is empty, not finite, silent, or clipped.
    """
    if samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all():
        raise TraceError(f"{name} has shape {samples.shape} or contains NaN; expected finite samples of one channel.")
    peak = float(np.abs(samples).max())
    if peak < 1e-4:
        raise TraceError(f"{name} is silent: no sample exceeds {peak:.2g} of full scale; record it at a higher gain.")
    at_peak = np.abs(samples) >= 0.9999 * peak
    if (at_peak[:-2] & at_peak[1:-1] & at_peak[2:]).sum() > _MAX_CLIPPED * len(samples):
        share = float(at_peak.mean())
        raise TraceError(f"{name} is clipped: {share:.1%} of its samples are at the largest value; record it at a lower gain.")


def linear_spectrum(samples: Array, rate: int, *, frames: int = 15) -> Array:
    """Return the real part of the short-time Fourier transform, shape (frames, 65): features of a linear transform."""
    return _average_frames(np.real(_stft(samples, rate)).T, frames)


def spectrogram(samples: Array, rate: int, *, frames: int = 15) -> Array:
    """Return the magnitude of the short-time Fourier transform, shape (frames, 65)."""
    return _average_frames(np.abs(_stft(samples, rate)).T, frames)


def log_mel(samples: Array, rate: int, *, frames: int = 15, channels: int = 40) -> Array:
    """Return the logarithm of the power in mel bands, shape (frames, channels), with the filters of librosa.

    Raises:
        ConfigError: librosa is not installed.
    """
    try:
        library: Any = importlib.import_module("librosa")
    except ImportError as error:
        raise ConfigError(f"librosa is not installed ({error}); run pip install 'spinode[speech]'.") from None
    filters = library.filters.mel(sr=rate, n_fft=_WINDOW, n_mels=channels)
    power = filters @ np.abs(_stft(samples, rate)) ** 2
    return _average_frames(np.log(power + 1e-6 * power.max()).T, frames)


def cochlear(samples: Array, rate: int, *, frames: int = 15, channels: int = 40) -> Array:
    """Return the output of a cochlea model.

    Gammatone filters, evenly spaced in equivalent rectangular bandwidth, are rectified and compressed by the power 0.3.

    Returns:
        Shape (frames, channels).

    Source: Glasberg and Moore, Hear. Res. 47, 103 (1990), doi:10.1016/0378-5955(90)90170-T, for the bandwidths; the
    gammatone filter of scipy.
    """
    low, high = (21.4 * np.log10(1 + 0.00437 * f) for f in (100.0, 0.45 * rate))
    centres = (10 ** (np.linspace(low, high, channels) / 21.4) - 1) / 0.00437
    bands = np.stack([scipy.signal.lfilter(*scipy.signal.gammatone(f, "iir", fs=rate), samples) for f in centres], -1)
    return _average_frames(np.maximum(bands, 0), frames) ** 0.3


#: Transforms by name.
TRANSFORMS: dict[str, Callable[..., Array]] = {
    "linear": linear_spectrum,
    "spectrogram": spectrogram,
    "log-mel": log_mel,
    "cochlear": cochlear,
}


def digit_inputs(digits: SpokenDigits, transform: str, *, frames: int = 15) -> Tensor:
    """Return the features of all recordings in the same number of frames.

    Args:
        digits: Recordings.
        transform: "linear", "spectrogram", "log-mel" or "cochlear".
        frames: Number of equal segments of time into which each recording is divided.

    Returns:
        Features scaled to a largest magnitude of 1 per recording, shape (recordings, frames, features).

    Raises:
        ConfigError: another transform.
        TraceError: a recording that is shorter than its frames.

    Example:
        >>> tone = np.sin(np.linspace(0, 500, 2400))
        >>> digits = SpokenDigits([tone], torch.tensor([3]), ["ann"], torch.tensor([0]), 8000)
        >>> digit_inputs(digits, "spectrogram", frames=10).shape
        torch.Size([1, 10, 65])
    """
    one_of("transform", transform, TRANSFORMS)
    frames = whole_number("frames", frames, 1)
    features = np.stack([TRANSFORMS[transform](samples, digits.rate, frames=frames) for samples in digits.audio])
    if transform == "log-mel":  # shifted to start at 0, since the logarithm of the power is negative
        features = features - features.min((1, 2), keepdims=True)
    return torch.from_numpy(features / np.abs(features).max((1, 2), keepdims=True))


#: Length of the windows of the Fourier transform [samples].
_WINDOW = 128


def _stft(samples: Array, rate: int) -> Array:
    """Compute the short-time Fourier transform, shape (65, times), with windows of 16 ms every 4 ms at 8 kHz."""
    window = scipy.signal.get_window("hann", _WINDOW)
    transform = scipy.signal.ShortTimeFFT(window, hop=_WINDOW // 4, fs=rate)
    result: Array = (
        transform.stft(samples) if len(samples) >= _WINDOW else transform.stft(np.pad(samples, (0, _WINDOW - len(samples))))
    )
    return result


def _average_frames(values: Array, frames: int) -> Array:
    """Average values (time, features) over equal segments of time, shape (frames, features)."""
    if len(values) < frames:
        raise TraceError(f"a recording has {len(values)} time steps, fewer than frames={frames}; pass fewer frames.")
    edges = np.linspace(0, len(values), frames + 1).round().astype(int)
    return np.stack([values[a:b].mean(0) for a, b in itertools.pairwise(edges)])
