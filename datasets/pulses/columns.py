"""Meaning of the columns of a table of pulses: their roles by name, their values in SI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from ...errors import TraceError, UnitError
from ...typing import Array
from ...units import parse_unit, same_dimension
from .layout import READS, PulseLayout
from .table import PulseTable

_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "device": "device device_id device_name dev cell cell_id addr address",
        "cycle": "cycle cycle_index cycle_number ramp run",
        "pulse": "pulse pulse_index pulse_number pulse_no n",
        "direction": "direction polarity type pulse_type",
        "conductance": "conductance g cond read_conductance",
        "resistance": "resistance r read_resistance",
        "current": "read_current current i i_read iread",
        "read_voltage": "read_voltage v_read vread",
        "voltage": "pulse_voltage voltage v amplitude pulse_amplitude v_pulse pulse_v vpulse pulse_volt v_prog vprog "
        "prog_voltage program_voltage programming_voltage write_voltage v_write vwrite",
        "width": "pulse_width width pulse_duration duration",
        "time": "time t timestamp time_stamp elapsed_time",
    }
)
_ROLE_OF = {name: role for role, names in _NAMES.items() for name in names.split()}

#: SI units of the roles that have one.
UNITS: Mapping[str, str] = MappingProxyType(
    {"conductance": "S", "resistance": "Ohm", "current": "A", "read_voltage": "V", "voltage": "V", "width": "s", "time": "s"}
)
# Units after an underscore. Elsewhere `I_A` keeps its name; after a word of this table the letter can only be a unit.
_SUFFIXES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "S": {"s": "S", "ms": "mS", "us": "uS", "ns": "nS"},
        "Ohm": {"ohm": "Ohm", "ohms": "Ohm", "kohm": "kOhm"},
        "A": {"a": "A", "ma": "mA", "ua": "uA", "na": "nA", "pa": "pA"},
        "V": {"v": "V", "mv": "mV"},
        "s": {"s": "s", "ms": "ms", "us": "us", "ns": "ns", "ps": "ps"},
    }
)


def role_of(name: str) -> tuple[str | None, str | None]:
    """Return the role of a column by its name, and the unit that the name ends in.

    Example:
        >>> role_of("conductance_us"), role_of("Pulse number"), role_of("note")
        (('conductance', 'uS'), ('pulse', None), (None, None))
    """
    plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r"#\d+$", "", name).casefold()).strip("_")
    if plain in _ROLE_OF:
        return _ROLE_OF[plain], None
    stem, _, suffix = plain.rpartition("_")
    role = _ROLE_OF.get(stem)
    unit = _SUFFIXES.get(UNITS.get(role or "", ""), {}).get(suffix)
    return (role, unit) if unit else (None, None)


def find_roles(table: PulseTable, layout: PulseLayout) -> dict[str, str]:
    """Return the column name by role: the caller's columns first, then those with known names.

    Raises:
        TraceError: a column that does not exist, or two columns for one role.
    """
    column_of: dict[str, str] = {}
    for role, name in layout.columns.items():
        if name and name not in table.names:
            raise TraceError(f"there is no column {name!r} for the {role}; the columns are: {', '.join(table.names)}.")
        column_of[role] = name
    taken = set(column_of.values())
    # If the caller names the column of reads, no other column is searched for reads.
    given = {*column_of, *(READS if any(column_of.get(role) for role in READS) else ())}
    for name in table.names:
        role_by_name, _ = role_of(name)
        if role_by_name is None or role_by_name in given or name in taken:
            continue
        if role_by_name in column_of:
            raise TraceError(
                f"the columns {column_of[role_by_name]!r} and {name!r} can each be the {role_by_name}; "
                f"choose one: pulses=PulseLayout(layout='long', columns={{{role_by_name!r}: {name!r}}})."
            )
        column_of[role_by_name] = name
    return {role: name for role, name in column_of.items() if name}


@dataclass
class PulseColumns:
    """The columns of a pulse file in SI, with everything that had to be assumed.

    Attributes:
        table: The columns as the file has them.
        layout: The layout that the caller gave.
        units: The caller's units by column name; "time" may stand for the time column.
        assumed: Assumptions, in sentences, for the provenance.
        doubts: What the user should check, in sentences; they become warnings once the file is read.
        signs: Signs of the voltages in all files that are read together, -1 and 1; empty for a file of its own.
        read_voltage_is_used: True once a current was converted.
    """

    table: PulseTable
    layout: PulseLayout
    units: dict[str, str]
    assumed: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    signs: frozenset[float] = frozenset()
    read_voltage_is_used: bool = False

    def check_units(self) -> None:
        """Check that every given unit is that of a column or a parameter; "time" may stand for the time column."""
        for name in self.units:
            if name != "time" and name not in self.table.names and name not in self.table.parameters:
                raise TraceError(f"there is no column {name!r} for units=; the columns are: {', '.join(self.table.names)}.")

    def unit(self, name: str, role: str) -> str | None:
        """Return the unit text of a column: the caller's, else the file's, else the one its name ends in, else None."""
        if name in self.units or (role == "time" and "time" in self.units):
            return self.units.get(name, self.units.get("time"))
        if role in READS and self.layout.conductance_unit is not None:
            return self.layout.conductance_unit
        written = self.table.units[self.table.names.index(name)]
        return written if written is not None or not role else role_of(name)[1]

    def to_si(self, name: str, role: str, values: Array) -> tuple[Array, str]:
        """Return the values of a column in SI, and their SI unit; a conductance without a unit is taken as normalised.

        Raises:
            UnitError: a unit that is not known, or of another dimension than the role has.
        """
        expected, text = UNITS[role], self.unit(name, role)
        if text is None:
            text = "" if role == "conductance" else expected
            assumption = "as normalised" if role == "conductance" else f"in {expected}"
            self.assumed.append(f"the file gives no unit for {name!r}: taken {assumption}")
        try:
            fits = same_dimension(text, expected) or (role == "conductance" and same_dimension(text, ""))
        except UnitError as error:
            raise UnitError(f"column {name!r}: {error} Give its unit: units={{{name!r}: {expected!r}}}.") from None
        if not fits:
            raise UnitError(
                f"column {name!r} is the {role} and in {text!r}; expected a unit of the kind of {expected}. Correct it with "
                f"units={{{name!r}: {expected!r}}}, or name the right column with PulseLayout(columns=...)."
            )
        unit = parse_unit(text)
        return unit.to_si(values), unit.symbol

    def constants(self) -> tuple[dict[str, float], dict[str, str]]:
        """Return the parameters of the file in SI, and their units.

        Raises:
            UnitError: a unit that is not known.
        """
        values, symbols = {}, {}
        for name, value in self.table.parameters.items():
            try:
                unit = parse_unit(self.units.get(name, self.table.parameter_units.get(name, "")))
            except UnitError as error:
                raise UnitError(f"parameter {name!r}: {error} Give its unit: units={{{name!r}: ''}}.") from None
            values[name], symbols[name] = float(unit.to_si(np.float64(value))), unit.symbol
        return values, symbols
