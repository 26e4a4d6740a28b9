"""A plot of a recording in a few lines of text, for the terminal."""

from __future__ import annotations

import numpy as np

from ..typing import Array
from .trace import Trace

_ROWS, _COLUMNS = 3, 60
_MAX_CHANNELS = 6
# Dots of a Braille character, by row and column.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_SHADES = " .:-=+*#"


def terminal_plot(trace: Trace, *, plain: bool = False) -> list[str]:
    """Plot each channel over the time, from its lowest to its highest value; NaN is left out.

    Args:
        trace: The recording; of more than six channels the first six are plotted.
        plain: Use ASCII characters, one line per channel, instead of Braille dots, three lines per channel.

    Returns:
        The lines of the plot.

    Example:
        >>> trace = Trace(np.arange(8.0), output={"ramp": np.arange(8.0)})
        >>> terminal_plot(trace, plain=True)
        ['ramp | .:-=+*#|']
    """
    names = [name for name, values in trace.channels.items() if np.isfinite(values).any()][:_MAX_CHANNELS]
    width = max(map(len, names), default=0)
    lines: list[str] = []
    for name in names:
        rows = _ascii_rows(trace.channels[name]) if plain else _braille_rows(trace.channels[name])
        middle = len(rows) // 2
        lines += [f"{name if row == middle else '':<{width}} |{text}|" for row, text in enumerate(rows)]
    hidden = len(trace.channels) - len(names)
    return [*lines, f"and {hidden} more"] if hidden > 0 and len(names) == _MAX_CHANNELS else lines


def _column_ranges(values: Array, columns: int) -> list[tuple[float, float] | None]:
    """Return the lowest and highest value in each column, scaled to 0 .. 1; None for a column without finite values."""
    finite = values[np.isfinite(values)]
    low, span = float(finite.min()), float(np.ptp(finite)) or 1.0
    pieces = [piece[np.isfinite(piece)] for piece in np.array_split(values, min(columns, len(values)))]
    return [((float(p.min()) - low) / span, (float(p.max()) - low) / span) if len(p) else None for p in pieces]


def _braille_rows(values: Array) -> list[str]:
    ranges = _column_ranges(values, 2 * _COLUMNS)
    cells = [[0x2800] * ((len(ranges) + 1) // 2) for _ in range(_ROWS)]
    for column, bounds in enumerate(ranges):
        if bounds is None:
            continue
        bottom, top = (round(part * (4 * _ROWS - 1)) for part in bounds)
        for height in range(bottom, top + 1):
            row, dot = divmod(4 * _ROWS - 1 - height, 4)
            cells[row][column // 2] |= _DOTS[dot][column % 2]
    return ["".join(map(chr, row)) for row in cells]


def _ascii_rows(values: Array) -> list[str]:
    ranges = _column_ranges(values, _COLUMNS)
    return ["".join(" " if bounds is None else _SHADES[round(bounds[1] * (len(_SHADES) - 1))] for bounds in ranges)]
