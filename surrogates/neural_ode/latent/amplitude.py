"""Amplitude stages of a recording: how far the drive stays small."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....typing import Array

#: A drive whose amplitude grows by this factor begins a new stage.
GROWTH = 2.0

#: Number of samples within which it does.
GROWTH_TIME = 60

#: Shortest stage, in samples; a shorter one says too little about the linear modes.
MIN_STAGE = 300


def amplitude_stages(drives: Sequence[Array]) -> list[list[int]]:
    """Find the stages of a drive whose amplitude is raised, as in the drive of `design_ramp`.

    Args:
        drives: Drives of each recording in deviations from rest, shape (samples, drives).

    Returns:
        Ascending stages; each has the number of samples of each recording, counted from its beginning, whose drive stays below
        the amplitude of the stage. The last stage is the whole of all recordings. One stage if the amplitude is not raised.

    Example:
        >>> ramp = np.repeat([0.02, 0.2, 1.0], 400)[:, None] * np.tile([1.0, -1.0], 600)[:, None]
        >>> amplitude_stages([ramp])
        [[400], [800], [1200]]
    """
    scale = np.max([np.abs(drive).max(0, initial=0) for drive in drives], 0)
    scale[scale == 0] = 1
    sizes = [np.abs(drive / scale).max(1, initial=0) for drive in drives]
    levels = sorted({level for size in sizes for level in _levels(size)})
    whole = [len(drive) for drive in drives]
    stages: list[list[int]] = []
    for level in levels:
        stops = [int(np.argmax(size > level)) if (size > level).any() else len(size) for size in sizes]
        stops = [stop if stop >= MIN_STAGE else 0 for stop in stops]
        if any(stops) and stops != whole and (not stages or sum(stops) >= sum(stages[-1]) + MIN_STAGE):
            stages.append(stops)
    return [*stages, whole]


def _levels(size: Array) -> list[float]:
    """Return the amplitudes that a drive keeps before it grows by at least `GROWTH`."""
    largest = np.maximum.accumulate(size)
    levels, t = [], MIN_STAGE
    while t + 1 < len(size):
        ahead = largest[min(t + GROWTH_TIME, len(size) - 1)]
        if ahead < GROWTH * largest[t - 1]:
            t += 1
            continue
        level = 1.05 * float(largest[t - 1])
        levels.append(level)
        t = int(np.argmax(size > level)) + MIN_STAGE
    # A whole recording at a smaller amplitude than others is a stage as well.
    return [*levels, 1.05 * float(largest[-1])] if len(size) and largest[-1] < 1 / GROWTH else levels
