"""What all figures share: colours, axes, labels with SI prefixes, thinning of long traces."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UnitError
from ..typing import Array
from ..units import parse_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette: told apart with any common colour blindness, and by lightness in print.
TRUTH, MODEL, WRONG, QUIET = "#1a1a1a", "#0072b2", "#d55e00", "#8c8c8c"
CYCLE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a6a00", "#5a5a5a")

#: Most points of a drawn line: two per pixel column of a wide figure. More only make the file larger.
LINE_POINTS = 3000

#: Most points of a drawn cloud; beyond, they cover each other.
CLOUD_POINTS = 3000

#: Longest name that is printed whole beside an axis.
NAME_LENGTH = 40

_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


def new_axes(width: float = 4.4, height: float = 3.6) -> Axes:
    """Axes of a new figure of this size [inch]."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def new_pair(width: float = 10.4, height: float = 4.4) -> tuple[Axes, Axes]:
    """Two Axes above each other with one time axis, the lower one a strip."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    return upper, lower


def dress(ax: Axes, xlabel: str, ylabel: str, title: str = "") -> Axes:
    """Labels, a light grid and no box."""
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


def legend(ax: Axes, *, above: bool = False, beside: bool = False) -> None:
    """A legend on a light ground; above the axes or beside them where it would lie on the data."""
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


def plain(name: str) -> str:
    """A name from a file as matplotlib may print it: no formula, no control characters, not endless."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    if len(shown) > NAME_LENGTH:
        shown = shown[: NAME_LENGTH - 1] + "…"
    return shown.replace("\\", "\\\\").replace("$", r"\$")


def prefixed(values: Array | float, unit: str) -> tuple[float, str]:
    """What to divide by so that the largest magnitude is 1 .. 1000, and the unit that is left.

    Args:
        values: Numbers in `unit`, an SI symbol.
        unit: Such as "s", "V", "J/m3" or "".

    Returns:
        Divisor and unit, such as (1e-9, "ns"); (1.0, unit) where no prefix can stand.
    """
    magnitudes = np.abs(np.asarray(values, dtype=np.float64))
    finite = magnitudes[np.isfinite(magnitudes)]
    largest = float(finite.max()) if finite.size else 0.0
    if not unit or largest == 0:
        return 1.0, unit
    power = min(max(3 * math.floor(math.log10(largest) / 3), -15), 12)
    wanted = 10.0**power
    try:
        found = parse_unit(_PREFIXES[power] + unit).factor / parse_unit(unit).factor
    except UnitError:
        return 1.0, unit
    # "mm2" is not a thousandth of "m2", and "min" no thousandth of an inch: the prefix must mean its own power.
    return (wanted, _PREFIXES[power] + unit) if math.isclose(found, wanted, rel_tol=1e-9) else (1.0, unit)


def with_unit(name: str, unit: str) -> str:
    """Axis label: "mz", "Ku (kJ/m³)"."""
    shown = unit
    for digit, raised in (("2", "²"), ("3", "³")):
        shown = shown.replace(digit, raised)
    if shown[:1] == "u" and len(shown) > 1:
        shown = "µ" + shown[1:]
    return f"{plain(name)} ({plain(shown)})" if unit else plain(name)


def thin(values: Array, limit: int = LINE_POINTS) -> np.ndarray:
    """Indices that keep the outline of a long line: the smallest and the largest sample of each of limit / 2 bins.

    Taking every n-th sample instead would show an oscillation slower than it is.
    """
    count = len(values)
    if count <= limit:
        return np.arange(count)
    size = -(-count // (limit // 2))
    padded = np.pad(values, (0, -count % size), mode="edge").reshape(-1, size)
    starts = size * np.arange(len(padded))
    kept = np.concatenate([starts + padded.argmin(1), starts + padded.argmax(1), [0, count - 1]])
    return np.unique(np.minimum(kept, count - 1))


def cloud(count: int, limit: int = CLOUD_POINTS) -> np.ndarray:
    """Indices of at most `limit` of `count` points, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(int))
