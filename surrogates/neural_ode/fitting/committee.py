"""The members of a surrogate of a short recording: fits of its splits, each continued on all samples.

A search judges a structure by fits that leave out a block of the recordings in turn (`splits`). Once the structure is chosen
there is no reason to waste these blocks: each fit goes on from its weights through all samples. The fits have come by
different ways and differ where the data do not determine them, so their median is better than any of them, and their
difference is part of the prediction interval. What they had left out calibrates the interval (`segments_left_out`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ....errors import FitError
from ....typing import Progress
from ..member import Member
from .consensus import EQUALLY_VALID, diverges
from .gauss_newton import Climb
from .prepare import Prepared


def all_samples(prepared: Prepared) -> Prepared:
    """Return recordings whose validation segments are fitted as well; free runs over whole recordings are the validation.

    Args:
        prepared: First split of the recordings, whose validation segments are their ends.
    """
    segments = tuple((first, end) for (first, _), (_, end) in zip(prepared.samples.segments, prepared.validation, strict=True))
    return replace(prepared, samples=replace(prepared.samples, segments=segments), validation=segments)


def committee(climbs: Sequence[Climb], numbers: Sequence[int], progress: Progress) -> list[Member]:
    """Continue the fits of several splits on all samples, and return those that then describe them about equally well.

    Args:
        climbs: Fits of one structure to each split, the first split first.
        numbers: A number for each continued fit, see `Climb`.
        progress: Receives one line of text after each step.

    Returns:
        Members, the best first. Of a single split, its own.
    """
    if len(climbs) == 1:
        return [climbs[0].member]
    whole = all_samples(climbs[0].prepared)
    window = max(entry["window"] for entry in climbs[0].history)
    fits = []
    for climb, number in zip(climbs, numbers, strict=True):
        fit = climb.continued(whole, number)
        try:
            fit.stage(window, progress)
        except FitError as error:
            progress(f"one split cannot be continued on all samples: {error}")
            continue
        if diverges(fit.member, whole, seed=fit.config.seed):
            progress("one split runs away along drives like the recorded ones, continued on all samples: left out")
            continue
        fits.append(fit)
    fits.sort(key=lambda fit: fit.error)
    if not fits:
        return [climbs[0].member]
    return [fit.member for fit in fits if fit.error <= EQUALLY_VALID * fits[0].error]
