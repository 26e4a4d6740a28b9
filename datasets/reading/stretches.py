"""Stretches of a recording without gaps and missing samples: `missing="split"`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...errors import TraceError
from ...traces.trace import Trace

#: A step longer than this many median steps is a gap.
GAP = 5.0
#: Samples of the shortest stretch that is kept.
MIN_SAMPLES = 8


def split_at_gaps(trace: Trace) -> list[Trace]:
    """Return the stretches of a recording between gaps of the time and samples with NaN or infinite values.

    Stretches of fewer than 8 samples are left out. The provenance of each has its number, from 1, as "split".

    Raises:
        TraceError: no stretch is long enough.

    Example:
        >>> time = np.arange(40.0)
        >>> values = np.where((time > 15) & (time < 20), np.nan, time)
        >>> [len(stretch) for stretch in split_at_gaps(Trace(time, output={"x": values}))]
        [16, 20]
    """
    finite = np.isfinite(trace.time)
    for values in trace.channels.values():
        finite &= np.isfinite(values)
    known = np.flatnonzero(finite)
    if not len(known):
        raise TraceError("the recording has no sample in which all channels are known; name fewer channels.")
    steps = np.diff(trace.time[known])
    forward = steps[steps > 0]
    longest = GAP * float(np.median(forward)) if len(forward) else np.inf
    cuts = np.flatnonzero((np.diff(known) > 1) | (steps > longest)) + 1
    pieces = [piece for piece in np.split(known, cuts) if len(piece) >= MIN_SAMPLES]
    if not pieces:
        raise TraceError(
            f"no stretch of the recording has {MIN_SAMPLES} samples without a gap or a missing value; pass missing='mask'."
        )
    return [
        replace(trace.rows(slice(int(piece[0]), int(piece[-1]) + 1)), provenance={**trace.provenance, "split": number})
        for number, piece in enumerate(pieces, start=1)
    ]
