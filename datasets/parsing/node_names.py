"""Names of circuit simulators: in `V(out)`, `Id(M1)` and `@m1[id]` the brackets contain a node or a device, not a unit."""

from __future__ import annotations

import re

from ...errors import UnitError
from ...units import parse_unit

# Terminals are drain, gate, source, bulk, base, collector, emitter; Ix(...) is the current into a pin of a subcircuit.
_PROBE = re.compile(r"(?P<quantity>V(?:[dgsbce]{1,2})?|I(?:[dgsbce]{1,2}|x)?)\((?P<node>[^()]*)\)", re.IGNORECASE)
_DEVICE = re.compile(r"@[^\s\[\]]+\[(?P<kind>\w+)\]")
_BRANCH = re.compile(r"\S+#branch", re.IGNORECASE)
_OPERATORS = re.compile(r"[\s\d.+*/()-]*")
_UNIT_OF = {"v": "V", "i": "A"}


def split_probe(cell: str) -> tuple[str, str | None] | None:
    """Return name and unit of a quantity of a circuit simulator, or of a sum or product of some; None for any other cell.

    A bracket whose content is a unit of the quantity, as in `V(mV)`, or a compound, as in `V(m/s)`, contains a unit.

    Example:
        >>> split_probe("V(s)"), split_probe("Id(M1)"), split_probe("@m1[id]"), split_probe("v1#branch")
        (('V(s)', 'V'), ('Id(M1)', 'A'), ('@m1[id]', 'A'), ('v1#branch', 'A'))
        >>> split_probe("V(a)-V(b)"), split_probe("V(a)*I(R1)"), split_probe("V(mV)"), split_probe("velocity (m)")
        (('V(a)-V(b)', 'V'), ('V(a)*I(R1)', None), None, None)
    """
    device = _DEVICE.fullmatch(cell)
    if device:
        kind = device["kind"].casefold()
        return cell, {"g": "S", "c": "F", "p": "W"}.get(kind[0]) if kind[0] not in _UNIT_OF else _UNIT_OF[kind[0]]
    if _BRANCH.fullmatch(cell):
        return cell, "A"
    probes = list(_PROBE.finditer(cell))
    if not probes or any(_contains_unit(probe["quantity"], probe["node"]) for probe in probes):
        return None
    others = _PROBE.sub("", cell)
    if not _OPERATORS.fullmatch(others):
        return None
    units = {_UNIT_OF[probe["quantity"][0].casefold()] for probe in probes}
    is_sum = not set(others) - set(" +-")
    return cell, units.pop() if is_sum and len(units) == 1 else None


def _contains_unit(quantity: str, node: str) -> bool:
    """Return True if the brackets behind a voltage or a current contain a unit of it, a compound unit, or nothing."""
    node = node.strip()
    if node.isdigit():
        return False
    try:
        unit = parse_unit(node)
    except UnitError:
        return False
    expected = parse_unit(_UNIT_OF[quantity[0].casefold()])
    is_plain_number = unit.symbol == ""
    return unit.dimension == expected.dimension or is_plain_number or "/" in node or "^" in node
