"""Pieces of error messages: numbers of things, and quoted cells."""

from __future__ import annotations

from collections.abc import Sequence

_MAX_QUOTED, _MAX_NAMES = 40, 20


def counted(number: float, word: str) -> str:
    """Return a number of things.

    Example:
        >>> counted(1, "pulse"), counted(2, "pulse")
        ('1 pulse', '2 pulses')
    """
    return f"{number:.0f} {word}{'' if number == 1 else 's'}"


def quoted(text: str) -> str:
    """Return a cell or line in quotes, cut where it is long."""
    return repr(text if len(text) <= _MAX_QUOTED else text[:_MAX_QUOTED] + "...")


def listed(names: Sequence[str]) -> str:
    """Return names with commas; of many the first ones, and how many more there are."""
    hidden = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {hidden} more" if hidden > 0 else "")
