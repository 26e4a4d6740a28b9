"""Pulse-by-pulse recordings as arrays: what the fit of a synapse sees."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ...contracts.synapse import RESET, SET
from ...errors import TraceError, TraceWarning
from ...traces.trace import Trace, TraceSet
from ...typing import Array

#: A conductance that spans more than this factor is described by its logarithm.
WIDE = 3.0
#: A read that lies this many typical steps beyond both its neighbours is no read of the device.
FAR = 50


@dataclass(frozen=True)
class Scale:
    """Conductance to the dimensionless state and back: x = (g - centre) / spread, g = G or ln G.

    Attributes:
        kind: "linear" or "log".
        centre: Mean of g.
        spread: Deviation of g.
    """

    kind: str
    centre: float
    spread: float

    @classmethod
    def of(cls, values: Array, kind: str | None = None) -> Scale:
        """The scale of measured conductances; logarithmic where they are positive and span a factor of three."""
        if kind is None:
            wide = values.min() > 0 and np.quantile(values, 0.99) > WIDE * np.quantile(values, 0.01)
            kind = "log" if wide else "linear"
        if kind == "log" and values.min() <= 0:
            raise TraceError(f"the conductance reaches {values.min():.4g}; a logarithmic scale needs it above zero.")
        g = np.log(values) if kind == "log" else values
        spread = float(g.std())
        if not spread > 1e-9 * float(np.abs(g).max()):
            raise TraceError("the conductance never changes; there is nothing to fit. Are the columns the right ones?")
        return cls(kind, float(g.mean()), spread)

    def __call__(self, conductance: Array) -> Array:
        """State of a conductance."""
        g = np.log(conductance) if self.kind == "log" else conductance
        return np.asarray((g - self.centre) / self.spread)


@dataclass(frozen=True)
class Inputs:
    """How voltage and width enter: which are there, and their means and deviations.

    Attributes:
        names: Of "voltage" and "width" those that vary in the data; the logarithm of a width enters.
        mean: One for each.
        spread: One for each.
        ranges: Least and greatest value that was seen [V], [s], also of those that do not vary.
        usual: Median of SET and of RESET pulses [V], [s]; where one polarity is missing, that of the other.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    ranges: dict[str, tuple[float, float]]
    usual: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class PulseData:
    """Recordings side by side, padded to the longest.

    Attributes:
        reads: State x of each read, shape (reads, lanes).
        seen: Whether there is one, shape (reads, lanes).
        pulses: Number of pulses of each step, shape (reads - 1, lanes).
        polarity: +1 SET, -1 RESET, 0 for none, shape (reads - 1, lanes).
        extra: Voltage and log width in deviations, shape (inputs, reads - 1, lanes).
        group: Which group of latent parameters a lane belongs to, shape (lanes,): its device, or, where there is one device
            only, itself.
        devices: Number of devices.
        scale: Of the conductance.
        inputs: Of voltage and width.
        unit: Of the conductance.
        pause: Length [s] of each step without pulses, zero elsewhere or where time is no time, shape (reads - 1, lanes).
    """

    reads: Array
    seen: npt.NDArray[np.bool_]
    pulses: Array
    polarity: Array
    extra: Array
    group: npt.NDArray[np.int64]
    devices: int
    scale: Scale
    inputs: Inputs
    unit: str
    pause: Array

    @property
    def groups(self) -> int:
        """Number of groups."""
        return int(self.group.max()) + 1

    @property
    def polarities(self) -> tuple[str, ...]:
        """Polarities of the pulses that were applied."""
        return tuple(name for name, sign in ((SET, 1), (RESET, -1)) if bool((self.polarity == sign).any()))

    def thinned(self, every: int) -> PulseData:
        """Every so manieth read; the pulses between are counted. Only where pulses between two kept reads are alike."""
        if every == 1:
            return self
        keep = np.arange(0, len(self.reads), every)
        starts, lanes = keep[:-1], np.arange(self.reads.shape[1])
        pulses = np.add.reduceat(self.pulses[: keep[-1]], starts, axis=0)
        blocks = (self.pulses[: keep[-1]] > 0).reshape(-1, every, len(lanes))
        pulsed = starts[:, None] + blocks.argmax(1)  # the first step of each block that holds a pulse, if any does
        return replace(
            self,
            reads=self.reads[keep],
            seen=self.seen[keep],
            pulses=pulses,
            polarity=self.polarity[pulsed, lanes],
            extra=self.extra[:, pulsed, lanes],
            pause=np.add.reduceat(self.pause[: keep[-1]], starts, axis=0),
        )

    def even(self, every: int) -> bool:
        """Whether thinning by this factor puts only like pulses together."""
        blocks = len(self.pulses) // every * every
        if not blocks:
            return False
        there = self.pulses[:blocks] > 0
        for values in (self.polarity, *self.extra):
            cut = np.where(there, values[:blocks], np.nan).reshape(-1, every, values.shape[-1])
            first = np.where(there, values[:blocks], -np.inf).reshape(cut.shape).max(1, keepdims=True)
            if bool((np.abs(cut - first) > 1e-9).any()):
                return False
        return True


def pulse_data(
    traces: TraceSet | Sequence[Trace] | Trace, *, scale: Scale | str | None = None, inputs: Inputs | None = None
) -> PulseData:
    """Arrays of pulse-by-pulse recordings, as `read_trace(..., pulses=...)` returns them.

    Args:
        traces: One for each device and cycle: output "conductance", drives "SET" and "RESET" (numbers of pulses between this
            read and the next), perhaps "voltage" [V] and "width" [s], parameter "device".
        scale: "linear" or "log", or a `Scale` that is already known; chosen by the data if omitted.
        inputs: Those of a surrogate to which the recordings are shown; chosen by the data if omitted.

    Raises:
        TraceError: other channels, values that are not finite, both polarities in one step, fewer than three reads, or a
            voltage or width missing of `inputs`.
    """
    recordings = TraceSet(traces) if not isinstance(traces, TraceSet) else traces
    for index, trace in enumerate(recordings):
        _check(index, trace)
    first = recordings[0]
    good = [~_outliers(trace) for trace in recordings]
    lost = sum(int((~each).sum()) for each in good)
    if lost:
        lane = next(i for i, each in enumerate(good) if not each.all())
        row = int(np.argmin(good[lane]))
        warnings.warn(
            f"{lost} read(s) stand alone, {FAR} typical steps and more from both neighbours, such as read {row} of recording "
            f"{lane} ({recordings[lane].output['conductance'][row]:.4g}); they are left out. Errors of the instrument?",
            TraceWarning,
            stacklevel=3,
        )
    values = np.concatenate([trace.output["conductance"][kept] for trace, kept in zip(recordings, good, strict=True)])
    if not isinstance(scale, Scale):
        scale = Scale.of(values, scale)
    elif scale.kind == "log" and values.min() <= 0:
        raise TraceError(f"the conductance reaches {values.min():.4g}; the logarithmic scale needs it above zero.")
    inputs = _inputs(recordings) if inputs is None else inputs
    for name in inputs.names:
        if any(name not in trace.drive for trace in recordings):
            raise TraceError(f"the recordings have no drive {name!r}, by which the surrogate answers pulses; add it.")
    length = max(len(trace) for trace in recordings)
    lanes = len(recordings)
    reads, seen = np.zeros((length, lanes)), np.zeros((length, lanes), dtype=bool)
    pulses, polarity = np.zeros((length - 1, lanes)), np.zeros((length - 1, lanes))
    pause = np.zeros((length - 1, lanes))
    extra = np.zeros((len(inputs.names), length - 1, lanes))
    for lane, trace in enumerate(recordings):
        count = len(trace)
        kept = good[lane]
        # What was left out takes its neighbour's place on the path at which the drift is linearised, and counts for nothing.
        last = np.maximum.accumulate(np.where(kept, np.arange(count), 0))
        reads[:count, lane], seen[:count, lane] = scale(trace.output["conductance"][last]), kept
        if trace.unit("time") == "s":
            pause[: count - 1, lane] = np.where(trace.drive["SET"] + trace.drive["RESET"] > 0, 0.0, 1.0)[:-1] * np.diff(
                trace.time
            )
        signed = (trace.drive["SET"] - trace.drive["RESET"])[:-1]
        pulses[: count - 1, lane], polarity[: count - 1, lane] = np.abs(signed), np.sign(signed)
        there = signed != 0  # without a pulse an amplitude means nothing, and may be zero
        for i, name in enumerate(inputs.names):
            given = trace.drive[name][:-1][there]
            given = np.log(given) if name == "width" else given
            extra[i, : count - 1, lane][there] = (given - inputs.mean[i]) / inputs.spread[i]
    names = [trace.parameters.get("device", 0.0) for trace in recordings]
    devices = sorted(set(names))
    group = np.arange(lanes) if len(devices) == 1 else np.array([devices.index(name) for name in names])
    return PulseData(reads, seen, pulses, polarity, extra, group, len(devices), scale, inputs, first.unit("conductance"), pause)


def _outliers(trace: Trace) -> npt.NDArray[np.bool_]:
    """Reads far beyond both neighbours, in a train of one polarity that has no reason to turn and return."""
    reads = trace.output["conductance"]
    found = np.zeros(len(reads), dtype=bool)
    signed = np.sign(trace.drive[SET] - trace.drive[RESET])
    step = np.diff(reads)
    typical = float(np.median(np.abs(step)))
    if len(reads) < 10 or not typical > 0:
        return found
    before, after = step[:-1], step[1:]
    alone = (before * after < 0) & (np.minimum(np.abs(before), np.abs(after)) > FAR * typical)
    found[1:-1] = alone & (signed[:-2] == signed[1:-1])
    return found


def _check(index: int, trace: Trace) -> None:
    missing = [name for name in (SET, RESET) if name not in trace.drive]
    if missing or "conductance" not in trace.output:
        raise TraceError(
            f"trace {index} has drives {sorted(trace.drive)} and outputs {sorted(trace.output)}; expected drives SET and RESET "
            "and the output conductance, as read_trace(path, pulses=...) returns them."
        )
    if len(trace) < 3:
        raise TraceError(f"trace {index} holds {len(trace)} reads; at least 3 are needed to tell read noise from change.")
    for name, values in trace.channels.items():
        if not bool(np.isfinite(values).all()):
            raise TraceError(f"trace {index} has {int((~np.isfinite(values)).sum())} values of {name!r} that are not finite.")
    counts = np.stack([trace.drive[SET], trace.drive[RESET]])
    if bool((counts < 0).any()) or bool((counts != np.round(counts)).any()):
        raise TraceError(f"trace {index} has numbers of pulses that are negative or not whole.")
    if bool((counts > 0).all(0).any()):
        raise TraceError(f"trace {index} has SET and RESET pulses between the same two reads; which came first is not known.")


def _inputs(recordings: TraceSet) -> Inputs:
    names, mean, spread = [], [], []
    ranges: dict[str, tuple[float, float]] = {}
    usual: dict[str, tuple[float, float]] = {}
    for name in ("voltage", "width"):
        if name not in recordings[0].drive:
            continue
        used = [(t.drive[SET] + t.drive[RESET])[:-1] > 0 for t in recordings]
        values = np.concatenate([t.drive[name][:-1][there] for t, there in zip(recordings, used, strict=True)])
        if not len(values):
            continue
        if not values.min() > 0:
            raise TraceError(f"a pulse has the {name} {values.min():.4g}; expected positive numbers, polarity apart.")
        ranges[name] = (float(values.min()), float(values.max()))
        signs = np.concatenate([np.sign(t.drive[SET] - t.drive[RESET])[:-1][u] for t, u in zip(recordings, used, strict=True)])
        medians = [float(np.median(values[signs == sign])) if (signs == sign).any() else None for sign in (1, -1)]
        usual[name] = (medians[0] or medians[1] or 0.0, medians[1] or medians[0] or 0.0)
        values = np.log(values) if name == "width" else values
        if values.std() > 1e-6 * max(1.0, abs(float(values.mean()))):
            names.append(name)
            mean.append(float(values.mean()))
            spread.append(float(values.std()))
    return Inputs(tuple(names), tuple(mean), tuple(spread), ranges, usual)
