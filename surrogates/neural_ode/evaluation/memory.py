"""The memory test: two runs of a device from different states under one drive show what a free run cannot know."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ....errors import TraceError
from ....traces.sampling import median_interval
from ....traces.trace import Trace, check_trace
from ....traces.usable import check_usable
from ....typing import Array
from ....validation import number

#: Number of parts of a recording in which the difference is given by the time since the start.
PARTS = 8

#: Largest difference of the times of a sample in two recordings, in sample intervals.
MAX_SHIFT = 0.01


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
        TraceError: other channels, units, parameters, drives, or times; unusable samples, or a constant output.
        ConfigError: `start` is not a number.

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
    _check_alike(first, second)
    time = np.asarray(first.time)
    chosen = first.present.all(1) & second.present.all(1)
    if start is not None:
        chosen &= time >= number("start", start, unit="s")
    if chosen.sum() < 2 * PARTS:
        raise TraceError(
            f"{int(chosen.sum())} samples are left to compare, recorded in both; expected at least {2 * PARTS}. Start earlier."
        )
    one, other = (np.stack(list(trace.output.values()), -1)[chosen] for trace in (first, _in_order(second, first)))
    # Scaled before squares are taken: those of large or small units may be beyond the range of float64.
    size = np.maximum(np.maximum(np.abs(one).max(0), np.abs(other).max(0)), 1e-300)
    one, other = one / size, other / size
    deviation = np.sqrt(0.5 * (np.var(one, 0) + np.var(other, 0)))
    constant = np.flatnonzero(deviation <= 1e-12)
    if len(constant):
        name = list(first.output)[constant[0]]
        raise TraceError(f"output {name!r} is constant in both recordings; there is nothing to compare.")
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


def _in_order(trace: Trace, other: Trace) -> Trace:
    """Return a recording with the outputs in the order of another one."""
    return replace(trace, output={name: trace.output[name] for name in other.output})


def _check_alike(first: Trace, second: Trace) -> None:
    """Check that two recordings have the same channels, units, parameters, times and drives."""
    for which, trace in (("first", first), ("second", second)):
        check_trace(trace, f"the {which} recording")
        try:
            check_usable(trace, 2 * PARTS)
        except TraceError as error:
            raise TraceError(f"the {which} recording: {error}") from None
    if set(first.output) != set(second.output) or set(first.drive) != set(second.drive) or not first.output:
        raise TraceError(
            f"the recordings have drives {_listed(first.drive)} and {_listed(second.drive)}, outputs {_listed(first.output)} "
            f"and {_listed(second.output)}; expected the same drives and outputs. Give the channels their roles by `assign`."
        )
    for name in ("time", *first.channels):
        units = first.unit(name), second.unit(name)
        if all(units) and units[0] != units[1]:
            raise TraceError(f"{name!r} is in {units[0]} in the first recording and in {units[1]} in the second; convert one.")
    if set(first.parameters) != set(second.parameters) or any(
        not math.isclose(value, second.parameters[name], rel_tol=1e-9) for name, value in first.parameters.items()
    ):
        raise TraceError(
            f"the recordings have parameters {dict(first.parameters)} and {dict(second.parameters)}; expected one device under "
            "the same conditions. Leave out parameters that only number the recordings."
        )
    if len(first) != len(second):
        raise TraceError(f"the recordings have {len(first)} and {len(second)} samples; expected the same instants.")
    step = median_interval(first)
    apart = np.abs(first.time - second.time)
    far = np.flatnonzero(apart > MAX_SHIFT * step + 4 * np.spacing(np.abs(first.time).max()))
    if len(far):
        index = int(far[0])
        raise TraceError(
            f"sample {index} is at {first.time[index]:.9g} s in the first recording and at {second.time[index]:.9g} s in the "
            f"second, with samples every {step:.4g} s; expected the same instants. Cut both with `between`, or resample both."
        )
    for name, values in first.drive.items():
        tolerance = 1e-6 * float(np.ptp(values)) + 1e-9 * float(np.abs(values).max())
        if np.abs(values - second.drive[name]).max() > tolerance:
            raise TraceError(f"drive {name!r} differs between the recordings; expected one drive from two initial states.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "(none)"


def _rms(error: Array) -> float:
    return float(np.sqrt(np.mean(error**2)))
