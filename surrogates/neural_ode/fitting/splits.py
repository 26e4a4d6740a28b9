"""Splits of recordings into a fitted part and a validation part, of which short recordings need several."""

from __future__ import annotations

from dataclasses import replace

from .prepare import Prepared

#: Samples that all splits together may have: a recording of this length has one split, a third of it all.
ENOUGH_SAMPLES = 6000

#: Blocks of the fitted part, and which of them are left out in turn where there is time for one, two or three.
BLOCKS = 3
LEFT_OUT = ((), (1,), (0, 2), (0, 1, 2))

#: Fewest samples between two blocks that are fitted.
MIN_SEGMENT = 8


def splits(prepared: Prepared) -> list[Prepared]:
    """Return the split of a fit, and for short recordings further ones, which leave out blocks of the fitted part in turn.

    Args:
        prepared: Recordings with validation segments at their ends.
    """
    further = min(BLOCKS, ENOUGH_SAMPLES // (len(prepared.samples.states) + 1))
    return [prepared, *(_without_block(prepared, number) for number in LEFT_OUT[further])]


def _without_block(prepared: Prepared, number: int) -> Prepared:
    fitted, blocks = [], []
    for (first, last), (_, end) in zip(prepared.samples.segments, prepared.validation, strict=True):
        length = last - first + 1
        start, stop = first + length * number // BLOCKS, first + length * (number + 1) // BLOCKS - 1
        blocks.append((start, stop))
        fitted += [part for part in ((first, start - 1), (stop + 1, end)) if part[1] - part[0] >= MIN_SEGMENT]
    return replace(prepared, samples=replace(prepared.samples, segments=tuple(fitted)), validation=tuple(blocks))
