"""Plots of a run over a stream: accuracy on each task, and uncertainty in and out of distribution.

Each `plot_*` function draws into the given Axes, or into those of a new `matplotlib.figure.Figure`, and returns them;
`ax.figure.savefig(path)` writes the image. matplotlib is imported when the first figure is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ConfigError
from ...reporting.canvas import CYCLE, MODEL, QUIET, WRONG, add_legend, escape_label, new_axes, style_axes
from ...validation import one_of
from .metrics import AccuracyMatrix
from .result import StreamResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

#: Maximal number of tasks with separate colours and labels; the curves of more share a colour scale.
MAX_LABELLED = len(CYCLE)


def plot_accuracies(matrix: AccuracyMatrix, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Plot R[t, i], with a row per learned task t and a column per tested task i; blank where it was not tested."""
    ax = new_axes(5.2, 4.2) if ax is None else ax
    tasks = len(matrix)
    edges = np.arange(tasks + 1) + 0.5
    mesh = ax.pcolormesh(edges, edges, 100 * np.ma.masked_invalid(matrix.values), cmap="viridis", vmin=0, vmax=100)
    ax.figure.colorbar(mesh, ax=ax, label="accuracy (%)")
    style_axes(ax, "tested task", "after task", title)
    ax.grid(False)
    ax.set_xlim(0.5, tasks + 0.5)
    ax.set_ylim(tasks + 0.5, 0.5)  # as a matrix: the first row on top
    ax.set_aspect("equal")
    _set_integer_ticks(ax.xaxis, ax.yaxis)
    if tasks <= 10:
        for (t, i), value in np.ndenumerate(matrix.values):
            if not np.isnan(value):
                color = "white" if value < 0.6 else "black"
                ax.text(i + 1, t + 1, f"{100 * value:.0f}", ha="center", va="center", color=color, fontsize=9)
    return ax


def plot_tasks(matrix: AccuracyMatrix, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Plot one curve per task: its accuracy after it was learned and after each later task."""
    ax = new_axes(6.4, 3.8) if ax is None else ax
    tasks = len(matrix)
    for index in range(tasks):
        curve = 100 * matrix.values[index:, index]
        after = np.arange(index, tasks) + 1
        is_labelled = tasks <= MAX_LABELLED
        style = {"label": f"task {index + 1}", "linewidth": 1.6} if is_labelled else {"linewidth": 0.9, "alpha": 0.8}
        color = _color(index, tasks)
        # The line is interrupted where nothing was tested; a test without neighbours is a dot.
        ax.plot(after, curve, color=color, marker="o" if is_labelled else "", markersize=4, **style)
        tested = np.pad(~np.isnan(curve), 1)
        is_isolated = tested[1:-1] & ~tested[:-2] & ~tested[2:]
        ax.plot(after[is_isolated], curve[is_isolated], ".", color=color, markersize=4)
    _dress_task_axes(ax, tasks, title)
    if tasks > MAX_LABELLED:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        ax.figure.colorbar(ScalarMappable(Normalize(1, tasks), "viridis_r"), ax=ax, label="task")
    add_legend(ax, beside=True)
    return ax


def plot_sliding(
    results: Sequence[StreamResult] | Sequence[Sequence[StreamResult]],
    *,
    labels: Sequence[str] = (),
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Plot the mean accuracy on the newest tasks after each task, as mean over seeds with a band of one standard deviation.

    Args:
        results: The results of several seeds; or several such lists, which become one curve each.
        labels: A label per list; their rules if omitted.
        title: Title of the axes.
        ax: Axes to draw into; new ones if omitted.
    """
    groups = [[item] if isinstance(item, StreamResult) else list(item) for item in results]
    if all(isinstance(item, StreamResult) for item in results):
        groups = [[result for group in groups for result in group]]
    if not groups or not all(groups):
        raise ConfigError("there are no results to draw; expected one per seed.")
    ax = new_axes(6.4, 3.8) if ax is None else ax
    for position, group in enumerate(groups):
        curves = 100 * np.array([result.accuracy.sliding(result.recent) for result in group])
        after = np.arange(curves.shape[1]) + 1
        mean, color = curves.mean(0), CYCLE[position % len(CYCLE)]
        seeds = f", {len(group)} seeds" if len(group) > 1 else ""
        name = labels[position] if labels else f"{group[0].rule}{seeds}"
        ax.plot(
            after,
            mean,
            color=color,
            linewidth=1.6,
            marker="o" if len(after) <= 20 else "",
            markersize=4,
            label=escape_label(name),
        )
        if len(group) > 1:
            sd = curves.std(0, ddof=1)
            ax.fill_between(after, mean - sd, mean + sd, color=color, alpha=0.2, linewidth=0)
    _dress_task_axes(ax, max(len(result.accuracy) for group in groups for result in group), title)
    ax.set_ylabel(f"accuracy, mean of last {groups[0][0].recent} tasks (%)")
    add_legend(ax)
    return ax


def plot_uncertainty(result: StreamResult, *, kind: str = "epistemic", ax: Axes | None = None) -> Axes:
    """Plot histograms of the uncertainty on the tests of the newest task and out of distribution, with the AUC as title.

    Args:
        result: The result of a run with `ood`.
        kind: "epistemic", "aleatoric" or "total".
        ax: Axes to draw into; new ones if omitted.

    Raises:
        ConfigError: a run without `ood`, or another kind.
    """
    from .uncertainty import roc_auc

    kind = one_of("kind", kind, ("epistemic", "aleatoric", "total"))
    if f"newest {kind}" not in result.detection:
        raise ConfigError("the run had no out-of-distribution tests; pass ood=... to train.")
    ax = new_axes(5.4, 3.6) if ax is None else ax
    newest, ood = result.detection[f"newest {kind}"], result.detection[f"ood {kind}"]
    largest = max(float(newest.max()), float(ood.max()), 1e-9)
    edges = np.linspace(0, largest, 51)
    for values, color, label in ((newest, MODEL, "newest task"), (ood, WRONG, "out of distribution")):
        ax.hist(values.double().numpy(), bins=edges, density=True, color=color, alpha=0.55, label=label)  # type: ignore[arg-type]
    style_axes(ax, f"{kind} uncertainty (bit)", "density (1/bit)", f"area under the ROC curve: {roc_auc(newest, ood):.3f}")
    ax.set_xlim(0, largest)
    add_legend(ax)
    return ax


def save_plots(result: StreamResult, folder: str | Path) -> list[Path]:
    """Write all plots that a result allows as PNG files into an existing folder, and return their paths."""
    has_views = len(result.accuracies) > 1
    drawn: dict[str, Axes] = {}
    for view, matrix in result.accuracies.items():
        suffix, title = (f"-{view}", f"{result.rule}, {view} norms") if has_views else ("", result.rule)
        drawn[f"accuracies{suffix}"] = plot_accuracies(matrix, title=escape_label(title))
        drawn[f"tasks{suffix}"] = plot_tasks(matrix, title=escape_label(title))
    drawn["sliding"] = plot_sliding([result])
    for kind in ("epistemic", "aleatoric"):
        # The epistemic uncertainty of a network without weight samples is zero.
        if f"newest {kind}" in result.detection and float(result.detection[f"ood {kind}"].max()) > 0:
            drawn[f"uncertainty-{kind}"] = plot_uncertainty(result, kind=kind)
    paths = [Path(folder) / f"{name}.png" for name in drawn]
    for path, ax in zip(paths, drawn.values(), strict=True):
        ax.figure.savefig(path, dpi=130)  # type: ignore[union-attr]
    return paths


def _color(index: int, tasks: int) -> Any:
    if tasks <= MAX_LABELLED:
        return CYCLE[index]
    from matplotlib import colormaps

    return colormaps["viridis_r"](index / (tasks - 1))


def _dress_task_axes(ax: Axes, tasks: int, title: str) -> None:
    style_axes(ax, "after task", "accuracy (%)", title)
    ax.set_ylim(0, 102)
    ax.set_xlim(min(0.8, 1 - 0.02 * tasks), tasks + max(0.2, 0.02 * tasks))
    _set_integer_ticks(ax.xaxis)
    ax.axhline(100, color=QUIET, linewidth=0.5)


def _set_integer_ticks(*axes: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    for axis in axes:
        axis.set_major_locator(MaxNLocator(integer=True))
