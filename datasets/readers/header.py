"""Column headers: the name and the unit in `t (s)`, `V [mV]`, `time/ns`."""

from __future__ import annotations

import re

from ...errors import UnitError
from ...units import parse_unit, same_dimension

_BRACKETS = re.compile(r"(?P<name>.*?)(?P<blank>\s*)(?:\((?P<round>[^()]*)\)|\[(?P<square>[^\[\]]*)\])\s*")
#: Of a time the unit counts behind an underscore or a blank as well: it would be wrong by a thousand without.
_TIME = re.compile(r"(?P<name>(?:t|time|timestamp|elapsed|elapsed time))[_ ](?P<unit>[munpf]?s|min)", re.IGNORECASE)
_TOKEN = re.compile(r"[^\s\"]+(?:[ ]?[(\[][^)\]]*[)\]])?|\"[^\"]*\"")

# "I/A" is a current in ampere, but "I/V" is a ratio: a single letter takes a unit behind a stroke only if it fits.
_LETTERS = {
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
    """Name and unit text of a header cell.

    Examples: `t (s)` is ("t", "s"), `mx ()` is ("mx", ""), `V [mV]` is ("V", "mV"), `time/ns` is ("time", "ns"),
    `C1 in V` is ("C1", "V"), `Voltage` is ("Voltage", None). The last bracket counts; `Smu1.V[1][1]` has an index there, and no
    unit. `I_A` keeps
    its name: an underscore joins a unit in one laboratory and a terminal in the next.
    """
    cell = " ".join(cell.split())
    found = _BRACKETS.fullmatch(cell)
    if found and found["name"]:
        unit = found["round"] if found["round"] is not None else found["square"]
        # V(out) of a circuit simulator is a voltage at a node.
        node = not found["blank"] and found["name"] in ("V", "I", "v", "i") and unit != "" and not is_unit(unit)
        if not (unit.isdigit() and not found["blank"]) and not node:
            return found["name"], unit.strip()
    name, joined, unit = (part.strip() for part in (" " + cell).rpartition(" in "))
    if joined and is_unit(unit) and len(unit) < 8:
        return name or ("time" if same_dimension(unit, "s") else cell), unit
    name, stroke, unit = (part.strip() for part in cell.rpartition("/"))
    if stroke and _is_quantity_over_unit(name, unit):
        return name, unit
    return cell, None


def _is_quantity_over_unit(name: str, unit: str) -> bool:
    if not unit or unit.isdigit() or not is_unit(unit):
        return False
    if name in _LETTERS:
        return same_dimension(unit, _LETTERS[name])
    return len(name) > 1 and not is_unit(name)


def is_unit(text: str) -> bool:
    """Whether the text is a unit that `parse_unit` takes."""
    try:
        parse_unit(text)
    except UnitError:
        return False
    return True


def split_time(name: str, unit: str | None) -> tuple[str, str | None]:
    """Name and unit of `time_us`, `Elapsed ms`; those of anything else as they are."""
    found = _TIME.fullmatch(name) if unit is None else None
    return (found["name"], found["unit"]) if found else (name, unit)


def bare_unit(cell: str) -> str:
    """The unit of a cell in a units row: `(s)`, `[V]` and `mV` are "s", "V" and "mV"."""
    cell = cell.strip()
    return cell[1:-1].strip() if cell[:1] + cell[-1:] in ("()", "[]", "{}", "<>") else cell


def split_words(line: str) -> list[str]:
    """Header cells between blanks, where a unit in brackets belongs to the name before it: `t (s)  V (mV)`."""
    return [token.strip('"') for token in _TOKEN.findall(line)]
