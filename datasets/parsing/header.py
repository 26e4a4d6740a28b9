"""Column headers: the name and the unit in `t (s)`, `V [mV]`, `time/ns`."""

from __future__ import annotations

import re

from ...errors import UnitError
from ...units import parse_unit, same_dimension
from .node_names import split_probe

_BRACKETS = re.compile(r"(?P<name>.*?)(?P<blank>\s*)(?:\((?P<round>[^()]*)\)|\[(?P<square>[^\[\]]*)\])\s*")
#: For a time, a unit after an underscore or a blank counts as well: without it the time would be wrong by a thousand.
_TIME_AND_UNIT = re.compile(
    r"(?P<name>(?:t|time|timestamp|elapsed|elapsed time))[_ ](?P<unit>[munpf]?s|min|hr?|hours?|d|days?)", re.IGNORECASE
)
_WORD = re.compile(r"[^\s\"]+(?:[ ]?[(\[][^)\]]*[)\]])?|\"[^\"]*\"")

# "I/A" is a current in ampere, but "I/V" is a ratio: after a single letter, a unit behind a slash counts only if it fits.
_UNIT_OF_LETTER = {
    "t": "s",
    "I": "A",
    "V": "V",
    "U": "V",
    "R": "Ohm",
    "G": "S",
    "T": "K",
    "f": "Hz",
    "H": "A/m",
    "B": "T",
    "P": "W",
}


def split_name(cell: str) -> tuple[str, str | None]:
    """Split a header cell into name and unit text.

    The last bracket counts; in `Smu1.V[1][1]` it is an index, not a unit. `I_A` keeps its name: an underscore joins a unit in
    one laboratory and a terminal in the next.

    Example:
        >>> split_name("t (s)"), split_name("mx ()"), split_name("V [mV]"), split_name("time/ns")
        (('t', 's'), ('mx', ''), ('V', 'mV'), ('time', 'ns'))
        >>> split_name("C1 in V"), split_name("Voltage")
        (('C1', 'V'), ('Voltage', None))
    """
    cell = " ".join(cell.split())
    probe = split_probe(cell)
    if probe is not None:
        return probe
    bracketed = _BRACKETS.fullmatch(cell)
    if bracketed and bracketed["name"]:
        unit = bracketed["round"] if bracketed["round"] is not None else bracketed["square"]
        if not (unit.isdigit() and not bracketed["blank"]):
            return bracketed["name"], unit.strip()
    name, separator, unit = (part.strip() for part in (" " + cell).rpartition(" in "))
    if separator and is_unit(unit) and len(unit) < 8:
        return name or ("time" if same_dimension(unit, "s") else cell), unit
    name, slash, unit = (part.strip() for part in cell.rpartition("/"))
    if slash and _is_quantity_over_unit(name, unit):
        return name, unit
    return cell, None


def _is_quantity_over_unit(name: str, unit: str) -> bool:
    if not unit or unit.isdigit() or not is_unit(unit):
        return False
    if name in _UNIT_OF_LETTER:
        return same_dimension(unit, _UNIT_OF_LETTER[name])
    return len(name) > 1 and not is_unit(name)


def is_unit(text: str) -> bool:
    """Return True if the text is a unit that `parse_unit` accepts."""
    try:
        parse_unit(text)
    except UnitError:
        return False
    return True


def is_unit_of(text: str | None, dimension: str) -> bool:
    """Return True if the text is a known unit of the same dimension as another unit."""
    return text is not None and is_unit(text) and same_dimension(text, dimension)


def split_time_unit(name: str, unit: str | None) -> tuple[str, str | None]:
    """Split `time_us` and `Elapsed ms` into name and unit; return any other name and unit unchanged."""
    match = _TIME_AND_UNIT.fullmatch(name) if unit is None else None
    return (match["name"], match["unit"]) if match else (name, unit)


def bare_unit(cell: str) -> str:
    """Return the unit in a cell of a units row: "s", "V" and "mV" for `(s)`, `[V]` and `mV`."""
    cell = cell.strip()
    return cell[1:-1].strip() if cell[:1] + cell[-1:] in ("()", "[]", "{}", "<>") else cell


def split_words(line: str) -> list[str]:
    """Split a header at blanks, keeping a unit in brackets with the name before it: `t (s)  V (mV)`."""
    return [token.strip('"') for token in _WORD.findall(line)]
