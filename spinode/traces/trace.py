"""`Trace`, one recording of a device, and `TraceSet`, a ragged set of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import TraceError
from ..typing import Array

INTERPOLATIONS = ("held", "linear", "spline")


def _is_constant(array: npt.NDArray[Any] | None) -> bool:
    """Whether nobody holds a way to change the array: neither it nor what it is a view of can be written."""
    while isinstance(array, np.ndarray) and not array.flags.writeable:
        array = array.base
    return array is None


def _frozen(values: npt.ArrayLike, what: str) -> Array:
    try:
        given = np.asarray(values)
        if given.dtype.kind not in "biufO":  # NumPy would drop an imaginary part and count days as numbers
            raise TypeError(f"their type is {given.dtype}")
        array = given if given.dtype == np.float64 and _is_constant(given) else np.array(given, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TraceError(f"{what} holds values that are not numbers ({error}); pass real numbers in SI units.") from None
    if array.ndim != 1:
        raise TraceError(f"{what} has shape {array.shape}; expected one dimension, (time,).")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """One recording of a driven device, in SI units and float64.

    Attributes:
        time: Sample instants [s] (or the number of the pulse or sample where a recording has no times), shape (time,).
        Simulators write
            irregular steps: nothing here assumes a uniform one.
        drive: Named drive channels, each of shape (time,).
        output: Named output channels, each of shape (time,).
        parameters: Constants of this recording, such as a temperature or a thickness.
        units: SI unit of each channel and parameter ("" for a dimensionless one); `"time"` may be given as well.
        interpolation: How a drive runs between its samples: "held", "linear" or "spline"; drives not named here are
            judged by `spinode.traces.resample.recorded_interpolation`.
        provenance: Where the recording comes from: file, reader, instrument, cuts and resampling made since.

    Raises:
        TraceError: a channel of another length than `time`, two channels of one name, or nothing recorded.
    """

    time: Array
    drive: Mapping[str, Array] = field(default_factory=dict)
    output: Mapping[str, Array] = field(default_factory=dict)
    parameters: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    interpolation: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        store = partial(object.__setattr__, self)  # the way past the freeze that dataclasses themselves take
        store("time", _frozen(self.time, "time"))
        if not len(self.time) or not (self.drive or self.output):
            raise TraceError(
                f"nothing is recorded here: {len(self.time)} samples of {len(self.drive) + len(self.output)} channels; "
                "a trace needs one of each at least."
            )
        for role in ("drive", "output"):
            channels = {str(name): _frozen(values, f"{role} {name!r}") for name, values in getattr(self, role).items()}
            for name, values in channels.items():
                if len(values) != len(self.time):
                    raise TraceError(
                        f"{role} {name!r} has {len(values)} samples, time has {len(self.time)}; "
                        "every channel needs one value per instant."
                    )
            store(role, MappingProxyType(channels))
        names = [*self.drive, *self.output, *self.parameters]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise TraceError(f"the name {twice[0]!r} is used twice; drives, outputs and parameters need distinct names.")
        for name, kind in self.interpolation.items():
            if kind not in INTERPOLATIONS:
                raise TraceError(f"interpolation of {name!r} is {kind!r}; expected one of {', '.join(INTERPOLATIONS)}.")
        for name, value in self.parameters.items():
            if np.ndim(value) or not np.issubdtype(np.asarray(value).dtype, np.number) or np.iscomplexobj(value):
                raise TraceError(f"parameter {name!r} is {value!r}; expected one real number in SI units.")
        store("parameters", MappingProxyType({str(k): float(v) for k, v in self.parameters.items()}))
        for role in ("units", "interpolation", "provenance"):
            store(role, MappingProxyType(dict(getattr(self, role))))

    def __len__(self) -> int:
        return len(self.time)

    def __reduce__(self) -> tuple[type[Trace], tuple[Any, ...]]:
        """Copy and pickle through the constructor: the read-only views of the mappings know neither."""
        held = [getattr(self, part.name) for part in fields(self)]
        return type(self), tuple(dict(part) if isinstance(part, Mapping) else part for part in held)

    @property
    def channels(self) -> dict[str, Array]:
        """Drives and outputs together, by name."""
        return {**self.drive, **self.output}

    def __repr__(self) -> str:
        """Names and lengths; a recording has too many samples to print."""
        span = f", {self.time[0]:.6g} .. {self.time[-1]:.6g} {self.unit('time')}" if len(self) else ""
        named = f"drive={list(self.drive)}, output={list(self.output)}, parameters={dict(self.parameters)}"
        return f"Trace({len(self)} samples{span}, {named})"

    def unit(self, name: str) -> str:
        """Unit of a channel, a parameter or `"time"`; "" where none was given, and seconds for the time."""
        return self.units.get(name, "s" if name == "time" else "")

    @property
    def duration(self) -> float:
        """Time from the first to the last sample [s]."""
        return float(self.time[-1] - self.time[0])

    def assign(self, drive: str | Sequence[str] = (), output: str | Sequence[str] = ()) -> Trace:
        """Give channels their roles; channels not named are left out.

        Args:
            drive: Name or names of the channels that drive the device; empty for an autonomous one.
            output: Name or names of the channels that the device answers with.

        Raises:
            TraceError: an unknown name, or a name used twice.
        """
        known = self.channels
        drive, output = ((names,) if isinstance(names, str) else tuple(names) for names in (drive, output))
        for name in (*drive, *output):
            if (*drive, *output).count(name) > 1:
                raise TraceError(f"the channel {name!r} is named twice; give each channel one role.")
            if name not in known:
                raise TraceError(f"there is no channel {name!r} here; the channels are: {', '.join(known)}.")
        return replace(self, drive={name: known[name] for name in drive}, output={name: known[name] for name in output})

    def between(self, start: float | None = None, stop: float | None = None) -> Trace:
        """The stretch start <= t <= stop [s], both ends included to a millionth of the median step.

        Raises:
            TraceError: the stretch lies outside the recording, or holds fewer than two samples.
        """
        if len(self) < 2:
            raise TraceError(f"the trace holds {len(self)} samples; at least 2 are needed.")
        unknown = int(np.count_nonzero(~np.isfinite(self.time)))
        if unknown:
            raise TraceError(f"{unknown} of {len(self)} instants are not finite; drop these samples before cutting.")
        step = float(np.median(np.abs(np.diff(self.time))))
        first, last = float(np.min(self.time)), float(np.max(self.time))
        low = first if start is None else float(start)
        high = last if stop is None else float(stop)
        if start is not None and stop is not None and not low < high:
            raise TraceError(f"start ({low:.6g} s) must lie before stop ({high:.6g} s).")
        if not (low == low and high == high):
            raise TraceError("start or stop is not a number; pass seconds.")
        # One sample of slack: a table whose steps jitter ends a fraction of a step beside its nominal end.
        if low < first - 1.5 * step or high > last + 1.5 * step:
            raise TraceError(
                f"the stretch {low:.6g} .. {high:.6g} s leaves the recording, "
                f"which runs from {first:.6g} to {last:.6g} s; choose start and stop inside it."
            )
        keep = (self.time >= low - 1e-6 * step) & (self.time <= high + 1e-6 * step)
        if keep.sum() < 2:
            raise TraceError(f"the stretch {low:.6g} .. {high:.6g} s holds {int(keep.sum())} samples; at least 2 are needed.")
        cut = {role: {k: v[keep] for k, v in getattr(self, role).items()} for role in ("drive", "output")}
        return replace(self, time=self.time[keep], **cut, provenance={**self.provenance, "stretch": [low, high]})

    def fingerprint(self) -> str:
        """SHA-256 over times, channels with their roles, parameters and units: names a data set without storing it."""
        digest = hashlib.sha256(repr(sorted((k, v, self.unit(k)) for k, v in self.parameters.items())).encode())
        for role, channels in (("time", {"time": self.time}), ("drive", self.drive), ("output", self.output)):
            for name, values in sorted(channels.items()):
                digest.update(repr((role, name, self.unit(name), len(values))).encode())
                digest.update(values.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class TraceSet(Sequence[Trace]):
    """Several recordings with the same channels; lengths, starts and steps may all differ.

    Raises:
        TraceError: no trace, or traces whose channel names, parameter names or units differ.
    """

    traces: tuple[Trace, ...]

    def __init__(self, traces: Trace | Sequence[Trace]) -> None:
        chosen = (traces,) if isinstance(traces, Trace) else tuple(traces)
        if not chosen:
            raise TraceError("a trace set needs at least one trace; none came.")
        first = chosen[0]
        for index, trace in enumerate(chosen):
            if not isinstance(trace, Trace):
                raise TraceError(f"trace {index} is a {type(trace).__name__}; expected a spinode.Trace.")
            for role in ("drive", "output", "parameters"):
                got, want = sorted(getattr(trace, role)), sorted(getattr(first, role))
                if got != want:
                    raise TraceError(f"trace {index} has {role} {got}, trace 0 has {want}; a set needs the same names.")
            for name in ("time", *first.channels, *first.parameters):
                if trace.unit(name) != first.unit(name):
                    raise TraceError(
                        f"{name!r} is in {trace.unit(name)!r} in trace {index} and in {first.unit(name)!r} in trace 0; "
                        "convert them to one unit."
                    )
        object.__setattr__(self, "traces", chosen)

    def __len__(self) -> int:
        return len(self.traces)

    def __getitem__(self, index: Any) -> Any:
        return TraceSet(self.traces[index]) if isinstance(index, slice) else self.traces[index]

    def __iter__(self) -> Iterator[Trace]:
        return iter(self.traces)

    def fingerprint(self) -> str:
        """SHA-256 over the fingerprints of the members, in their order."""
        return hashlib.sha256("".join(trace.fingerprint() for trace in self).encode()).hexdigest()
