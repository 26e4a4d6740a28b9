"""`Trace`, one recording of a device, and `TraceSet`, several recordings of different lengths."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import TraceError
from ..typing import Array
from ..validation import describe_type

#: How a drive behaves between its samples.
INTERPOLATIONS = ("held", "linear", "spline")

#: What NaN in an output means: an error that a fit refuses, or a missing sample that it leaves out.
MISSING = ("refuse", "mask")


def _is_constant(array: npt.NDArray[Any] | None) -> bool:
    """Return True if the array can never change: neither it nor any array of which it is a view is writeable."""
    while isinstance(array, np.ndarray) and not array.flags.writeable:
        array = array.base
    return array is None


def _frozen(values: npt.ArrayLike, name: str) -> Array:
    """Return a read-only float64 array; a copy unless the array can never change."""
    try:
        given = np.asarray(values)
        if given.dtype.kind not in "biufO":  # NumPy would drop an imaginary part and count days as numbers
            raise TypeError(f"their type is {given.dtype}")
        array = given if given.dtype == np.float64 and _is_constant(given) else np.array(given, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TraceError(f"{name} has values that are not numbers ({error}); pass real numbers in SI units.") from None
    if array.ndim != 1:
        raise TraceError(f"{name} has shape {array.shape}; expected one dimension, (time,).")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """One recording of a driven device, in SI units and float64.

    Attributes:
        time: Sample times [s], or the index of the pulse or sample if there are no times, shape (time,). Steps may be
            irregular, as in the files of simulators.
        drive: Named drive channels, each of shape (time,).
        output: Named output channels, each of shape (time,).
        parameters: Constants of this recording, such as a temperature or a thickness.
        units: SI unit of each channel and parameter ("" if dimensionless), and optionally of `"time"`.
        interpolation: How a drive behaves between its samples: "held", "linear" or "spline"; for drives without an entry,
            `spinode.traces.held_drives.infer_interpolation` decides.
        provenance: Origin of the recording: file, reader, instrument, and the cuts and resampling since then.
        missing: "mask" if NaN in an output marks a missing sample, which fits and scores leave out; "refuse" if NaN is an
            error. Drives must be known at all times.

    Raises:
        TraceError: a channel of another length than `time`, two channels of one name, or no samples.

    Example:
        >>> trace = Trace([0.0, 1e-9, 2e-9], drive={"V": [0, 1, 1]}, output={"I": [0, 2e-6, 3e-6]}, units={"V": "V", "I": "A"})
        >>> trace
        Trace(3 samples, 0 .. 2e-09 s, drive=['V'], output=['I'], parameters={})
        >>> trace.between(0.5e-9).output["I"].tolist()
        [2e-06, 3e-06]
    """

    time: Array
    drive: Mapping[str, Array] = field(default_factory=dict)
    output: Mapping[str, Array] = field(default_factory=dict)
    parameters: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    interpolation: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    missing: str = "refuse"

    def __post_init__(self) -> None:
        store = partial(object.__setattr__, self)  # as dataclasses set the fields of a frozen instance
        store("time", _frozen(self.time, "time"))
        if not len(self.time) or not (self.drive or self.output):
            raise TraceError(
                f"the trace has {len(self.time)} samples of {len(self.drive) + len(self.output)} channels; expected at least "
                "one sample of one channel."
            )
        for role in ("drive", "output"):
            channels = {str(name): _frozen(values, f"{role} {name!r}") for name, values in getattr(self, role).items()}
            for name, values in channels.items():
                if len(values) != len(self.time):
                    raise TraceError(
                        f"{role} {name!r} has {len(values)} samples, time has {len(self.time)}; "
                        "every channel needs one value per sample time."
                    )
            store(role, MappingProxyType(channels))
        names = [*self.drive, *self.output, *self.parameters]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise TraceError(f"the name {repeated[0]!r} is used twice; drives, outputs and parameters need distinct names.")
        for name, kind in self.interpolation.items():
            if kind not in INTERPOLATIONS:
                raise TraceError(f"interpolation of {name!r} is {kind!r}; expected one of {', '.join(INTERPOLATIONS)}.")
        for name, value in self.parameters.items():
            if np.ndim(value) or not np.issubdtype(np.asarray(value).dtype, np.number) or np.iscomplexobj(value):
                raise TraceError(f"parameter {name!r} is {value!r}; expected one real number in SI units.")
        if self.missing not in MISSING:
            raise TraceError(f"missing is {self.missing!r}; expected one of {', '.join(MISSING)}.")
        store("parameters", MappingProxyType({str(k): float(v) for k, v in self.parameters.items()}))
        for role in ("units", "interpolation", "provenance"):
            store(role, MappingProxyType(dict(getattr(self, role))))

    def __len__(self) -> int:
        return len(self.time)

    def __reduce__(self) -> tuple[type[Trace], tuple[Any, ...]]:
        """Copy and pickle through the constructor, because read-only views of mappings support neither."""
        values = [getattr(self, each.name) for each in fields(self)]
        return type(self), tuple(dict(value) if isinstance(value, Mapping) else value for value in values)

    @property
    def channels(self) -> dict[str, Array]:
        """Drives and outputs by name."""
        return {**self.drive, **self.output}

    def __repr__(self) -> str:
        """Return names and lengths; a recording has too many samples to print."""
        span = f", {self.time[0]:.6g} .. {self.time[-1]:.6g} {self.unit('time')}" if len(self) else ""
        named = f"drive={list(self.drive)}, output={list(self.output)}, parameters={dict(self.parameters)}"
        return f"Trace({len(self)} samples{span}, {named})"

    def _repr_html_(self) -> str:
        """Return names, lengths and a picture of the channels, for notebooks."""
        from ..reporting.notebook import notebook_html, plot_channels

        rows = [(role, ", ".join(names) or "none") for role, names in (("drive", self.drive), ("output", self.output))]
        span = f"{self.time[0]:.6g} .. {self.time[-1]:.6g} {self.unit('time')}"
        return notebook_html(
            f"Trace, {len(self)} samples",
            [("time", span), *rows, *((name, f"{value:g} {self.unit(name)}") for name, value in self.parameters.items())],
            lambda: plot_channels(self.time, self.channels, self.unit),
            "drives and outputs over time",
        )

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """True where an output was recorded, False where its sample is missing, shape (time, outputs)."""
        columns = [np.isfinite(values) for values in self.output.values()]
        return np.stack(columns, -1) if columns else np.zeros((len(self), 0), dtype=np.bool_)

    def masked(self, present: npt.ArrayLike | None = None) -> Trace:
        """Return the trace with missing samples of its outputs; a fit leaves them out instead of refusing NaN.

        Args:
            present: True where a sample was recorded, shape (time,) for all outputs or (time, outputs). If omitted, the
                samples that are NaN or infinite are missing.

        Raises:
            TraceError: another shape or type.

        Example:
            >>> trace = Trace([0.0, 1.0, 2.0], output={"x": [1, 2, 3]}).masked([True, False, True])
            >>> trace.output["x"].tolist(), trace.present[:, 0].tolist()
            ([1.0, nan, 3.0], [True, False, True])
        """
        mask = self.present if present is None else np.asarray(present)
        mask = mask[:, None] if mask.ndim == 1 else mask
        if mask.dtype != np.bool_ or mask.shape[:1] != (len(self),) or mask.shape[1:] not in ((1,), (len(self.output),)):
            raise TraceError(
                f"present has shape {mask.shape} and type {mask.dtype}; expected True or False of shape "
                f"({len(self)},) or ({len(self)}, {len(self.output)}), one for each sample."
            )
        mask = np.broadcast_to(mask, (len(self), len(self.output)))
        output = {name: np.where(mask[:, i], values, np.nan) for i, (name, values) in enumerate(self.output.items())}
        return replace(self, output=output, missing="mask")

    def unit(self, name: str) -> str:
        """Return the unit of a channel, a parameter or `"time"`; if not given, "" and for the time "s"."""
        return self.units.get(name, "s" if name == "time" else "")

    @property
    def duration(self) -> float:
        """Time from the first to the last sample [s]."""
        return float(self.time[-1] - self.time[0])

    def assign(self, drive: str | Sequence[str] = (), output: str | Sequence[str] = ()) -> Trace:
        """Return a trace with other roles of the channels; channels that are not named are dropped.

        Args:
            drive: Name or names of the channels that drive the device; empty for an autonomous device.
            output: Name or names of the channels that are the response of the device.

        Raises:
            TraceError: an unknown name, or a name used twice.

        Example:
            >>> table = Trace([0.0, 1.0], output={"V": [0, 1], "I": [0, 2], "T": [300, 301]})
            >>> table.assign(drive="V", output="I")
            Trace(2 samples, 0 .. 1 s, drive=['V'], output=['I'], parameters={})
        """
        known = self.channels
        drive, output = ((names,) if isinstance(names, str) else tuple(names) for names in (drive, output))
        for name in (*drive, *output):
            if (*drive, *output).count(name) > 1:
                raise TraceError(f"the channel {name!r} is named twice; give each channel one role.")
            if name not in known:
                raise TraceError(f"there is no channel {name!r}; the channels are: {', '.join(known)}.")
        return replace(self, drive={name: known[name] for name in drive}, output={name: known[name] for name in output})

    def between(self, start: float | None = None, stop: float | None = None) -> Trace:
        """Return the part start <= t <= stop, both ends included to within a millionth of the median step.

        Args:
            start: First time [s]; that of the recording if omitted.
            stop: Last time [s]; that of the recording if omitted.

        Raises:
            TraceError: the part lies outside the recording, or has fewer than two samples.
        """
        if len(self) < 2:
            raise TraceError(f"the trace has {len(self)} samples; at least 2 are needed.")
        missing = int(np.count_nonzero(~np.isfinite(self.time)))
        if missing:
            raise TraceError(f"{missing} of {len(self)} sample times are not finite; drop these samples before cutting.")
        step = float(np.median(np.abs(np.diff(self.time))))
        first, last = float(np.min(self.time)), float(np.max(self.time))
        low = first if start is None else float(start)
        high = last if stop is None else float(stop)
        if start is not None and stop is not None and not low < high:
            raise TraceError(f"start ({low:.6g} s) must lie before stop ({high:.6g} s).")
        if not (low == low and high == high):
            raise TraceError("start or stop is not a number; pass seconds.")
        # Some tolerance: a table whose steps jitter ends a fraction of a step away from its nominal end.
        if low < first - 1.5 * step or high > last + 1.5 * step:
            raise TraceError(
                f"the part {low:.6g} .. {high:.6g} s leaves the recording, "
                f"which lasts from {first:.6g} to {last:.6g} s; choose start and stop inside it."
            )
        keep = (self.time >= low - 1e-6 * step) & (self.time <= high + 1e-6 * step)
        if keep.sum() < 2:
            raise TraceError(f"the part {low:.6g} .. {high:.6g} s has {int(keep.sum())} samples; at least 2 are needed.")
        return replace(self.rows(keep), provenance={**self.provenance, "stretch": [low, high]})

    def rows(self, keep: Any) -> Trace:
        """Return the selected samples.

        Args:
            keep: A slice, numbers of samples, or True for each sample to keep, shape (time,).

        Example:
            >>> Trace([0.0, 1.0, 2.0], output={"x": [1, 2, 3]}).rows(slice(1, 3)).output["x"].tolist()
            [2.0, 3.0]
        """
        drive, output = ({name: v[keep] for name, v in channels.items()} for channels in (self.drive, self.output))
        return replace(self, time=self.time[keep], drive=drive, output=output)

    def fingerprint(self) -> str:
        """Return the SHA-256 of times, channels with their roles, parameters and units, which identifies the data."""
        digest = hashlib.sha256(repr(sorted((k, v, self.unit(k)) for k, v in self.parameters.items())).encode())
        for role, channels in (("time", {"time": self.time}), ("drive", self.drive), ("output", self.output)):
            for name, values in sorted(channels.items()):
                digest.update(repr((role, name, self.unit(name), len(values))).encode())
                digest.update(values.tobytes())
        if self.missing != "refuse":
            digest.update(self.missing.encode())
        return digest.hexdigest()

    def identity_parts(self) -> dict[str, Any]:
        """Return what shapes a fit: all but the provenance, and the order of the channels; see `spinode.identity`."""
        parts = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "provenance"}
        return {**parts, "order": [list(self.drive), list(self.output), list(self.parameters)]}


def check_trace(trace: Any, name: str = "trace") -> None:
    """Check that an argument, which messages call `name`, is one recording.

    Raises:
        TraceError: anything else, such as a list of recordings or a path.
    """
    if not isinstance(trace, Trace):
        raise TraceError(
            f"{name} is {describe_type(trace)}; expected one spinode.Trace, such as read_trace(path, ...) returns, or one "
            "of a list of them."
        )


def as_traces(data: Any) -> list[Any]:
    """Return one recording or several as a list, whose members remain to be checked.

    Raises:
        TraceError: neither a recording nor a sequence.
    """
    if isinstance(data, Trace):
        return [data]
    if isinstance(data, Iterable):
        return list(data)
    raise TraceError(
        f"the data is {describe_type(data)}; expected a spinode.Trace, such as read_trace(path, ...) returns, or a sequence "
        "of them."
    )


@dataclass(frozen=True, eq=False)
class TraceSet(Sequence[Trace]):
    """Several recordings with the same channels; lengths, starts and steps may differ.

    Raises:
        TraceError: no trace, or traces whose channel names, parameter names or units differ.

    Example:
        >>> first = Trace([0.0, 1.0, 2.0], output={"x": [1, 2, 3]})
        >>> traces = TraceSet([first, first.between(1.0)])
        >>> [len(trace) for trace in traces]
        [3, 2]
    """

    traces: tuple[Trace, ...]

    def __init__(self, traces: Trace | Sequence[Trace]) -> None:
        members = tuple(as_traces(traces))
        if not members:
            raise TraceError("the trace set is empty; expected at least one trace.")
        first = members[0]
        for index, trace in enumerate(members):
            if not isinstance(trace, Trace):
                raise TraceError(f"trace {index} is a {type(trace).__name__}; expected a spinode.Trace.")
            for role in ("drive", "output", "parameters"):
                got, expected = sorted(getattr(trace, role)), sorted(getattr(first, role))
                if got != expected:
                    raise TraceError(f"trace {index} has {role} {got}, trace 0 has {expected}; a set needs the same names.")
            for name in ("time", *first.channels, *first.parameters):
                if trace.unit(name) != first.unit(name):
                    raise TraceError(
                        f"{name!r} is in {trace.unit(name)!r} in trace {index} and in {first.unit(name)!r} in trace 0; "
                        "convert them to one unit."
                    )
        object.__setattr__(self, "traces", members)

    def __len__(self) -> int:
        return len(self.traces)

    def __getitem__(self, index: Any) -> Any:
        return TraceSet(self.traces[index]) if isinstance(index, slice) else self.traces[index]

    def __iter__(self) -> Iterator[Trace]:
        return iter(self.traces)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the fingerprints of all traces, in their order."""
        return hashlib.sha256("".join(trace.fingerprint() for trace in self).encode()).hexdigest()

    def identity_parts(self) -> dict[str, Any]:
        """Return the recordings; see `spinode.identity`."""
        return {str(index): trace for index, trace in enumerate(self.traces)}
