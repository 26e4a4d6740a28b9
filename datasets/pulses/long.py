"""Pulse files in the long form: a row for each read, with its device, cycle, pulse and direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import TraceError
from ...typing import Array
from ..readers.grid import number
from .columns import READS, Quantities, find_roles
from .order import Order, filled
from .polarity import NO_PULSE, UNKNOWN, polarities
from .reads import Index, Reads, no_read_voltage, to_conductance
from .table import Words, counted, shown


def read_long(found: Quantities, time: str | float | None) -> Reads:
    """The reads of a long table, by device and cycle in the order of their appearance.

    - A pulse index that skips says how many pulses led to the read; they count in the direction of its row.
    - One that starts again where the direction changes begins another branch of the same cycle.
    - Where the file has instants, the rows of a recording are taken in their order.

    Args:
        found: The columns and what is known about them.
        time: Name of the time column, or the interval [s] from read to read.

    Raises:
        TraceError: a role that no column has, a cell that cannot be what its role says, or an order that contradicts itself.
        UnitError: a unit of another kind than the role has.
    """
    roles = _roles(found, time)
    wordy = [role for role in ("device", "cycle", "direction") if role in roles]
    numeric = [role for role in roles if role not in wordy]
    values, words = found.table.columns([roles[role] for role in numeric], [roles[role] for role in wordy])
    rows = _Rows(found, roles, {r: values[roles[r]] for r in numeric}, {r: words[roles[r]] for r in wordy})
    return rows.reads(None if isinstance(time, str) else time)


def _roles(found: Quantities, time: str | float | None) -> dict[str, str]:
    """The roles that are used, with their columns."""
    roles, names = find_roles(found.table, found.layout), ", ".join(found.table.names)
    if isinstance(time, str):
        if time not in found.table.names:
            raise TraceError(f"there is no column {time!r} for time=; the columns are: {names}.")
        roles["time"] = time
    elif time is not None:
        roles.pop("time", None)
    reads = [role for role in READS if role in roles]
    if not reads:
        free = [name for name in found.table.names if name not in roles.values()]
        only = repr(free[0]) if len(free) == 1 else "..."
        raise TraceError(
            f"no column of conductances is recognised; the columns are: {names}. Name the one with the reads: "
            f"pulses=PulseLayout(layout='long', columns={{'conductance': {only}}}), or 'resistance' or 'current'."
        )
    for spare in reads[1:]:
        del roles[spare]
    if reads[0] != "current" or found.layout.read_voltage is not None:
        roles.pop("read_voltage", None)
    elif "read_voltage" not in roles:
        raise no_read_voltage(roles["current"])
    return roles


@dataclass(frozen=True, eq=False)
class _Labels:
    """Which device or cycle each row belongs to: a code for each row, a number for each code, names where they are words."""

    codes: Index
    values: Array
    names: list[str] | None = None


@dataclass(frozen=True, eq=False)
class _Rows:
    """The columns of a long table by role, as the file has them."""

    found: Quantities
    roles: dict[str, str]
    values: dict[str, Array]
    words: dict[str, Words]

    def reads(self, interval: float | None) -> Reads:
        conductance, unit = self._conductance()
        instants = self._instants()
        device, cycle = self._labels("device"), self._labels("cycle")
        key = device.codes * len(cycle.values) + cycle.codes
        order = Order.by(self.found.table, key, instants)
        rows, heads = order.rows, order.rows[order.edges[:-1]]
        if instants is not None:
            instants = self._increasing(instants[rows], key, order)
        elif interval is not None:
            instants = np.asarray(interval * (np.arange(len(rows)) - order.starts), dtype=np.float64)
        signs = polarities(self.found, self.roles, self.values, self.words, timed=instants is not None)
        count = self._counts(signs[rows], order)
        if instants is None:
            self._check_waits(count, order)
        labels = {"device": device, "cycle": cycle}
        return Reads(
            order.edges,
            count,
            conductance[rows],
            unit,
            device.values[device.codes[heads]],
            cycle.values[cycle.codes[heads]],
            instants,
            self._amplitudes(count, order),
            {role: [got.names[c] for c in got.codes[heads].tolist()] for role, got in labels.items() if got.names is not None},
        )

    # --- columns -----------------------------------------------------------------------------------------------------

    def _labels(self, role: str) -> _Labels:
        """Devices or cycles; words among them are numbered in the order of their appearance."""
        if role not in self.words:
            return _Labels(np.zeros(self.found.table.rows, dtype=np.int64), np.zeros(1))
        words = self.words[role]
        numbers = [number(name) for name in words.names]
        for code, (name, value) in enumerate(zip(words.names, numbers, strict=True)):
            if not name or (value is not None and not np.isfinite(value)):
                row = int(np.flatnonzero(words.codes == code)[0])
                raise TraceError(
                    f"{self.found.table.where(row)}: column {self.roles[role]!r} does not name the {role} ({shown(name)}); "
                    "fill the cell, or remove the row."
                )
        if None in numbers:
            return _Labels(words.codes, np.arange(len(numbers), dtype=np.float64), words.names)
        # "1" and "1.0" are one device.
        known: dict[float | None, int] = {}
        merged = np.array([known.setdefault(value, len(known)) for value in numbers], dtype=np.int64)
        return _Labels(merged[words.codes], np.array(list(known), dtype=np.float64))

    def _conductance(self) -> tuple[Array, str]:
        role = next(role for role in READS if role in self.roles)
        voltage: Array | float | None = self.found.layout.read_voltage
        if "read_voltage" in self.roles:
            voltage, _ = self.found.to_si(self.roles["read_voltage"], "read_voltage", self.values["read_voltage"])
            bad = np.flatnonzero(~(np.isfinite(voltage) & (voltage != 0)))
            if len(bad):
                raise TraceError(
                    f"{self.found.table.where(int(bad[0]))}: the read voltage in column {self.roles['read_voltage']!r} is "
                    f"{voltage[bad[0]]:g} V, and a current needs one other than zero; pass PulseLayout(read_voltage=0.1)."
                )
        return to_conductance(self.found, self.roles[role], role, self.values[role], self.found.table.where, voltage)

    def _instants(self) -> Array | None:
        if "time" not in self.roles:
            return None
        name = self.roles["time"]
        instants, _ = self.found.to_si(name, "time", self.values["time"])
        bad = np.flatnonzero(~np.isfinite(instants))
        if len(bad):
            raise TraceError(
                f"{self.found.table.where(int(bad[0]))}: the time in column {name!r} is {instants[bad[0]]}; remove the row, or "
                "leave the column out with PulseLayout(columns={'time': ''})."
            )
        return instants

    def _increasing(self, instants: Array, key: Index, order: Order) -> Array:
        twice = (np.diff(instants, prepend=-np.inf) <= 0) & ~order.heads
        if twice.any():
            raise TraceError(
                f"{order.where(twice)}: device and cycle have another read at the same time, {instants[twice][0]:g} s; is a "
                "column for the cycle missing? The time can be left out with PulseLayout(columns={'time': ''})."
            )
        if not np.array_equal(order.rows, np.argsort(key, kind="stable")):
            self.found.assumed.append("rows of a recording were put in the order of their time")
        return instants

    # --- pulses ------------------------------------------------------------------------------------------------------

    def _counts(self, sign: Array, order: Order) -> Array:
        """Number of pulses before each read, with their sign; rows in `order`."""
        lost = np.isnan(sign) & ~order.heads
        if lost.any():
            raise TraceError(
                f"{order.where(lost)}: pulses of unknown polarity: {UNKNOWN!r} can stand in the first read of a recording only."
            )
        sign = np.where(np.isnan(sign), 1.0, sign)
        if "pulse" not in self.values:
            return sign
        name, index = self.roles["pulse"], self.values["pulse"][order.rows]
        bad = ~np.isfinite(index) | (index != np.floor(index))
        if bad.any():
            raise TraceError(f"{order.where(bad)}: the pulse index in column {name!r} is no whole number; correct it.")
        step = np.diff(index, prepend=index[0])
        before = np.append(-1, order.last(sign != 0)[:-1])
        turned = (sign != 0) & (before >= order.starts) & (sign != sign[before])
        restart = turned & (step <= 0) & ((index == index[order.starts]) | (index == 1))
        if restart.any():
            self.found.assumed.append(f"{name!r} starts again where the direction changes: one pulse led to that read")
        step = np.where(order.heads | restart, 1.0, step)
        back = (step < 1) & (sign != 0) | (step < 0)
        if back.any():
            at = int(np.flatnonzero(back)[np.argmin(order.rows[back])])
            raise TraceError(
                f"{order.where(back)}: the pulse index in column {name!r} {'repeats' if step[at] == 0 else 'jumps back to'} "
                f"{index[at]:g} within device and cycle; expected it to grow. Is a column for the device or the cycle missing, "
                f"or its name unknown? A read without a pulse has the direction {NO_PULSE!r}."
            )
        skipped = (sign == 0) & (step > 1)
        if skipped.any():
            raise TraceError(
                f"{order.where(skipped)}: pulses of unknown polarity: the index in column {name!r} skips "
                f"{counted(step[skipped][0] - 1, 'pulse')} before a read that has none itself; "
                "give the direction of the pulses there."
            )
        if (step > 1).any():
            self.found.assumed.append(f"{name!r} skips: the read after a gap follows that many pulses of its own direction")
        return np.asarray(sign * step)

    def _check_waits(self, count: Array, order: Order) -> None:
        waits = (count == 0) & ~order.heads
        if waits.any():
            raise TraceError(
                f"{order.where(waits)}: a read without a pulse before it needs instants, since the number of pulses stands "
                "still; name the time column with time=, or pass the interval from read to read in seconds: time=1e-3."
            )

    def _amplitudes(self, count: Array, order: Order) -> dict[str, Array]:
        """Voltage and width of the pulses before each read; where there are none, those of the pulses before."""
        pulsed = (count != 0) & ~order.heads
        found: dict[str, Array] = {}
        for role in ("voltage", "width"):
            if role not in self.values or not pulsed.any():
                continue
            values = np.abs(self.values[role]) if role == "voltage" else self.values[role]
            values = self.found.to_si(self.roles[role], role, values)[0][order.rows]
            valid = np.isfinite(values) & (values > 0)
            bad = pulsed & ~valid
            if bad.any():
                raise TraceError(
                    f"{order.where(bad)}: the pulse has the {role} {values[bad][0]:g} in column {self.roles[role]!r}; expected "
                    f"a number above zero. Correct it, write {NO_PULSE!r} as the direction of a read without a pulse, or leave "
                    f"the column out with PulseLayout(columns={{{role!r}: ''}})."
                )
            found[role] = filled(values, valid, order)
        return found
