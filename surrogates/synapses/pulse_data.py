"""Pulse-by-pulse recordings as arrays side by side, the data of a synapse fit."""

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

#: Factor between smallest and largest conductance above which the scale is logarithmic.
LOG_FACTOR = 3.0
#: Typical steps to both neighbours above which a read is an outlier.
OUTLIER_STEPS = 50


@dataclass(frozen=True)
class Scale:
    """Conductance to the dimensionless state and back: x = (g - centre) / spread, g = G or ln G.

    Attributes:
        kind: "linear" or "log".
        centre: Mean of g.
        spread: Standard deviation of g.

    Example:
        >>> import numpy as np
        >>> Scale.of(np.array([1.0, 10.0, 100.0])).kind
        'log'
    """

    kind: str
    centre: float
    spread: float

    @classmethod
    def of(cls, values: Array, kind: str | None = None) -> Scale:
        """Return the scale of measured conductances; logarithmic if they are positive and span a factor of three.

        Args:
            values: Conductances, of any shape.
            kind: "linear" or "log"; chosen by the values if omitted.

        Raises:
            TraceError: conductances that never change, or that are not positive under a logarithmic scale.
        """
        if kind is None:
            logarithmic = values.min() > 0 and np.quantile(values, 0.99) > LOG_FACTOR * np.quantile(values, 0.01)
            kind = "log" if logarithmic else "linear"
        if kind == "log" and values.min() <= 0:
            raise TraceError(f"the conductance reaches {values.min():.4g}; a logarithmic scale needs positive values.")
        g = np.log(values) if kind == "log" else values
        spread = float(g.std())
        if not spread > 1e-9 * float(np.abs(g).max()):
            raise TraceError("the conductance never changes, so there is nothing to fit. Check the columns of the file.")
        return cls(kind, float(g.mean()), spread)

    def __call__(self, conductance: Array) -> Array:
        """Return the state of a conductance."""
        g = np.log(conductance) if self.kind == "log" else conductance
        return np.asarray((g - self.centre) / self.spread)


@dataclass(frozen=True)
class Inputs:
    """Scaling of voltage and width, the inputs of the drift in addition to the polarity.

    Attributes:
        names: Those of "voltage" and "width" that vary in the data; a width enters by its logarithm.
        mean: Mean of each.
        spread: Standard deviation of each.
        ranges: Smallest and largest value [V], [s], also of inputs that do not vary.
        usual: Median of SET and of RESET pulses [V], [s]; if one polarity is missing, that of the other.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    ranges: dict[str, tuple[float, float]]
    usual: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class PulseData:
    """Recordings side by side, padded to the longest; a lane is one recording.

    Attributes:
        reads: State x of each read, shape (reads, lanes).
        seen: True where a read exists, shape (reads, lanes).
        pulses: Number of pulses of each step, shape (reads - 1, lanes).
        polarity: +1 SET, -1 RESET, 0 for none, shape (reads - 1, lanes).
        extra: Standardised voltage and log width, shape (inputs, reads - 1, lanes).
        group: Index of the group of latent parameters of a lane, shape (lanes,): its device or, for one device, its cycle.
        devices: Number of devices.
        scale: Scale of the conductance.
        inputs: Scaling of voltage and width.
        unit: Unit of the conductance.
        pause: Length [s] of each step without pulses, shape (reads - 1, lanes); zero elsewhere, or if time is not in seconds.
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
        """Number of groups of latent parameters."""
        return int(self.group.max()) + 1

    @property
    def polarities(self) -> tuple[str, ...]:
        """Polarities of the pulses that were applied."""
        return tuple(name for name, sign in ((SET, 1), (RESET, -1)) if bool((self.polarity == sign).any()))

    @property
    def repeated_reads(self) -> npt.NDArray[np.bool_]:
        """True for steps without a pulse and without a pause between two reads, shape (reads - 1, lanes)."""
        return np.asarray(self.seen[1:] & self.seen[:-1] & (self.pulses == 0) & (self.pause == 0))

    def reads_after_pulses(self) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Return the reads with a pulse or a pause before them, and True where they exist; both of shape (reads, lanes)."""
        first = np.concatenate([self.seen[:1], self.seen[1:] & ~self.repeated_reads])
        order = np.argsort(~first, axis=0, kind="stable")
        return np.take_along_axis(self.reads, order, 0), np.take_along_axis(first, order, 0)

    def thinned(self, every: int) -> PulseData:
        """Return every `every`-th read and the pulses between, which must be alike, see `can_be_thinned`."""
        if every == 1:
            return self
        kept = np.arange(0, len(self.reads), every)
        starts, lanes = kept[:-1], np.arange(self.reads.shape[1])
        pulses = np.add.reduceat(self.pulses[: kept[-1]], starts, axis=0)
        blocks = (self.pulses[: kept[-1]] > 0).reshape(-1, every, len(lanes))
        pulsed = starts[:, None] + blocks.argmax(1)  # the first step with a pulse in each block, if there is one
        return replace(
            self,
            reads=self.reads[kept],
            seen=self.seen[kept],
            pulses=pulses,
            polarity=self.polarity[pulsed, lanes],
            extra=self.extra[:, pulsed, lanes],
            pause=np.add.reduceat(self.pause[: kept[-1]], starts, axis=0),
        )

    def can_be_thinned(self, every: int) -> bool:
        """Return True if thinning by this factor combines only pulses of the same polarity, voltage and width."""
        steps = len(self.pulses) // every * every
        if not steps:
            return False
        pulsed = self.pulses[:steps] > 0
        for values in (self.polarity, *self.extra):
            blocks = np.where(pulsed, values[:steps], np.nan).reshape(-1, every, values.shape[-1])
            largest = np.where(pulsed, values[:steps], -np.inf).reshape(blocks.shape).max(1, keepdims=True)
            if bool((np.abs(blocks - largest) > 1e-9).any()):
                return False
        return True

    def lanes(self, chosen: npt.NDArray[np.intp]) -> PulseData:
        """Return some of the recordings."""
        return replace(
            self,
            reads=self.reads[:, chosen],
            seen=self.seen[:, chosen],
            pulses=self.pulses[:, chosen],
            polarity=self.polarity[:, chosen],
            extra=self.extra[:, :, chosen],
            pause=self.pause[:, chosen],
            group=self.group[chosen],
        )

    def first_reads(self, counts: npt.NDArray[np.intp]) -> PulseData:
        """Return the first reads of each recording.

        Args:
            counts: Number of reads, shape (lanes,).
        """
        length = max(int(counts.max()), 2)
        return replace(
            self,
            reads=self.reads[:length],
            seen=self.seen[:length] & (np.arange(length)[:, None] < counts),
            pulses=self.pulses[: length - 1],
            polarity=self.polarity[: length - 1],
            extra=self.extra[:, : length - 1],
            pause=self.pause[: length - 1],
        )


def pulse_data(
    traces: TraceSet | Sequence[Trace] | Trace, *, scale: Scale | str | None = None, inputs: Inputs | None = None
) -> PulseData:
    """Return pulse-by-pulse recordings, as `read_trace(..., pulses=...)` returns them, as arrays.

    Args:
        traces: One for each device and cycle: output "conductance", drives "SET" and "RESET" (numbers of pulses between this
            read and the next), optionally "voltage" [V] and "width" [s], parameter "device".
        scale: "linear" or "log", or a `Scale` that is already known; chosen by the data if omitted.
        inputs: Inputs of a fitted surrogate; chosen by the data if omitted.

    Raises:
        TraceError: other channels, values that are not finite, both polarities in one step, fewer than three reads, or a
            missing voltage or width of `inputs`.
    """
    recordings = TraceSet(traces) if not isinstance(traces, TraceSet) else traces
    for index, trace in enumerate(recordings):
        check_pulses(index, trace)
    first = recordings[0]
    valid = [~_outliers(trace) for trace in recordings]
    outliers = sum(int((~each).sum()) for each in valid)
    if outliers:
        lane = next(i for i, each in enumerate(valid) if not each.all())
        row = int(np.argmin(valid[lane]))
        warnings.warn(
            f"{outliers} read(s) are outliers, {OUTLIER_STEPS} typical steps or more from both neighbours, such as read {row} "
            f"of recording {lane} ({recordings[lane].output['conductance'][row]:.4g}); they are left out. Check the file.",
            TraceWarning,
            stacklevel=3,
        )
    values = np.concatenate([trace.output["conductance"][each] for trace, each in zip(recordings, valid, strict=True)])
    if not isinstance(scale, Scale):
        scale = Scale.of(values, scale)
    elif scale.kind == "log" and values.min() <= 0:
        raise TraceError(f"the conductance reaches {values.min():.4g}; the logarithmic scale needs positive values.")
    inputs = _inputs_of(recordings) if inputs is None else inputs
    for name in inputs.names:
        if any(name not in trace.drive for trace in recordings):
            raise TraceError(f"the recordings have no drive {name!r}, which is an input of the surrogate; add it.")
    length = max(len(trace) for trace in recordings)
    lanes = len(recordings)
    reads, seen = np.zeros((length, lanes)), np.zeros((length, lanes), dtype=bool)
    pulses, polarity = np.zeros((length - 1, lanes)), np.zeros((length - 1, lanes))
    pause = np.zeros((length - 1, lanes))
    extra = np.zeros((len(inputs.names), length - 1, lanes))
    for lane, trace in enumerate(recordings):
        count = len(trace)
        # Outliers are replaced by their neighbour, for the path at which the drift is linearised; they do not count as reads.
        last_valid = np.maximum.accumulate(np.where(valid[lane], np.arange(count), 0))
        reads[:count, lane], seen[:count, lane] = scale(trace.output["conductance"][last_valid]), valid[lane]
        if trace.unit("time") == "s":
            waits = (trace.drive["SET"] + trace.drive["RESET"])[:-1] <= 0
            pause[: count - 1, lane] = np.where(waits, np.diff(trace.time), 0.0)
        signed = (trace.drive["SET"] - trace.drive["RESET"])[:-1]
        pulses[: count - 1, lane], polarity[: count - 1, lane] = np.abs(signed), np.sign(signed)
        pulsed = signed != 0  # without a pulse, voltage and width have no meaning and may be zero
        for i, name in enumerate(inputs.names):
            given = trace.drive[name][:-1][pulsed]
            given = np.log(given) if name == "width" else given
            extra[i, : count - 1, lane][pulsed] = (given - inputs.mean[i]) / inputs.spread[i]
    names = [trace.parameters.get("device", 0.0) for trace in recordings]
    devices = sorted(set(names))
    group = np.arange(lanes) if len(devices) == 1 else np.array([devices.index(name) for name in names])
    return PulseData(reads, seen, pulses, polarity, extra, group, len(devices), scale, inputs, first.unit("conductance"), pause)


def _outliers(trace: Trace) -> npt.NDArray[np.bool_]:
    """Return True for reads far from both neighbours, on one side, within a train of pulses of one polarity."""
    reads = trace.output["conductance"]
    outliers = np.zeros(len(reads), dtype=bool)
    signed = np.sign(trace.drive[SET] - trace.drive[RESET])
    step = np.diff(reads)
    typical = float(np.median(np.abs(step)))
    if len(reads) < 10 or not typical > 0:
        return outliers
    before, after = step[:-1], step[1:]
    isolated = (before * after < 0) & (np.minimum(np.abs(before), np.abs(after)) > OUTLIER_STEPS * typical)
    outliers[1:-1] = isolated & (signed[:-2] == signed[1:-1])
    return outliers


def check_pulses(index: int, trace: Trace) -> None:
    """Raise TraceError for a trace that is not pulse by pulse."""
    missing = [name for name in (SET, RESET) if name not in trace.drive]
    if missing or "conductance" not in trace.output:
        raise TraceError(
            f"trace {index} has drives {sorted(trace.drive)} and outputs {sorted(trace.output)}; expected drives SET and RESET "
            "and the output conductance, as read_trace(path, pulses=...) returns them."
        )
    if len(trace) < 3:
        raise TraceError(f"trace {index} has {len(trace)} reads; at least 3 are needed to separate read noise from changes.")
    for name, values in trace.channels.items():
        if not bool(np.isfinite(values).all()):
            raise TraceError(f"trace {index} has {int((~np.isfinite(values)).sum())} values of {name!r} that are not finite.")
    counts = np.stack([trace.drive[SET], trace.drive[RESET]])
    if bool((counts < 0).any()) or bool((counts != np.round(counts)).any()):
        raise TraceError(f"trace {index} has numbers of pulses that are negative or not whole.")
    if bool((counts > 0).all(0).any()):
        raise TraceError(f"trace {index} has SET and RESET pulses between the same two reads; their order is not known.")


def _inputs_of(recordings: TraceSet) -> Inputs:
    """Return the scaling of voltage and width that these recordings suggest."""
    names, mean, spread = [], [], []
    ranges: dict[str, tuple[float, float]] = {}
    usual: dict[str, tuple[float, float]] = {}
    for name in ("voltage", "width"):
        if name not in recordings[0].drive:
            continue
        used = [(t.drive[SET] + t.drive[RESET])[:-1] > 0 for t in recordings]
        values = np.concatenate([t.drive[name][:-1][u] for t, u in zip(recordings, used, strict=True)])
        if not len(values):
            continue
        if not values.min() > 0:
            raise TraceError(
                f"a pulse has the {name} {values.min():.4g}; expected a positive number; the polarity is given by SET or RESET."
            )
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
