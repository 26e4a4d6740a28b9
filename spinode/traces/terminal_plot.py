"""A recording as a few lines of text, to look at in a terminal."""

from __future__ import annotations

import numpy as np

from ..typing import Array
from .trace import Trace

_ROWS, _COLUMNS = 3, 60
_MOST = 6
# Dots of a Braille cell, by row and column.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_LEVELS = " .:-=+*#"


def picture(trace: Trace, *, plain: bool = False) -> list[str]:
    """Each channel over the time, from its lowest value to its highest; NaN is left out.

    Args:
        trace: The recording; of more than six channels the first six are drawn.
        plain: ASCII, one line a channel, in place of Braille dots, three lines a channel.
    """
    names = [name for name, values in trace.channels.items() if np.isfinite(values).any()][:_MOST]
    width = max(map(len, names), default=0)
    lines: list[str] = []
    for name in names:
        drawn = _plain(trace.channels[name]) if plain else _dots(trace.channels[name])
        middle = len(drawn) // 2
        lines += [f"{name if row == middle else '':<{width}} |{text}|" for row, text in enumerate(drawn)]
    left = len(trace.channels) - len(names)
    return [*lines, f"and {left} more"] if left > 0 and len(names) == _MOST else lines


def _levels(values: Array, columns: int) -> list[tuple[float, float] | None]:
    """Lowest and highest of each column of the picture, in 0 .. 1."""
    finite = values[np.isfinite(values)]
    low, span = float(finite.min()), float(np.ptp(finite)) or 1.0
    pieces = np.array_split(values, min(columns, len(values)))
    kept = [piece[np.isfinite(piece)] for piece in pieces]
    return [((float(p.min()) - low) / span, (float(p.max()) - low) / span) if len(p) else None for p in kept]


def _dots(values: Array) -> list[str]:
    levels = _levels(values, 2 * _COLUMNS)
    cells = [[0x2800] * ((len(levels) + 1) // 2) for _ in range(_ROWS)]
    for column, level in enumerate(levels):
        if level is None:
            continue
        bottom, top = (round(part * (4 * _ROWS - 1)) for part in level)
        for height in range(bottom, top + 1):
            row, dot = divmod(4 * _ROWS - 1 - height, 4)
            cells[row][column // 2] |= _DOTS[dot][column % 2]
    return ["".join(map(chr, row)) for row in cells]


def _plain(values: Array) -> list[str]:
    levels = _levels(values, _COLUMNS)
    return ["".join(" " if each is None else _LEVELS[round(each[1] * (len(_LEVELS) - 1))] for each in levels)]
