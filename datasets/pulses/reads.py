"""Reads of memory devices with the pulses between them, and their traces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import TraceError
from ...traces.trace import Trace, TraceSet
from ...typing import Array
from ..parsing.messages import counted
from .columns import UNITS, PulseColumns

Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# Normalised conductances are of the order of one; those in siemens are smaller.
_MIN_NORMALISED = 0.01


@dataclass(frozen=True, eq=False)
class Reads:
    """The reads of all recordings, one recording after the other.

    Attributes:
        edges: Positions at which the recordings begin and end, shape (recordings + 1,).
        count: Pulses between the previous read and this one, above zero SET and below RESET, shape (reads,). Those before the
            first read of a recording count in the number of pulses received, and nowhere else.
        conductance: Shape (reads,).
        unit: SI unit of the conductance: "S", or "" for a normalised one.
        device: Number of the device, shape (recordings,).
        cycle: Number of the cycle, shape (recordings,).
        time: Times [s]; None where the number of pulses is the time.
        amplitudes: "voltage" [V] and "width" [s] of the pulses before each read, where they are known.
        names: Names of devices and cycles that are not numbers, shape (recordings,).
    """

    edges: Index
    count: Array
    conductance: Array
    unit: str
    device: Array
    cycle: Array
    time: Array | None = None
    amplitudes: Mapping[str, Array] = field(default_factory=dict)
    names: Mapping[str, list[str]] = field(default_factory=dict)

    def traces(
        self, parameters: Mapping[str, float], units: Mapping[str, str], provenance: Mapping[str, Any], doubts: list[str]
    ) -> TraceSet:
        """Return one trace for each recording of two or more reads.

        Drive sample k is applied after read k and leads to read k + 1, so the columns move up by one: the pulse before the
        first read is not part of the dynamics, and none follows the last one, whose amplitudes repeat.

        Raises:
            TraceError: every recording contains a single read.
        """
        last = self.edges[1:] - 1
        next_count = np.append(self.count[1:], 0.0)
        next_count[last] = 0.0
        drives = {"SET": np.maximum(next_count, 0.0), "RESET": np.maximum(-next_count, 0.0)}
        for name, values in self.amplitudes.items():
            drives[name] = np.append(values[1:], values[-1])
            drives[name][last] = values[last]
        time = self._received() if self.time is None else self.time
        symbols = {**units, "time": "" if self.time is None else "s", "conductance": self.unit, "SET": "", "RESET": ""}
        symbols |= {name: UNITS[name] for name in self.amplitudes} | {"device": "", "cycle": ""}
        traces = []
        for index, (first, end) in enumerate(zip(self.edges[:-1].tolist(), self.edges[1:].tolist(), strict=True)):
            if end - first < 2:
                continue
            own = slice(first, end)
            trace = Trace(
                time[own],
                {name: values[own] for name, values in drives.items()},
                {"conductance": self.conductance[own]},
                {**parameters, "device": float(self.device[index]), "cycle": float(self.cycle[index])},
                symbols,
                dict.fromkeys(drives, "held"),
                {**provenance, **{role: names[index] for role, names in self.names.items()}},
            )
            traces.append(trace)
        self._report_single_reads(len(traces), doubts)
        return TraceSet(traces)

    def _received(self) -> Array:
        """Return the number of pulses that the device has received in its recording at each read."""
        total = np.cumsum(np.abs(self.count))
        before = np.append(0.0, total)[self.edges[:-1]]
        return np.asarray(total - np.repeat(before, np.diff(self.edges)))

    def _report_single_reads(self, kept: int, doubts: list[str]) -> None:
        singles = np.flatnonzero(np.diff(self.edges) < 2)
        if not len(singles):
            return
        example = f"device {self.device[singles[0]]:g}, cycle {self.cycle[singles[0]]:g}"
        if len(self.conductance) == 1:
            raise TraceError("the file contains one read only, and the effect of a pulse needs two; is it cut off?")
        if not kept:
            raise TraceError(
                f"each of the {len(singles)} recordings contains a single read (such as {example}), and the effect of a pulse "
                "needs two. Is the right column the cycle? Leave a role out with PulseLayout(columns={'cycle': ''})."
            )
        doubts.append(
            f"{len(singles)} of {len(self.edges) - 1} recordings {'contains' if len(singles) == 1 else 'contain'} a single "
            f"read (such as {example}) and {'is' if len(singles) == 1 else 'are'} left out"
        )


def to_conductance(
    columns: PulseColumns, name: str, role: str, values: Array, where: Callable[[int], str], voltage: Array | float | None
) -> tuple[Array, str]:
    """Return the reads of a column as conductances, and their unit "S" or ""; NaN for a blank cell, a read that was not seen.

    Args:
        columns: The columns of the file.
        name: Name of the column.
        role: "conductance", "resistance" or "current".
        values: Its reads as the file has them.
        where: Returns the name of a row for a message.
        voltage: Voltage [V] of the reads, for currents.

    Raises:
        TraceError: a read that is infinite, or gives no finite conductance; with its row.
        UnitError: a unit of another kind than the role has.
    """
    converted, unit = columns.to_si(name, role, values)
    with np.errstate(divide="ignore", invalid="ignore"):
        if role == "resistance":
            converted, unit = 1.0 / converted, "S"
        elif role == "current":
            columns.read_voltage_is_used = True
            converted, unit = converted / (1.0 if voltage is None else voltage), "S"
    bad = np.flatnonzero(~np.isfinite(converted) & ~np.isnan(values))
    if len(bad):
        raise TraceError(
            f"{where(int(bad[0]))}: the {role} in column {name!r} is {values[bad[0]]:g}, which gives no finite conductance "
            f"({counted(len(bad), 'such read')}). Remove such rows; a pulse index that skips them stays valid."
        )
    low = np.flatnonzero(converted <= 0)
    if unit == "S" and len(low):
        columns.doubts.append(
            f"{len(low)} of {len(converted)} conductances in column {name!r} are not above zero (the first in "
            f"{where(int(low[0]))}: {converted[low[0]]:.4g} S): offset or noise of the instrument"
        )
    if role == "conductance" and columns.unit(name, role) is None and is_small(converted):
        columns.doubts.append(
            f"column {name!r} has no unit and is taken as normalised, but its values are small (up to "
            f"{np.nanmax(np.abs(converted)):.3g}); if they are siemens, pass pulses=PulseLayout(conductance_unit='S')"
        )
    return converted, unit


def without_blank_reads(reads: Reads, where: Callable[[int], str]) -> Reads:
    """Return the reads that were seen; pulses before a blank one count for the next read of the recording.

    Args:
        reads: Reads whose conductance is NaN where the cell is blank.
        where: Returns the name of a position for a message.

    Raises:
        TraceError: pulses of both polarities between two reads, or no read at all.
    """
    seen = np.isfinite(reads.conductance)
    if seen.all():
        return reads
    if not seen.any():
        raise TraceError("there is no read in this file; all cells of its column are blank.")
    recording = np.repeat(np.arange(len(reads.edges) - 1), np.diff(reads.edges))
    kept = np.flatnonzero(seen)
    net, total = (np.append(0.0, np.cumsum(values)) for values in (reads.count, np.abs(reads.count)))
    previous = np.append(-1, kept[:-1])
    begins = np.maximum(previous + 1, reads.edges[:-1][recording[kept]])
    count, pulses = net[kept + 1] - net[begins], total[kept + 1] - total[begins]
    is_first = np.append(True, recording[kept][1:] != recording[kept][:-1])
    mixed = (np.abs(np.abs(count) - pulses) > 0.5) & ~is_first
    if mixed.any():
        raise TraceError(
            f"{where(int(kept[mixed][0]))}: the read follows pulses of both polarities, since those before it are blank, and "
            "their order is not known to a model. Cut the recording there, by a column for the cycle."
        )
    count = np.where(is_first, np.sign(count) * pulses, count)
    present, lengths = np.unique(recording[kept], return_counts=True)
    return Reads(
        np.append(0, np.cumsum(lengths)),
        count,
        reads.conductance[kept],
        reads.unit,
        reads.device[present],
        reads.cycle[present],
        None if reads.time is None else reads.time[kept],
        {name: values[kept] for name, values in reads.amplitudes.items()},
        {role: [names[index] for index in present.tolist()] for role, names in reads.names.items()},
    )


def is_small(values: Array) -> bool:
    """Return True if reads are far too small for normalised ones."""
    return bool(np.isfinite(values).any()) and bool(np.nanmax(np.abs(values)) < _MIN_NORMALISED)


def no_read_voltage(name: str) -> TraceError:
    """Return the error for currents without a read voltage."""
    return TraceError(
        f"the reads in column {name!r} are currents at an unknown voltage; pass it: pulses=PulseLayout(..., read_voltage=0.1)."
    )
