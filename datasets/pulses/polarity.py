"""Polarity of the pulses: from words, from the sign of a voltage, or from the caller.

Voltages of both signs, in one file or in a set of files, give the polarity themselves: positive SET, negative RESET.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from ...errors import TraceError
from ...typing import Array
from ..parsing.grid import parse_number
from ..parsing.messages import quoted
from .columns import PulseColumns
from .table import Words

#: Directions of the reads without a pulse before them, and of the first read of a recording where it was not recorded.
NO_PULSE, UNKNOWN = "none", "unknown"

_DIRECTIONS = {
    1.0: ("SET", "up", "p", "pot", "potentiation", "potentiating", "LTP", "increase", "+", "+1"),
    -1.0: ("RESET", "down", "d", "dep", "depression", "depressing", "LTD", "decrease", "-", "-1"),
    0.0: (NO_PULSE, "read", "wait", "0"),
}
_SIGN_OF = {word.casefold(): sign for sign, words in _DIRECTIONS.items() for word in words}
_ACCEPTED = "; ".join(", ".join(words) for words in _DIRECTIONS.values())


def sign_of(word: str) -> float | None:
    """Return 1 for a word that means SET, -1 for RESET, 0 for no pulse, None for any other.

    Example:
        >>> sign_of("potentiation"), sign_of("LTD"), sign_of("read"), sign_of("left")
        (1.0, -1.0, 0.0, None)
    """
    return _SIGN_OF.get(word.strip().casefold())


def sign_in_name(name: str) -> float | None:
    """Return the polarity of the one word of a column's name that means SET or RESET; None where there is none.

    Example:
        >>> sign_in_name("LTP 1"), sign_in_name("G depression"), sign_in_name("Pulse")
        (1.0, -1.0, None)
    """
    words = re.findall(r"[A-Za-z]{3,}", name)
    signs = {sign for word in words if (sign := _SIGN_OF.get(word.casefold())) not in (None, 0.0)}
    return signs.pop() if len(signs) == 1 else None


def polarities(
    columns: PulseColumns, roles: Mapping[str, str], values: Mapping[str, Array], words: Mapping[str, Words], *, timed: bool
) -> Array:
    """Return the polarity of the pulse before each read: 1 SET, -1 RESET, 0 none, NaN not recorded; shape (rows,).

    Args:
        columns: The columns of the file.
        roles: Column name by role.
        values: Columns of numbers by role.
        words: Columns of words by role.
        timed: True if times are known, so that reads without pulses make sense.

    Raises:
        TraceError: a word that is not a direction, or nothing that gives the polarity.
    """
    polarity, rows = columns.layout.polarity, columns.table.rows
    if "direction" in words:
        if polarity is not None:
            raise TraceError(
                f"column {roles['direction']!r} gives directions, and polarity={polarity!r} another; leave polarity "
                "out, or the column: PulseLayout(columns={'direction': ''})."
            )
        return _from_words(columns, roles["direction"], words["direction"], values.get("pulse"))
    signs = columns.signs | voltage_signs(values["voltage"]) if "voltage" in values else frozenset()
    if polarity is not None:
        sign = 1.0 if polarity == "SET" else -1.0
        if len(signs) > 1 and voltage_signs(values["voltage"]) - {sign}:
            negative = int(np.sum(values["voltage"] < 0))
            where = "the files have" if columns.signs else "this file has"
            raise TraceError(
                f"polarity={polarity!r} contradicts column {roles['voltage']!r}: {negative} of its {rows} voltages are negative"
                f", and {where} voltages of both signs, which are the polarity (positive SET, negative RESET). Leave "
                "polarity out, or the column: PulseLayout(columns={'voltage': ''})."
            )
        return np.full(rows, sign)
    if "voltage" in values:
        return _from_voltages(columns, roles["voltage"], values["voltage"])
    if "pulse" in values or not timed:
        raise TraceError(
            "pulses of unknown polarity: there is no column of directions and no signed voltage; "
            "pass pulses=PulseLayout(polarity='SET') or 'RESET'"
            + (", or leave the pulses out: columns={'pulse': ''}." if timed else ", or name a column with columns=.")
        )
    return np.zeros(rows)


def _from_words(columns: PulseColumns, name: str, words: Words, index: Array | None) -> Array:
    signs = []
    for code, text in enumerate(words.names):
        if not text and index is not None and np.all(index[words.codes == code] == 0):
            signs.append(0.0)  # the read before the first pulse has no direction
            continue
        word = text.casefold()
        sign = np.nan if word == UNKNOWN else _SIGN_OF.get(word, parse_number(text) if text else None)
        if sign is None or (word != UNKNOWN and sign not in _DIRECTIONS):
            rows = np.flatnonzero(words.codes == code)
            row = int(rows[0] if text or index is None else rows[index[rows] != 0][0])
            raise TraceError(
                f"{columns.table.where(row)}: pulses of unknown polarity: column {name!r} contains {quoted(text)}; "
                f"accepted are: {_ACCEPTED} (in upper or lower case)."
            )
        signs.append(sign)
    return np.array(signs, dtype=np.float64)[words.codes]


def voltage_signs(voltage: Array) -> frozenset[float]:
    """Return the signs that occur in some voltages, of -1 and 1."""
    signs = np.sign(voltage[np.isfinite(voltage)])
    return frozenset(sign for sign in (-1.0, 1.0) if bool(np.any(signs == sign)))


def _from_voltages(columns: PulseColumns, name: str, voltage: Array) -> Array:
    bad = np.flatnonzero(~np.isfinite(voltage) | (voltage == 0))
    if len(bad):
        raise TraceError(
            f"{columns.table.where(int(bad[0]))}: pulses of unknown polarity: the voltage in column {name!r} is "
            f"{voltage[bad[0]]:g}, and only its sign gives the polarity; add a column of directions ({NO_PULSE!r} for no "
            "pulse)."
        )
    if np.all(voltage > 0) and -1.0 not in columns.signs:
        raise TraceError(
            f"pulses of unknown polarity: there is no column of directions, and all voltages in column {name!r} are "
            "positive, as amplitudes are; pass pulses=PulseLayout(polarity='SET') or 'RESET'."
        )
    columns.assumed.append(f"the sign of {name!r} is the polarity: positive SET, negative RESET")
    return np.sign(voltage)
