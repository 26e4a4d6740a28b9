"""The picture of a sensitivity table: what each imperfection costs alone, and what its removal gains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...reporting.canvas import MODEL, WRONG, add_legend, new_axes, style_axes
from .table import SensitivityTable
from .variants import EVERYTHING, NOTHING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_sensitivity(table: SensitivityTable, *, ax: Axes | None = None) -> Axes:
    """Draw two bars for each imperfection with their 95 % intervals, the most expensive on top."""
    rows = [row for row in table.rows() if row.cost.seeds or row.gain.seeds]
    ax = new_axes(7.4, 1.6 + 0.42 * len(rows)) if ax is None else ax
    place = np.arange(len(rows))
    for shift, colour, label, name in ((-0.19, WRONG, "cost alone", "cost"), (0.19, MODEL, "gain by removal", "gain")):
        values = [getattr(row, name) for row in rows]
        halves = [0.0 if math.isnan(each.half) else 100 * each.half for each in values]
        means = [0.0 if math.isnan(each.mean) else 100 * each.mean for each in values]
        ax.barh(place + shift, means, 0.36, xerr=halves, color=colour, label=label, error_kw={"elinewidth": 1, "capsize": 2})
    everything, nothing = table.mean(EVERYTHING).mean, table.mean(NOTHING).mean
    title = f"{table.device}: {100 * everything:.1f} % with everything, {100 * nothing:.1f} % with nothing"
    seeds = max((len(values) for values in table.accuracy.values()), default=0)
    bars = f"; bars: 95 % intervals over {seeds} seeds" if seeds > 1 else "; one seed"
    style_axes(ax, f"points of accuracy{bars}", "", title)
    ax.set_yticks(place, [f"  {row.name}" if row.part else row.name for row in rows])
    ax.axvline(0, color="black", linewidth=0.8)
    ax.invert_yaxis()
    add_legend(ax)
    return ax
