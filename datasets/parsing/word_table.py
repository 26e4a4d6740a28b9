"""Columns of a table that are not plain numbers: turned into times, quantities and units, or left out with the reason."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import TraceError
from ...typing import Array
from .grid import Doubtful
from .messages import quoted
from .word_columns import distinct_words, parse_quantities, parse_times, units_from_unit_columns

# A number in a form that is not read, such as 1.5u or 1,234.5; dates are excluded.
_UNREAD_NUMBER = re.compile(r"(?!\d+([./-])\d+\1\d+$)[+-]?[.,]?\d[\d.,' ]*(?:[eEdD][+-]?\d+)?[afpnuµmkMGT]?")
_MAX_SHOWN = 3


@dataclass
class WordTable:
    """What became of the columns that are not plain numbers.

    Attributes:
        text: Distinct words of columns of words, by name.
        left_out: Why a column was left out, by name.
        unreadable: What is wrong with a column of numbers, by name.
    """

    text: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


def parse_words(names: list[str], units: list[str | None], columns: Sequence[Array] | Array, doubtful: Doubtful) -> WordTable:
    """Turn columns of words into times, quantities and units in place; the names of those left out become "".

    Args:
        names: Names of the columns.
        units: Their units.
        columns: Their values, one array for each.
        doubtful: The columns that are not plain numbers.
    """
    result = WordTable(unreadable={names[index]: message for index, message in doubtful.unreadable.items()})
    _give_units(names, units, doubtful.words, result)
    for index, cells in doubtful.words.items():
        name = names[index]
        try:
            seconds = parse_times(cells, name)
            quantities = None if seconds is not None else parse_quantities(cells, name)
        except TraceError as error:
            # Times that can be read in two ways are an error if they are used; cells in several units are no channel.
            if re.search(r"\d:\d|T\d", cells[0]):
                result.unreadable[name] = str(error)
            else:
                _leave_out(names, index, str(error), cells, result)
            continue
        if seconds is not None:
            fractions = next((k for k, other in enumerate(names) if other.casefold() == "fractional seconds"), None)
            columns[index][:] = seconds if fractions is None else seconds + columns[fractions] - columns[fractions][0]
            units[index] = "s"
        elif quantities is not None:
            columns[index][:], units[index] = quantities
        elif units[index] is not None or any(_UNREAD_NUMBER.fullmatch(cell.strip('" ')) for cell in cells):
            # Numbers in a form that is not read: leaving them out as remarks would lose a channel.
            result.unreadable[name] = (
                f"the column {name!r} contains {cells[0]!r}, which is not a number; write plain numbers with a decimal point, "
                "or take the column out."
            )
        else:
            words = distinct_words(cells)
            shown = ", ".join(quoted(word) for word in words[:_MAX_SHOWN]) + (", ..." if len(words) > _MAX_SHOWN else "")
            _leave_out(names, index, f"it contains words ({shown})", cells, result)
    return result


def _give_units(names: Sequence[str], units: list[str | None], words: Mapping[int, list[str]], result: WordTable) -> None:
    """Give units of a column of its own to the column before it."""
    for index, found in units_from_unit_columns(names, words).items():
        if len(found) > 1:
            result.unreadable[names[index]] = (
                f"the column {names[index]!r} mixes the units {', '.join(found)}; cut the file into one for each."
            )
        else:
            units[index] = units[index] or found[0]


def _leave_out(names: list[str], index: int, reason: str, cells: Sequence[str], result: WordTable) -> None:
    name = names[index]
    result.left_out[name] = reason
    result.text[name] = distinct_words(cells)
    names[index] = ""
