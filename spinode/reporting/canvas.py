"""Common parts of all figures: colours, axes, labels with SI prefixes, and reduction of long lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UnitError
from ..typing import Array
from ..units import parse_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The palette of Okabe and Ito, which can be distinguished with any common colour blindness, and by lightness in print.
# TRUTH is for measured data, MODEL for predictions, WRONG for errors, QUIET for secondary elements.
TRUTH, MODEL, WRONG, QUIET = "#1a1a1a", "#0072b2", "#d55e00", "#8c8c8c"
CYCLE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a6a00", "#5a5a5a")

#: Largest number of points of a line: two per pixel column of a wide figure. More only make the file larger.
MAX_LINE_POINTS = 3000

#: Largest number of points of a scatter plot; more would cover each other.
MAX_SCATTER_POINTS = 3000

#: Largest length of a name in a label.
MAX_NAME_LENGTH = 40

_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


def new_axes(width: float = 4.4, height: float = 3.6) -> Axes:
    """Return the axes of a new figure of this size [inch]."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def new_stacked_axes(width: float = 10.4, height: float = 4.8) -> tuple[Axes, Axes]:
    """Return two axes, one above the other, with one time axis; the lower one has half the height of the upper one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    return upper, lower


def style_axes(ax: Axes, xlabel: str, ylabel: str, title: str = "") -> Axes:
    """Set labels and title, draw a light grid, remove the box, and return the axes."""
    ax.set_xlabel(xlabel, fontsize=11)
    ax.set_ylabel(ylabel, fontsize=11)
    if title:
        ax.set_title(title, fontsize=12, loc="left")
    ax.tick_params(labelsize=10)
    ax.grid(True, color="#e4e4e4", linewidth=0.7)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax


def add_legend(ax: Axes, *, above: bool = False, beside: bool = False) -> None:
    """Add a legend: inside the axes, or above or beside them where it would cover the data."""
    handles, labels = ax.get_legend_handles_labels()
    if not handles:
        return
    if above or beside:
        ax.legend(
            handles,
            labels,
            fontsize=10,
            frameon=False,
            ncols=6 if above else 1,
            loc="lower right" if above else "upper left",
            bbox_to_anchor=(1.0, 1.0),
            borderaxespad=0.1,
            columnspacing=1.0,
            handlelength=1.4,
            handletextpad=0.5,
        )
    else:
        ax.legend(handles, labels, fontsize=9.5, framealpha=0.9, edgecolor="#dddddd")


def escape_label(name: str) -> str:
    r"""Return a name from a file for a label: no formulas, no control characters, at most 40 characters.

    Example:
        >>> print(escape_label("V$_{in}$"))
        V\$_{in}\$
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    if len(shown) > MAX_NAME_LENGTH:
        shown = shown[: MAX_NAME_LENGTH - 1] + "…"
    return shown.replace("\\", "\\\\").replace("$", r"\$")


def choose_prefix(values: Array | float, unit: str) -> tuple[float, str]:
    """Choose a prefix so that the largest magnitude is 1 .. 1000.

    Args:
        values: Numbers in `unit`.
        unit: SI symbol, such as "s", "V", "J/m3" or "".

    Returns:
        Divisor of the values and unit with the prefix; (1.0, unit) if the unit takes no prefix.

    Example:
        >>> choose_prefix(np.array([2e-9, 4e-8]), "s"), choose_prefix(5e5, "J/m3")
        ((1e-09, 'ns'), (1000.0, 'kJ/m3'))
    """
    magnitudes = np.abs(np.asarray(values, dtype=np.float64))
    finite = magnitudes[np.isfinite(magnitudes)]
    largest = float(finite.max()) if finite.size else 0.0
    if not unit or largest == 0:
        return 1.0, unit
    power = min(max(3 * math.floor(math.log10(largest) / 3), -15), 12)
    divisor = 10.0**power
    try:
        factor = parse_unit(_PREFIXES[power] + unit).factor / parse_unit(unit).factor
    except UnitError:
        return 1.0, unit
    # "mm2" is not a thousandth of "m2", and "min" not a thousandth of an inch: the prefix must have its usual meaning.
    return (divisor, _PREFIXES[power] + unit) if math.isclose(factor, divisor, rel_tol=1e-9) else (1.0, unit)


def axis_label(name: str, unit: str) -> str:
    """Return an axis label, such as "mz" or "Ku (kJ/m³)"."""
    shown = unit
    for digit, raised in (("2", "²"), ("3", "³")):
        shown = shown.replace(digit, raised)
    if shown[:1] == "u" and len(shown) > 1:
        shown = "µ" + shown[1:]
    return f"{escape_label(name)} ({escape_label(shown)})" if unit else escape_label(name)


def envelope_indices(values: Array, limit: int = MAX_LINE_POINTS) -> np.ndarray:
    """Return indices that preserve the envelope of a long line: the smallest and largest sample in each of limit / 2 bins.

    Taking every n-th sample instead would show an oscillation as slower than it is.
    """
    count = len(values)
    if count <= limit:
        return np.arange(count)
    size = -(-count // (limit // 2))
    padded = np.pad(values, (0, -count % size), mode="edge").reshape(-1, size)
    starts = size * np.arange(len(padded))
    indices = np.concatenate([starts + padded.argmin(1), starts + padded.argmax(1), [0, count - 1]])
    return np.unique(np.minimum(indices, count - 1))


def subsample_indices(count: int, limit: int = MAX_SCATTER_POINTS) -> np.ndarray:
    """Return at most `limit` evenly spaced indices of `count` points."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(int))
