"""Pictures of a fleet: a wafer map of one figure, and the distributions of all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ....reporting.canvas import MODEL, WRONG, new_axes, style_axes
from ....typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Quantiles between which the colours of a map and the bins of a histogram lie.
SHOWN = (0.005, 0.995)


def plot_wafer(x: Array, y: Array, values: Array, name: str, *, marked: Sequence[int] = (), ax: Axes | None = None) -> Axes:
    """Draw the value of each device at its place.

    Args:
        x: Place of each device, shape (devices,).
        y: Place of each device, shape (devices,).
        values: Shape (devices,); a device with NaN is a grey cross.
        name: What the values are.
        marked: Numbers of devices that get a ring, such as outliers.
        ax: Where to draw.
    """
    ax = new_axes(5.4, 4.6) if ax is None else ax
    known = np.isfinite(values)
    low, high = np.quantile(values[known], SHOWN) if known.any() else (0.0, 1.0)
    size = min(120.0, 30_000 / max(1, len(values)))
    points = ax.scatter(x[known], y[known], c=values[known], s=size, marker="s", vmin=low, vmax=high, cmap="viridis")
    ax.scatter(x[~known], y[~known], c="#8c8c8c", s=size, marker="x")
    rings = np.array(marked, dtype=int)
    ax.scatter(x[rings], y[rings], s=2.5 * size, facecolors="none", edgecolors=WRONG, linewidths=0.9)
    if ax.figure is not None:
        ax.figure.colorbar(points, ax=ax, extend="both")
    ax.set_aspect("equal")
    return style_axes(ax, "x", "y", name)


def plot_distributions(figures: Mapping[str, Array]) -> Figure:
    """Draw a histogram of each figure, between the quantiles 0.5 % and 99.5 %, with the median.

    Args:
        figures: Values of all devices by name; NaN are left out.
    """
    from matplotlib.figure import Figure

    shown = {name: values[np.isfinite(values)] for name, values in figures.items() if np.isfinite(values).any()}
    columns = min(3, max(1, len(shown)))
    rows = max(1, math.ceil(len(shown) / columns))
    figure = Figure(figsize=(3.6 * columns, 2.7 * rows), layout="constrained")
    for number, (name, values) in enumerate(shown.items()):
        ax = figure.add_subplot(rows, columns, number + 1)
        low, high = np.quantile(values, SHOWN)
        ax.hist(values, bins=40, range=(low, high) if high > low else None, color=MODEL)
        ax.axvline(float(np.median(values)), color=WRONG, linewidth=1)
        style_axes(ax, name, "devices", f"median {np.median(values):.4g}")
    return figure
