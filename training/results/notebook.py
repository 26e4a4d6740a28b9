"""What a `StreamResult` shows in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...reporting.canvas import CYCLE, add_legend, new_axes, style_axes
from ...reporting.notebook import notebook_html

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def result_html(result: Any) -> str:
    """Return the figures of a `StreamResult`, and the accuracy of each task when it was learned and at the end.

    Args:
        result: A `StreamResult`; not annotated as such, because its file imports this one.
    """
    rows = [(name, f"{value:.4g}") for name, value in result.figures().items()]
    title = f"{result.rule} on {result.stream}, seed {result.seed}"
    return notebook_html(title, rows, lambda: _plot_tasks(result), "accuracy of each task when it was learned and at the end")


def _plot_tasks(result: Any) -> Axes:
    ax = new_axes(7.0, 2.6)
    values = result.accuracy.values
    tasks = 1 + np.arange(len(values))
    ax.plot(tasks, np.diag(values), "o", color=CYCLE[1], markersize=4, label="when learned")
    ax.plot(tasks, values[-1], "o", color=CYCLE[0], markersize=4, label="at the end")
    ax.set_ylim(0, 1.02)
    style_axes(ax, "task", "accuracy")
    add_legend(ax)
    return ax
