"""Reads of memory devices with the pulses between them, and the traces that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import TraceError
from ...traces.trace import Trace, TraceSet
from ...typing import Array
from .columns import UNITS, Quantities
from .table import counted

Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# Normalised conductances are of the order of one; siemens are not.
_SMALL = 0.01


@dataclass(frozen=True, eq=False)
class Reads:
    """The reads of all recordings, one recording after the other.

    Attributes:
        edges: Where the recordings begin and end, shape (recordings + 1,).
        count: Pulses between the read before and this one, above zero SET and below RESET, shape (reads,). Those before the
            first read of a recording count in the number of pulses received, and nowhere else.
        conductance: Shape (reads,).
        unit: SI unit of the conductance: "S", or "" for a normalised one.
        device: Number of the device, shape (recordings,).
        cycle: Number of the cycle, shape (recordings,).
        time: Instants [s]; None where the number of pulses is the time.
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
        """One trace for each recording of two or more reads.

        Drive sample k is applied after read k and leads to read k + 1, so the columns move up by one: the pulse before the
        first read is no part of the dynamics, and none follows the last one, whose amplitudes repeat.

        Raises:
            TraceError: every recording holds a single read.
        """
        ends = self.edges[1:] - 1
        after = np.append(self.count[1:], 0.0)
        after[ends] = 0.0
        drives = {"SET": np.maximum(after, 0.0), "RESET": np.maximum(-after, 0.0)}
        for name, values in self.amplitudes.items():
            drives[name] = np.append(values[1:], values[-1])
            drives[name][ends] = values[ends]
        time = self._received() if self.time is None else self.time
        symbols = {**units, "time": "" if self.time is None else "s", "conductance": self.unit, "SET": "", "RESET": ""}
        symbols |= {name: UNITS[name] for name in self.amplitudes} | {"device": "", "cycle": ""}
        made = []
        for which, (first, end) in enumerate(zip(self.edges[:-1].tolist(), self.edges[1:].tolist(), strict=True)):
            if end - first < 2:
                continue
            part = slice(first, end)
            trace = Trace(
                time[part],
                {name: values[part] for name, values in drives.items()},
                {"conductance": self.conductance[part]},
                {**parameters, "device": float(self.device[which]), "cycle": float(self.cycle[which])},
                symbols,
                dict.fromkeys(drives, "held"),
                {**provenance, **{role: names[which] for role, names in self.names.items()}},
            )
            made.append(trace)
        self._check_singles(len(made), doubts)
        return TraceSet(made)

    def _received(self) -> Array:
        """Number of pulses that the device has received in this recording at each read."""
        total = np.cumsum(np.abs(self.count))
        before = np.append(0.0, total)[self.edges[:-1]]
        return np.asarray(total - np.repeat(before, np.diff(self.edges)))

    def _check_singles(self, kept: int, doubts: list[str]) -> None:
        singles = np.flatnonzero(np.diff(self.edges) < 2)
        if not len(singles):
            return
        which = f"device {self.device[singles[0]]:g}, cycle {self.cycle[singles[0]]:g}"
        if len(self.conductance) == 1:
            raise TraceError("the file holds one read only, and a pulse shows between two reads; is it cut off?")
        if not kept:
            raise TraceError(
                f"each of the {len(singles)} recordings holds one single read (such as {which}), and a pulse shows between two "
                "reads. Is the right column the cycle? Leave a role out with PulseLayout(columns={'cycle': ''})."
            )
        doubts.append(
            f"{len(singles)} of {len(self.edges) - 1} recordings {'holds' if len(singles) == 1 else 'hold'} one single read "
            f"(such as {which}) and {'is' if len(singles) == 1 else 'are'} left out"
        )


def to_conductance(
    found: Quantities, name: str, role: str, values: Array, where: Callable[[int], str], voltage: Array | float | None
) -> tuple[Array, str]:
    """Reads of a column as conductances, and their unit "S" or "".

    Args:
        found: The columns and what is known about them.
        name: The column.
        role: "conductance", "resistance" or "current".
        values: Its reads as the file has them.
        where: What to call a row in a message.
        voltage: Voltage [V] of the reads, for currents.

    Raises:
        TraceError: a read that is missing, infinite, or gives no finite conductance; with its row.
        UnitError: a unit of another kind than the role has.
    """
    converted, unit = found.to_si(name, role, values)
    with np.errstate(divide="ignore", invalid="ignore"):
        if role == "resistance":
            converted, unit = 1.0 / converted, "S"
        elif role == "current":
            converted, unit = converted / (1.0 if voltage is None else voltage), "S"
    bad = np.flatnonzero(~np.isfinite(converted))
    if len(bad):
        raise TraceError(
            f"{where(int(bad[0]))}: the {role} in column {name!r} is {values[bad[0]]:g}, which gives no finite conductance "
            f"({counted(len(bad), 'such read')}). Remove such rows; a pulse index that skips them stays true."
        )
    low = np.flatnonzero(converted <= 0)
    if unit == "S" and len(low):
        found.doubts.append(
            f"{len(low)} of {len(converted)} conductances in column {name!r} are not above zero (the first in "
            f"{where(int(low[0]))}: {converted[low[0]]:.4g} S): offset or noise of the instrument"
        )
    if role == "conductance" and found.unit(name, role) is None and is_small(converted):
        found.doubts.append(
            f"column {name!r} has no unit and is taken as normalised, but its values are small (up to "
            f"{np.abs(converted).max():.3g}); if they are siemens, pass pulses=PulseLayout(conductance_unit='S')"
        )
    return converted, unit


def is_small(values: Array) -> bool:
    """Whether reads are far too small for normalised ones."""
    return bool(len(values)) and bool(np.nanmax(np.abs(values)) < _SMALL)


def no_read_voltage(name: str) -> TraceError:
    """The error of currents whose voltage nobody told."""
    return TraceError(
        f"the reads in column {name!r} are currents, and nothing says at which voltage; "
        "pass it: pulses=PulseLayout(..., read_voltage=0.1)."
    )
