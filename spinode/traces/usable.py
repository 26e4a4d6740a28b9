"""Checks of recordings that are fitted or scored: enough recorded samples, and magnitudes whose squares are numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import TraceError
from ..typing import Array
from .sampling import check_samples
from .trace import Trace

#: Largest magnitude of a channel, and one over the smallest: squares of both are within the range of float64.
MAX_MAGNITUDE = 1e150


def check_usable(trace: Trace, minimum: int = 2) -> None:
    """Check that a recording can be fitted or scored.

    Args:
        trace: The recording.
        minimum: Smallest number of samples, and of samples of each output that are not missing.

    Raises:
        TraceError: as `check_samples`; an output most of whose samples are missing; a channel, parameter or time whose
            magnitude is beyond `MAX_MAGNITUDE` or below its inverse.

    Example:
        >>> check_usable(Trace([0.0, 1.0], output={"x": [1e200, 0]}))
        Traceback (most recent call last):
        ...
        spinode.errors.TraceError: 'x' has magnitudes up to 1e+200; expected 1e-150 to 1e+150. Read it in its unit, or scale it.
    """
    if trace.missing == "mask" and len(trace) >= minimum:
        for name, values in trace.output.items():
            left = int(np.isfinite(values).sum())
            if left < minimum:
                raise TraceError(
                    f"output {name!r} has {left} recorded samples, the other {len(trace) - left} are missing; at least "
                    f"{minimum} are needed. Leave this output out, or take a part of the recording that contains more of them."
                )
    check_samples(trace, minimum)
    for name, values in _quantities(trace):
        size = float(np.max(np.abs(values), initial=0.0, where=np.isfinite(values)))
        if size > MAX_MAGNITUDE or 0 < size < 1 / MAX_MAGNITUDE:
            unit = f" {trace.unit(name)}" if trace.unit(name) else ""
            raise TraceError(
                f"{name!r} has magnitudes up to {size:.3g}{unit}; expected {1 / MAX_MAGNITUDE:g} to {MAX_MAGNITUDE:g}. "
                "Read it in its unit, or scale it."
            )


def _quantities(trace: Trace) -> Iterator[tuple[str, Array]]:
    yield "time", trace.time
    yield from trace.channels.items()
    for name, value in trace.parameters.items():
        yield name, np.array([value])
