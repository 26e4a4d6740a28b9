"""What the columns of a table of pulses mean: their roles by name, their values in SI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from ...errors import ConfigError, TraceError, UnitError
from ...typing import Array
from ...units import parse_unit, same_dimension
from .table import PulseTable

LAYOUTS = ("auto", "long", "up-down", "ramps")
READS = ("conductance", "resistance", "current")

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
        "voltage": "pulse_voltage voltage v amplitude pulse_amplitude v_pulse",
        "width": "pulse_width width pulse_duration duration",
        "time": "time t timestamp time_stamp elapsed_time",
    }
)
#: What a column of a table of pulses can be.
ROLES = tuple(_NAMES)
_ROLE_OF = {name: role for role, names in _NAMES.items() for name in names.split()}

#: SI units of the roles that have one.
UNITS: Mapping[str, str] = MappingProxyType(
    {"conductance": "S", "resistance": "Ohm", "current": "A", "read_voltage": "V", "voltage": "V", "width": "s", "time": "s"}
)
# Units that stand behind an underscore. Elsewhere `I_A` keeps its name; behind a word of this table it can mean one thing only.
_SUFFIXES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "S": {"s": "S", "ms": "mS", "us": "uS", "ns": "nS"},
        "Ohm": {"ohm": "Ohm", "ohms": "Ohm", "kohm": "kOhm"},
        "A": {"a": "A", "ma": "mA", "ua": "uA", "na": "nA", "pa": "pA"},
        "V": {"v": "V", "mv": "mV"},
        "s": {"s": "s", "ms": "ms", "us": "us", "ns": "ns", "ps": "ps"},
    }
)


@dataclass(frozen=True)
class PulseLayout:
    """How a file of pulses is built, where it does not say so itself.

    Attributes:
        layout: "long", a row for each read with columns for device, cycle, pulse and direction; "up-down", two columns,
            the reads after SET and after RESET pulses; "ramps", a column for each ramp of one polarity; "auto".
        polarity: "SET" or "RESET", of all pulses of a file that does not tell: ramps, or a long form without directions.
        read_voltage: Voltage [V] of the reads, where the file has currents.
        conductance_unit: Unit of the column or columns of reads: "uS", "kOhm", "nA", or "" for a normalised conductance.
        columns: Column name by role, where the names are not known ones; "" leaves a role out. The roles are device, cycle,
            pulse, direction, conductance, resistance, current, read_voltage, voltage, width and time.

    Raises:
        ConfigError: an unknown layout, polarity or role, or a read voltage that is not a positive number.
    """

    layout: str = "auto"
    polarity: str | None = None
    read_voltage: float | None = None
    conductance_unit: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ConfigError(f"there is no layout {self.layout!r} of pulse files; the layouts are: {', '.join(LAYOUTS)}.")
        if self.polarity not in (None, "SET", "RESET"):
            raise ConfigError(f"polarity is {self.polarity!r}; expected 'SET' (the conductance grows) or 'RESET'.")
        if self.read_voltage is not None and not (np.isfinite(self.read_voltage) and self.read_voltage > 0):
            raise ConfigError(f"read_voltage is {self.read_voltage}; expected a positive number of volts, such as 0.1.")
        for role in self.columns:
            if role not in ROLES:
                raise ConfigError(f"there is no role {role!r} of a column; the roles are: {', '.join(ROLES)}.")


def role_of(name: str) -> tuple[str | None, str | None]:
    """Role of a column by its name, and the unit that the name ends in: "conductance_s" is ("conductance", "S")."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")
    if plain in _ROLE_OF:
        return _ROLE_OF[plain], None
    stem, _, suffix = plain.rpartition("_")
    role = _ROLE_OF.get(stem)
    unit = _SUFFIXES.get(UNITS.get(role or "", ""), {}).get(suffix)
    return (role, unit) if unit else (None, None)


def find_roles(table: PulseTable, layout: PulseLayout) -> dict[str, str]:
    """Column name by role: the caller's word first, then the names that are known.

    Raises:
        TraceError: a column that is not there, or two columns for one role.
    """
    found: dict[str, str] = {}
    for role, name in layout.columns.items():
        if name and name not in table.names:
            raise TraceError(f"there is no column {name!r} for the {role}; the columns are: {', '.join(table.names)}.")
        found[role] = name
    taken = set(found.values())
    # Who names the column of reads means that one, and no other that may stand beside it.
    silent = {*found, *(READS if any(found.get(role) for role in READS) else ())}
    for name in table.names:
        meant, _ = role_of(name)
        if meant is None or meant in silent or name in taken:
            continue
        if meant in found:
            raise TraceError(
                f"the columns {found[meant]!r} and {name!r} can each be the {meant}; "
                f"say which: pulses=PulseLayout(layout='long', columns={{{meant!r}: {name!r}}})."
            )
        found[meant] = name
    return {role: name for role, name in found.items() if name}


@dataclass
class Quantities:
    """Columns in SI, with a note of everything that the file did not say.

    Attributes:
        table: The columns.
        layout: The caller's word on the layout.
        units: The caller's word on units by column name; "time" may stand for the time column.
        assumed: What was taken for granted, in sentences.
        doubts: What deserves a look, in sentences; they become warnings once the file is read.
    """

    table: PulseTable
    layout: PulseLayout
    units: dict[str, str]
    assumed: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def check_overrides(self) -> None:
        """Every override must name a column or a parameter; "time" may stand for the time column."""
        for name in self.units:
            if name != "time" and name not in self.table.names and name not in self.table.parameters:
                raise TraceError(f"there is no column {name!r} for units=; the columns are: {', '.join(self.table.names)}.")

    def unit(self, name: str, role: str) -> str | None:
        """Unit text of a column: the caller's, else the file's, else the one its name ends in, else None."""
        if name in self.units or (role == "time" and "time" in self.units):
            return self.units.get(name, self.units.get("time"))
        if role in READS and self.layout.conductance_unit is not None:
            return self.layout.conductance_unit
        written = self.table.units[self.table.names.index(name)]
        return written if written is not None or not role else role_of(name)[1]

    def to_si(self, name: str, role: str, values: Array) -> tuple[Array, str]:
        """Values of a column in SI, and their SI unit; a conductance without a unit is a normalised one.

        Raises:
            UnitError: a unit that is not known, or of another dimension than the role has.
        """
        expected, text = UNITS[role], self.unit(name, role)
        if text is None:
            text = "" if role == "conductance" else expected
            taken = "as normalised" if role == "conductance" else f"in {expected}"
            self.assumed.append(f"the file gives no unit for {name!r}: taken {taken}")
        try:
            fits = same_dimension(text, expected) or (role == "conductance" and same_dimension(text, ""))
        except UnitError as error:
            raise UnitError(f"column {name!r}: {error} Say what it is: units={{{name!r}: {expected!r}}}.") from None
        if not fits:
            raise UnitError(
                f"column {name!r} is the {role} and in {text!r}; expected a unit of the kind of {expected}. Correct it with "
                f"units={{{name!r}: {expected!r}}}, or name the right column with PulseLayout(columns=...)."
            )
        unit = parse_unit(text)
        return unit.to_si(values), unit.symbol

    def constants(self) -> tuple[dict[str, float], dict[str, str]]:
        """Parameters of the file in SI, and their units.

        Raises:
            UnitError: a unit that is not known.
        """
        values, symbols = {}, {}
        for name, value in self.table.parameters.items():
            try:
                unit = parse_unit(self.units.get(name, self.table.parameter_units.get(name, "")))
            except UnitError as error:
                raise UnitError(f"parameter {name!r}: {error} Say what it is: units={{{name!r}: ''}}.") from None
            values[name], symbols[name] = float(unit.to_si(np.float64(value))), unit.symbol
        return values, symbols
