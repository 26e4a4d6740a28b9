"""Sound files (.wav), by SciPy: each channel in units of full scale, time = i / sample rate."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from ...errors import TraceError
from ...typing import Progress
from ..parsing.libraries import translated_errors
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.table import Table, sample_times


def sniff(head: bytes) -> bool:
    """Return True for the signature of a RIFF or RF64 file of waves."""
    return head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE"


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the channels.

    Raises:
        TraceError: the file is damaged, empty, or compressed.
    """
    with translated_errors("WAV file"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from scipy.io import wavfile  # half a second, which no other format needs

        rate, samples = wavfile.read(path)
        samples = np.asarray(samples)
        channels = samples.reshape(len(samples), -1).T
        if not channels.size or not rate > 0 or samples.dtype.kind not in "iuf":
            raise TraceError(f"the WAV file has {channels.size} samples at {rate} Hz; is it damaged?")
    kind = samples.dtype
    if kind.kind == "u":
        scaled = (channels.astype(np.float64) - 2.0 ** (8 * kind.itemsize - 1)) / 2.0 ** (8 * kind.itemsize - 1)
    else:
        scaled = channels.astype(np.float64) / (2.0 ** (8 * kind.itemsize - 1) if kind.kind == "i" else 1.0)
    names = [f"channel {index + 1}" for index in range(len(scaled))]
    return Table(
        ("time", *names),
        (sample_times(0.0, 1.0 / rate, len(samples)), *scaled),
        ("s", *[""] * len(names)),
        metadata={"sample_rate": int(rate), "type": str(kind)},
        time="time",
    )


register_reader("wav", sniff, read, priority=45)
