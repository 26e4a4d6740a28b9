"""The long form: a row for each read, with its device, cycle, pulse index and direction.

- A pulse index that skips gives the number of pulses before the read; they count in the direction of its row.
- One that starts again where the direction changes begins another branch of the same cycle.
- Where the file has times, the rows of a recording are sorted by them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....errors import TraceError
from ....typing import Array
from ...parsing.grid import parse_number
from ...parsing.messages import counted, quoted
from ..columns import PulseColumns, find_roles, role_of
from ..layout import READS
from ..order import RecordingOrder, fill_missing
from ..polarity import NO_PULSE, UNKNOWN, polarities
from ..reads import Index, Reads, no_read_voltage, to_conductance, without_blank_reads
from ..registry import register_layout
from ..table import Words


def recognise(columns: PulseColumns) -> bool:
    """Return True if columns are given by role, or the header names a column of reads and another role."""
    roles = {role_of(name)[0] for name in columns.table.names} if columns.table.headed else set()
    reads = roles & set(READS)
    named = bool(reads and roles - reads - {None, "read_voltage"}) or {"pulse", "direction"} <= roles
    return bool(columns.layout.columns) or named


def read(columns: PulseColumns, time: str | float | None) -> Reads:
    """Return the reads by device and cycle, in the order of their appearance.

    Args:
        columns: The columns of the file.
        time: Name of the time column, or the interval [s] from read to read.

    Raises:
        TraceError: a role without a column, a cell that does not fit its role, or an order that contradicts itself.
        UnitError: a unit of another kind than the role has.
    """
    roles = _find_columns(columns, time)
    word_roles = [role for role in ("device", "cycle", "direction") if role in roles]
    number_roles = [role for role in roles if role not in word_roles]
    values, words = columns.table.columns([roles[role] for role in number_roles], [roles[role] for role in word_roles])
    rows = _Rows(
        columns,
        roles,
        {role: values[roles[role]] for role in number_roles},
        {role: words[roles[role]] for role in word_roles},
    )
    return rows.reads(None if isinstance(time, str) else time)


def _find_columns(columns: PulseColumns, time: str | float | None) -> dict[str, str]:
    """Return the roles that are used, with their columns."""
    roles, names = find_roles(columns.table, columns.layout), ", ".join(columns.table.names)
    if isinstance(time, str):
        if time not in columns.table.names:
            raise TraceError(f"there is no column {time!r} for time=; the columns are: {names}.")
        roles["time"] = time
    elif time is not None:
        roles.pop("time", None)
    reads = [role for role in READS if role in roles]
    if not reads:
        unused = [name for name in columns.table.names if name not in roles.values()]
        suggestion = repr(unused[0]) if len(unused) == 1 else "..."
        raise TraceError(
            f"no column of conductances is recognised; the columns are: {names}. Name the one with the reads: "
            f"pulses=PulseLayout(layout='long', columns={{'conductance': {suggestion}}}), or 'resistance' or 'current'."
        )
    for role in reads[1:]:
        del roles[role]
    if reads[0] != "current" or columns.layout.read_voltage is not None:
        roles.pop("read_voltage", None)
    elif "read_voltage" not in roles:
        raise no_read_voltage(roles["current"])
    return roles


@dataclass(frozen=True, eq=False)
class _Labels:
    """The device or cycle of each row: a code for each row, a number for each code, names where they are words."""

    codes: Index
    values: Array
    names: list[str] | None = None


@dataclass(frozen=True, eq=False)
class _Rows:
    """The columns of a long table by role, as the file has them."""

    columns: PulseColumns
    roles: dict[str, str]
    values: dict[str, Array]
    words: dict[str, Words]

    def reads(self, interval: float | None) -> Reads:
        """Return the reads, sorted by recording."""
        conductance, unit = self._conductance()
        times = self._times()
        device, cycle = self._labels("device"), self._labels("cycle")
        recording = device.codes * len(cycle.values) + cycle.codes
        order = RecordingOrder.by(self.columns.table, recording, times)
        rows, first_rows = order.rows, order.rows[order.edges[:-1]]
        if times is not None:
            times = self._sorted_times(times[rows], recording, order)
        elif interval is not None:
            times = np.asarray(interval * (np.arange(len(rows)) - order.starts), dtype=np.float64)
        signs = polarities(self.columns, self.roles, self.values, self.words, timed=times is not None)
        count = self._counts(signs[rows], order)
        if times is None:
            self._check_every_read_has_pulses(count, order)
        names = {
            role: [labels.names[code] for code in labels.codes[first_rows].tolist()]
            for role, labels in {"device": device, "cycle": cycle}.items()
            if labels.names is not None
        }
        blank = int(np.isnan(conductance).sum())
        if blank:
            self.columns.assumed.append(f"{counted(blank, 'blank read')} not seen: the pulses count for the next read")
        reads = Reads(
            order.edges,
            count,
            conductance[rows],
            unit,
            device.values[device.codes[first_rows]],
            cycle.values[cycle.codes[first_rows]],
            times,
            self._amplitudes(count, order),
            names,
        )
        return without_blank_reads(reads, lambda position: self.columns.table.where(int(rows[position])))

    # --- columns -----------------------------------------------------------------------------------------------------

    def _labels(self, role: str) -> _Labels:
        """Return devices or cycles; words among them are numbered in the order of their appearance."""
        if role not in self.words:
            return _Labels(np.zeros(self.columns.table.rows, dtype=np.int64), np.zeros(1))
        words = self.words[role]
        numbers = [parse_number(name) for name in words.names]
        for code, (name, value) in enumerate(zip(words.names, numbers, strict=True)):
            if not name or (value is not None and not np.isfinite(value)):
                row = int(np.flatnonzero(words.codes == code)[0])
                raise TraceError(
                    f"{self.columns.table.where(row)}: column {self.roles[role]!r} does not name the {role} ({quoted(name)}); "
                    "fill the cell, or remove the row."
                )
        if None in numbers:
            return _Labels(words.codes, np.arange(len(numbers), dtype=np.float64), words.names)
        # "1" and "1.0" are one device.
        code_of: dict[float | None, int] = {}
        merged = np.array([code_of.setdefault(value, len(code_of)) for value in numbers], dtype=np.int64)
        return _Labels(merged[words.codes], np.array(list(code_of), dtype=np.float64))

    def _conductance(self) -> tuple[Array, str]:
        role = next(role for role in READS if role in self.roles)
        table = self.columns.table
        voltage: Array | float | None = self.columns.layout.read_voltage
        if "read_voltage" in self.roles:
            name = self.roles["read_voltage"]
            voltage, _ = self.columns.to_si(name, "read_voltage", self.values["read_voltage"])
            bad = np.flatnonzero(~(np.isfinite(voltage) & (voltage != 0)))
            if len(bad):
                raise TraceError(
                    f"{table.where(int(bad[0]))}: the read voltage in column {name!r} is {voltage[bad[0]]:g} V, and a current "
                    "needs one other than zero; pass PulseLayout(read_voltage=0.1)."
                )
        return to_conductance(self.columns, self.roles[role], role, self.values[role], table.where, voltage)

    def _times(self) -> Array | None:
        if "time" not in self.roles:
            return None
        name = self.roles["time"]
        times, _ = self.columns.to_si(name, "time", self.values["time"])
        bad = np.flatnonzero(~np.isfinite(times))
        if len(bad):
            raise TraceError(
                f"{self.columns.table.where(int(bad[0]))}: the time in column {name!r} is {times[bad[0]]}; remove the row, or "
                "leave the column out with PulseLayout(columns={'time': ''})."
            )
        return times

    def _sorted_times(self, times: Array, recording: Index, order: RecordingOrder) -> Array:
        """Check the times in `order`, and note if the rows of the file had another order."""
        repeated = (np.diff(times, prepend=-np.inf) <= 0) & ~order.is_first
        if repeated.any():
            raise TraceError(
                f"{order.where(repeated)}: device and cycle have another read at the same time, {times[repeated][0]:g} s; is a "
                "column for the cycle missing? The time can be left out with PulseLayout(columns={'time': ''})."
            )
        if not np.array_equal(order.rows, np.argsort(recording, kind="stable")):
            self.columns.assumed.append("rows of a recording were sorted by their time")
        return times

    # --- pulses ------------------------------------------------------------------------------------------------------

    def _counts(self, sign: Array, order: RecordingOrder) -> Array:
        """Return the number of pulses before each read, with their sign; rows in `order`."""
        unknown = np.isnan(sign) & ~order.is_first
        if unknown.any():
            raise TraceError(
                f"{order.where(unknown)}: pulses of unknown polarity: {UNKNOWN!r} is allowed in the first read of a recording "
                "only."
            )
        sign = np.where(np.isnan(sign), 1.0, sign)
        if "pulse" not in self.values:
            return sign
        name, index = self.roles["pulse"], self.values["pulse"][order.rows]
        bad = ~np.isfinite(index) | (index != np.floor(index))
        if bad.any():
            raise TraceError(f"{order.where(bad)}: the pulse index in column {name!r} is not a whole number; correct it.")
        step = np.diff(index, prepend=index[0])
        previous = np.append(-1, order.last_valid(sign != 0)[:-1])
        direction_changes = (sign != 0) & (previous >= order.starts) & (sign != sign[previous])
        restart = direction_changes & (step <= 0) & ((index == index[order.starts]) | (index == 1))
        if restart.any():
            self.columns.assumed.append(f"{name!r} starts again where the direction changes: one pulse led to that read")
        step = np.where(order.is_first | restart, 1.0, step)
        self._check_steps(name, index, step, sign, order)
        if (step > 1).any():
            self.columns.assumed.append(f"{name!r} skips: the read after a gap follows that many pulses of its own direction")
        return np.asarray(sign * step)

    def _check_steps(self, name: str, index: Array, step: Array, sign: Array, order: RecordingOrder) -> None:
        """Refuse an index that repeats, decreases, or skips pulses of unknown polarity."""
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

    def _check_every_read_has_pulses(self, count: Array, order: RecordingOrder) -> None:
        without_pulse = (count == 0) & ~order.is_first
        if without_pulse.any():
            raise TraceError(
                f"{order.where(without_pulse)}: a read without a pulse before it needs a time, since the number of pulses does "
                "not grow; name the time column with time=, or pass the interval from read to read in seconds: time=1e-3."
            )

    def _amplitudes(self, count: Array, order: RecordingOrder) -> dict[str, Array]:
        """Return voltage and width of the pulses before each read; where there are none, those of earlier pulses."""
        has_pulses = (count != 0) & ~order.is_first
        amplitudes: dict[str, Array] = {}
        for role in ("voltage", "width"):
            if role not in self.values or not has_pulses.any():
                continue
            values = np.abs(self.values[role]) if role == "voltage" else self.values[role]
            values = self.columns.to_si(self.roles[role], role, values)[0][order.rows]
            valid = np.isfinite(values) & (values > 0)
            bad = has_pulses & ~valid
            if bad.any():
                raise TraceError(
                    f"{order.where(bad)}: the pulse has the {role} {values[bad][0]:g} in column {self.roles[role]!r}; expected "
                    f"a number above zero. Correct it, write {NO_PULSE!r} as the direction of a read without a pulse, or leave "
                    f"the column out with PulseLayout(columns={{{role!r}: ''}})."
                )
            amplitudes[role] = fill_missing(values, valid, order)
        return amplitudes


register_layout("long", read, recognise=recognise, priority=10, has_roles=True)
