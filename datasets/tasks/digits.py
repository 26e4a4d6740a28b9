"""Spoken digits: recordings, and how a cochlea or a spectrum analyser would pass them on."""

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

_NAME = re.compile(r"(\d)_([A-Za-z]+)_(\d+)\.wav")
#: Share of samples in rows of three at the largest value, from which a recording counts as clipped.
_CLIPPED = 0.01


@dataclass(frozen=True, eq=False)
class SpokenDigits:
    """Recordings of spoken digits.

    Attributes:
        audio: Samples of each recording, within -1 .. 1.
        label: Digit of each, shape (recordings,).
        speaker: Of each.
        utterance: Number of each among those of its speaker and digit, shape (recordings,).
        rate: Samples a second [Hz].
    """

    audio: list[Array]
    label: Tensor
    speaker: list[str]
    utterance: Tensor
    rate: int

    def __len__(self) -> int:
        return len(self.audio)

    def utterances(self, count: int, *, first: int = 0) -> SpokenDigits:
        """The recordings whose number is first .. first + count - 1.

        Raises:
            TraceError: there are none.
        """
        kept = [k for k, number in enumerate(self.utterance.tolist()) if first <= number < first + count]
        if not kept:
            raise TraceError(
                f"no recording has a number of {first} .. {first + count - 1}; there are {self.utterance.unique().tolist()}."
            )
        at = torch.tensor(kept)
        return SpokenDigits(
            [self.audio[k] for k in kept], self.label[at], [self.speaker[k] for k in kept], self.utterance[at], self.rate
        )


def spoken_digits(folder: str | Path | None = None) -> SpokenDigits:
    """The Free Spoken Digit Dataset: 3000 recordings at 8 kHz, 6 speakers, 50 of each digit by each.

    Args:
        folder: Folder of its .wav files, named digit_speaker_number.wav, or of `fsdd.npz` with the arrays audio (all
            recordings one after another), offsets, label, speaker, index and rate; or such a file. $SPINODE_DATA if omitted.

    Raises:
        TraceError: no such files, or a recording that is silent or clipped.

    Source: Jackson et al. (2018), doi:10.5281/zenodo.1342401, CC BY-SA 4.0.
    """
    where = Path(folder or os.environ.get("SPINODE_DATA") or ".")
    file = where if where.is_file() else where / "fsdd.npz"
    if file.is_file():
        return _checked(*_archive(file))
    found = sorted(where.glob("*.wav")) if where.is_dir() else []
    if not found:
        raise TraceError(
            f"{where} holds no fsdd.npz and no .wav files; pass the folder of the recordings, as in the repository Jakobovski/"
            "free-spoken-digit-dataset, or set SPINODE_DATA."
        )
    return _checked(*_waves(found))


def _archive(file: Path) -> tuple[list[Array], list[int], list[str], list[int], int]:
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            audio, offsets = data["audio"], data["offsets"]
            parts = [audio[a:b].astype(float) / 32768 for a, b in itertools.pairwise(offsets)]
            columns = [data[name].tolist() for name in ("label", "speaker", "index")]
            rate = int(data["rate"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise TraceError(f"{file} is damaged, or is no archive of spoken digits: {error}.") from None
    if any(len(column) != len(parts) for column in columns):
        raise TraceError(
            f"{file} contradicts itself: {len(parts)} recordings and {[len(column) for column in columns]} entries."
        )
    return parts, columns[0], columns[1], columns[2], rate


def _waves(files: list[Path]) -> tuple[list[Array], list[int], list[str], list[int], int]:
    audio, labels, speakers, numbers, rates = [], [], [], [], set()
    for file in files:
        name = _NAME.fullmatch(file.name)
        if name is None:
            raise TraceError(f"{file} is not named digit_speaker_number.wav, such as 7_theo_3.wav.")
        try:
            rate, samples = scipy.io.wavfile.read(file)
        except (OSError, ValueError) as error:
            raise TraceError(f"{file} cannot be read as a .wav file: {error}.") from None
        if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.integer):
            raise TraceError(f"{file} holds {samples.dtype} of shape {samples.shape}; expected one channel of whole numbers.")
        audio.append(samples.astype(float) / (np.iinfo(samples.dtype).max + 1.0))
        labels.append(int(name[1]))
        speakers.append(name[2])
        numbers.append(int(name[3]))
        rates.add(rate)
    if len(rates) > 1:
        raise TraceError(f"the recordings have rates {sorted(rates)} Hz; expected one.")
    return audio, labels, speakers, numbers, rates.pop()


def _checked(audio: list[Array], labels: list[int], speakers: list[str], numbers: list[int], rate: int) -> SpokenDigits:
    for k, samples in enumerate(audio):
        what = f"recording {numbers[k]} of {labels[k]} by {speakers[k]}"
        check_audio(samples, what)
    return SpokenDigits(audio, torch.tensor(labels), speakers, torch.tensor(numbers), rate)


def check_audio(samples: Array, what: str = "the recording") -> None:
    """Raise a `TraceError` if a recording is empty, not finite, silent, or clipped."""
    if samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all():
        raise TraceError(f"{what} has shape {samples.shape}, or holds NaN; expected finite samples of one channel.")
    top = float(np.abs(samples).max())
    if top < 1e-4:
        raise TraceError(f"{what} is silent: no sample exceeds {top:.2g} of full scale.")
    high = np.abs(samples) >= 0.9999 * top
    if (high[:-2] & high[1:-1] & high[2:]).sum() > _CLIPPED * len(samples):
        share = float(high.mean())
        raise TraceError(
            f"{what} is clipped: {share:.1%} of its samples stand at the largest value; record it at a lower gain."
        )


def linear_spectrum(samples: Array, rate: int, *, frames: int = 15) -> Array:
    """Real part of the short-time Fourier transform, shape (frames, 65): what a linear transform alone offers."""
    return _framed(np.real(_stft(samples, rate)).T, frames)


def spectrogram(samples: Array, rate: int, *, frames: int = 15) -> Array:
    """Magnitude of the short-time Fourier transform, shape (frames, 65)."""
    return _framed(np.abs(_stft(samples, rate)).T, frames)


def log_mel(samples: Array, rate: int, *, frames: int = 15, channels: int = 40) -> Array:
    """Logarithm of the power in mel bands, shape (frames, channels); by librosa's filters.

    Raises:
        ConfigError: librosa is not installed.
    """
    try:
        library: Any = importlib.import_module("librosa")
    except ImportError as error:
        raise ConfigError(f"librosa is not installed ({error}); run pip install 'spinode[speech]'.") from None
    filters = library.filters.mel(sr=rate, n_fft=_WINDOW, n_mels=channels)
    power = filters @ np.abs(_stft(samples, rate)) ** 2
    return _framed(np.log(power + 1e-6 * power.max()).T, frames)


def cochlear(samples: Array, rate: int, *, frames: int = 15, channels: int = 40) -> Array:
    """A cochlea: gammatone filters evenly spaced in equivalent rectangular bandwidth, rectified, compressed to the power 0.3.

    Returns:
        Shape (frames, channels).

    Source: Glasberg and Moore, Hear. Res. 47, 103 (1990), doi:10.1016/0378-5955(90)90170-T, for the bandwidths; scipy's
    gammatone.
    """
    low, high = (21.4 * np.log10(1 + 0.00437 * f) for f in (100.0, 0.45 * rate))
    centres = (10 ** (np.linspace(low, high, channels) / 21.4) - 1) / 0.00437
    bands = np.stack([scipy.signal.lfilter(*scipy.signal.gammatone(f, "iir", fs=rate), samples) for f in centres], -1)
    return _framed(np.maximum(bands, 0), frames) ** 0.3


#: Transforms by name.
TRANSFORMS: dict[str, Callable[..., Array]] = {
    "linear": linear_spectrum,
    "spectrogram": spectrogram,
    "log-mel": log_mel,
    "cochlear": cochlear,
}


def digit_inputs(digits: SpokenDigits, transform: str, *, frames: int = 15) -> Tensor:
    """Each recording as the same number of frames of features within -1 .. 1 or 0 .. 1.

    Args:
        digits: Recordings.
        transform: "linear", "spectrogram", "log-mel" or "cochlear".
        frames: Into how many equal parts of time each recording is cut.

    Returns:
        Shape (recordings, frames, features).

    Raises:
        ConfigError: another transform.
        TraceError: a recording shorter than its frames.
    """
    if transform not in TRANSFORMS:
        raise ConfigError(f"transform is {transform!r}; expected one of {', '.join(TRANSFORMS)}.")
    made = np.stack([TRANSFORMS[transform](samples, digits.rate, frames=frames) for samples in digits.audio])
    if transform == "log-mel":  # each recording's loudest band is 0 there
        made = made - made.min((1, 2), keepdims=True)
    return torch.from_numpy(made / np.abs(made).max((1, 2), keepdims=True))


_WINDOW = 128


def _stft(samples: Array, rate: int) -> Array:
    """Shape (65, times): windows of 16 ms at 8 kHz, every 4 ms."""
    window = scipy.signal.get_window("hann", _WINDOW)
    transform = scipy.signal.ShortTimeFFT(window, hop=_WINDOW // 4, fs=rate)
    result: Array = (
        transform.stft(samples) if len(samples) >= _WINDOW else transform.stft(np.pad(samples, (0, _WINDOW - len(samples))))
    )
    return result


def _framed(values: Array, frames: int) -> Array:
    """Means over equal parts of time, shape (frames, features), of values (time, features)."""
    if len(values) < frames:
        raise TraceError(f"a recording has {len(values)} instants; {frames} frames need as many. Pass fewer frames.")
    edges = np.linspace(0, len(values), frames + 1).round().astype(int)
    return np.stack([values[a:b].mean(0) for a, b in itertools.pairwise(edges)])
