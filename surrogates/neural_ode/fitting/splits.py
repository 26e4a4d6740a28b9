"""Splits of recordings into a fitted part and a validation part, of which short recordings need several."""

from __future__ import annotations

from dataclasses import replace

from .prepare import Prepared

#: Number of samples from which the validation segments at the ends of the recordings are enough to compare structures.
ENOUGH_SAMPLES = 6000

#: Number of further blocks that together cover the fitted part of short recordings.
BLOCKS = 3

#: Fewest samples between two blocks that are fitted.
MIN_SEGMENT = 8


def splits(prepared: Prepared) -> list[Prepared]:
    """Return the split of a fit, and for short recordings further ones, whose validation blocks cover the fitted part in turn.

    Args:
        prepared: Recordings with validation segments at their ends.
    """
    if len(prepared.samples.states) >= ENOUGH_SAMPLES:
        return [prepared]
    return [prepared, *(_without_block(prepared, number) for number in range(BLOCKS))]


def _without_block(prepared: Prepared, number: int) -> Prepared:
    fitted, blocks = [], []
    for (first, last), (_, end) in zip(prepared.samples.segments, prepared.validation, strict=True):
        length = last - first + 1
        start, stop = first + length * number // BLOCKS, first + length * (number + 1) // BLOCKS - 1
        blocks.append((start, stop))
        fitted += [part for part in ((first, start - 1), (stop + 1, end)) if part[1] - part[0] >= MIN_SEGMENT]
    return replace(prepared, samples=replace(prepared.samples, segments=tuple(fitted)), validation=tuple(blocks))
