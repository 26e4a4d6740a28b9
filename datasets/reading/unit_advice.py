"""A unit to suggest where that of a column is not known."""

from __future__ import annotations

import difflib
import re

from ...units import known_units

# Words in the names of columns, and a unit of their kind.
_KINDS = (
    ("time|zeit|^t$", "ms"), ("current|strom|^i|^i[dgsb]$", "mA"), ("volt|spannung|bias|^[vu]", "mV"), (r"temp|^t\d+$", "K"),
    ("press|druck|^p$", "Pa"), ("freq|^f$", "Hz"), ("field|^b|^h", "T"), ("resist|^r", "Ohm"), ("conduct|^g", "S"),
    ("power|leistung", "W"), ("energy|energie", "J"), ("force|kraft", "N"), ("torque|drehm", "Nm"), ("angle|winkel", "deg"),
    ("speed|veloc", "m/s"), ("pos|dist|length|weg", "mm"), ("charge|ladung|^q", "C"), ("capac|^c", "F"),
)  # fmt: skip


def unit_of_kind(name: str, unknown: str) -> str:
    """Return a known unit that may be meant by an unknown one: of similar spelling, else of the kind of the column's name.

    Example:
        >>> unit_of_kind("p", "Tor"), unit_of_kind("Chamber pressure", "foo"), unit_of_kind("x", "foo")
        ('Torr', 'Pa', '')
    """
    if name == "T":
        return "K"
    close = difflib.get_close_matches(unknown, known_units(), n=1, cutoff=0.75) if len(unknown) > 1 else []
    if close:
        return close[0]
    return next((unit for words, unit in _KINDS if re.search(words, name, re.IGNORECASE)), "")
