"""The memory test: two runs of a device from different states under one drive show what a free run cannot know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ....errors import TraceError
from ....traces.trace import Trace, check_trace
from ....typing import Array

#: Number of parts of a recording in which the difference is given by the time since the start.
PARTS = 8


@dataclass(frozen=True, eq=False)
class MemoryFloor:
    """What the unknown initial state leaves of the error of a free run, over the deviation of the output.

    Attributes:
        floor: The least error, on average, of a run that does not know the state it starts from: the best guess is the mean
            over the states, and its error is the difference of two runs over the square root of two.
        difference: Error of a run that starts from another state of the same device: a perfect model, started wrongly.
        by_time: (end of the part [s] since the start, difference within it), in `PARTS` parts of equal length. A difference
            that does not fall says that the drive does not synchronise the device, so that no model can follow it for long.
    """

    floor: float
    difference: float
    by_time: tuple[tuple[float, float], ...]


def memory_floor(first: Trace, second: Trace, *, start: float | None = None) -> MemoryFloor:
    """Compare two recordings of one device under the same drive, from different initial states.

    Beside the score of a free run, the floor says how much of its error is the model's: one at its floor cannot be improved by
    any model that does not see the outputs. A run whose state is estimated from the first outputs may be below it at first.

    Args:
        first: Recording with outputs.
        second: The same drive at the same instants, from another state.
        start: Time from which on they are compared [s]; from the beginning if omitted.

    Returns:
        The floor; rms over the outputs, each over its standard deviation in both recordings.

    Raises:
        TraceError: other channels, drives, or times; or a constant output.

    Example:
        >>> import torch
        >>> from spinode.datasets import ManyModes
        >>> drive = 0.3 * torch.ones(400, dtype=torch.float64)
        >>> device = ManyModes()
        >>> fresh, other = (device.simulate(drive, 5e-12, state=0.01 * np.full((2, 8), sign)) for sign in (0.0, 1.0))
        >>> floor = memory_floor(fresh, other)
        >>> floor.by_time[0][1] > floor.by_time[-1][1] > 0
        True
    """
    for trace in (first, second):
        check_trace(trace)
    _check_alike(first, second)
    time = np.asarray(first.time)
    chosen = np.ones(len(time), dtype=bool) if start is None else time >= start
    if chosen.sum() < 2 * PARTS:
        raise TraceError(f"{int(chosen.sum())} samples are left to compare; expected at least {2 * PARTS}. Start earlier.")
    names = list(first.output)
    one, other = (np.stack([trace.output[name] for name in names], -1)[chosen] for trace in (first, second))
    deviation = np.sqrt(0.5 * (np.nanvar(one, 0) + np.nanvar(other, 0)))
    if not (deviation > 1e-12 * np.nanmax(np.abs(one), 0)).all():
        raise TraceError("an output is constant in both recordings; there is nothing to compare.")
    error = (one - other) / deviation
    elapsed = time[chosen] - time[chosen][0]
    parts = np.array_split(np.arange(len(error)), PARTS)
    difference = _rms(error)
    return MemoryFloor(
        floor=difference / 2**0.5,
        difference=difference,
        by_time=tuple((float(elapsed[part[-1]]), _rms(error[part])) for part in parts),
    )


def measure_memory_floor(simulate: Callable[[Tensor], Trace], drive: Tensor, histories: tuple[Tensor, Tensor]) -> MemoryFloor:
    """Run a simulated device twice under one drive, after two histories that lead to different states.

    Args:
        simulate: Returns the recording of the device from rest under a drive.
        drive: Samples of the drive, shape (time,) or (time, drives).
        histories: Two drives of one length that precede it.

    Raises:
        TraceError: histories of different lengths, or as `memory_floor`.
    """
    if len(histories[0]) != len(histories[1]):
        raise TraceError(f"the histories have {len(histories[0])} and {len(histories[1])} samples; expected as many.")
    runs = [simulate(torch.cat([history, drive])) for history in histories]
    begin = float(runs[0].time[len(histories[0])])
    first, second = (run.between(begin, None) for run in runs)
    return memory_floor(first, second)


def _check_alike(first: Trace, second: Trace) -> None:
    if list(first.output) != list(second.output) or list(first.drive) != list(second.drive) or not first.output:
        raise TraceError(
            f"the recordings have outputs {', '.join(first.output) or '(none)'} and {', '.join(second.output) or '(none)'}; "
            "expected the same drives and outputs."
        )
    if len(first) != len(second) or not np.allclose(first.time, second.time, rtol=1e-6):
        raise TraceError(f"the recordings have {len(first)} and {len(second)} samples; expected the same instants.")
    for name, values in first.drive.items():
        if not np.allclose(values, second.drive[name], rtol=1e-6, atol=1e-9 * float(np.ptp(values))):
            raise TraceError(f"drive {name!r} differs between the recordings; expected one drive from two initial states.")


def _rms(error: Array) -> float:
    return float(np.sqrt(np.nanmean(error**2)))
