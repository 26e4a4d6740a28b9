"""Figures of a run over a stream: what is known of each task, and how strangers are told from friends.

Each `plot_*` function draws into the Axes it is given, or into those of a new `matplotlib.figure.Figure`, and returns them;
`ax.figure.savefig(path)` writes the picture. matplotlib is imported when the first figure is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ConfigError
from ...reporting.canvas import CYCLE, MODEL, QUIET, WRONG, dress, legend, new_axes, plain
from .metrics import AccuracyMatrix
from .result import StreamResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

#: Most tasks that get a colour and a name of their own; the curves of more share a colour scale.
NAMED = len(CYCLE)


def plot_accuracies(matrix: AccuracyMatrix, *, title: str = "", ax: Axes | None = None) -> Axes:
    """R[t, i]: a row for each task t that was learned, a column for each task i that was tested; blank where it was not."""
    ax = new_axes(5.2, 4.2) if ax is None else ax
    tasks = len(matrix)
    edges = np.arange(tasks + 1) + 0.5
    shown = ax.pcolormesh(edges, edges, 100 * np.ma.masked_invalid(matrix.values), cmap="viridis", vmin=0, vmax=100)
    ax.figure.colorbar(shown, ax=ax, label="correct (%)")
    dress(ax, "tested task", "after task", title)
    ax.grid(False)
    ax.set_xlim(0.5, tasks + 0.5)
    ax.set_ylim(tasks + 0.5, 0.5)  # as a matrix is written: the first row above
    ax.set_aspect("equal")
    _whole(ax.xaxis, ax.yaxis)
    if tasks <= 10:
        for (t, i), value in np.ndenumerate(matrix.values):
            if not np.isnan(value):
                color = "white" if value < 0.6 else "black"
                ax.text(i + 1, t + 1, f"{100 * value:.0f}", ha="center", va="center", color=color, fontsize=9)
    return ax


def plot_tasks(matrix: AccuracyMatrix, *, title: str = "", ax: Axes | None = None) -> Axes:
    """A curve for each task: its accuracy after each further task, from when it was learned on."""
    ax = new_axes(6.4, 3.8) if ax is None else ax
    tasks = len(matrix)
    for index in range(tasks):
        curve = 100 * matrix.values[index:, index]
        after = np.arange(index, tasks) + 1
        few = tasks <= NAMED
        style = {"label": f"task {index + 1}", "linewidth": 1.6} if few else {"linewidth": 0.9, "alpha": 0.8}
        color = _color(index, tasks)
        # A line breaks where nothing was tested; a test without neighbours is a dot.
        ax.plot(after, curve, color=color, marker="o" if few else "", markersize=4, **style)
        tested = np.pad(~np.isnan(curve), 1)
        alone = tested[1:-1] & ~tested[:-2] & ~tested[2:]
        ax.plot(after[alone], curve[alone], ".", color=color, markersize=4)
    _of_tasks(ax, tasks, title)
    if tasks > NAMED:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        ax.figure.colorbar(ScalarMappable(Normalize(1, tasks), "viridis_r"), ax=ax, label="task")
    legend(ax, beside=True)
    return ax


def plot_sliding(
    results: Sequence[StreamResult] | Sequence[Sequence[StreamResult]],
    *,
    labels: Sequence[str] = (),
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Mean accuracy on the newest tasks after each task: mean of the seeds, and a band of one standard deviation.

    Args:
        results: Those of several seeds; or several such lists, drawn beside each other.
        labels: A name for each list; their rules if omitted.
        title: Above the axes.
        ax: Where to draw.
    """
    groups = [[each] if isinstance(each, StreamResult) else list(each) for each in results]
    if all(isinstance(each, StreamResult) for each in results):
        groups = [[one for group in groups for one in group]]
    if not groups or not all(groups):
        raise ConfigError("there are no results to draw; expected one for each seed.")
    ax = new_axes(6.4, 3.8) if ax is None else ax
    for place, group in enumerate(groups):
        curves = 100 * np.array([each.accuracy.sliding(each.recent) for each in group])
        after = np.arange(curves.shape[1]) + 1
        mean, color = curves.mean(0), CYCLE[place % len(CYCLE)]
        seeds = f", {len(group)} seeds" if len(group) > 1 else ""
        name = labels[place] if labels else f"{group[0].rule}{seeds}"
        ax.plot(
            after, mean, color=color, linewidth=1.6, marker="o" if len(after) <= 20 else "", markersize=4, label=plain(name)
        )
        if len(group) > 1:
            sd = curves.std(0, ddof=1)
            ax.fill_between(after, mean - sd, mean + sd, color=color, alpha=0.2, linewidth=0)
    _of_tasks(ax, max(len(each.accuracy) for group in groups for each in group), title)
    ax.set_ylabel(f"correct, mean of last {groups[0][0].recent} (%)")
    legend(ax)
    return ax


def plot_uncertainty(result: StreamResult, *, kind: str = "epistemic", ax: Axes | None = None) -> Axes:
    """How uncertain the network is on the tests of the newest task and on strangers: two histograms, and their AUC.

    Args:
        result: Of a run with strangers.
        kind: "epistemic", "aleatoric" or "total".
        ax: Where to draw.

    Raises:
        ConfigError: a run without strangers, or another kind.
    """
    from .uncertainty import roc_auc

    if kind not in ("epistemic", "aleatoric", "total"):
        raise ConfigError(f"kind is {kind!r}; expected 'epistemic', 'aleatoric' or 'total'.")
    if f"inside {kind}" not in result.detection:
        raise ConfigError("the run had no strangers; pass strangers=... to train.")
    ax = new_axes(5.4, 3.6) if ax is None else ax
    inside, outside = result.detection[f"inside {kind}"], result.detection[f"outside {kind}"]
    largest = max(float(inside.max()), float(outside.max()), 1e-9)
    edges = np.linspace(0, largest, 51)
    for values, color, label in ((inside, MODEL, "tests of the newest task"), (outside, WRONG, "strangers")):
        ax.hist(values.double().numpy(), bins=edges, density=True, color=color, alpha=0.55, label=label)  # type: ignore[arg-type]
    dress(ax, f"{kind} uncertainty (bit)", "density (1/bit)", f"area under the ROC: {roc_auc(inside, outside):.3f}")
    ax.set_xlim(0, largest)
    legend(ax)
    return ax


def save_plots(result: StreamResult, folder: str | Path) -> list[Path]:
    """Write the figures that a result allows as PNG files into a folder that exists; their paths."""
    where, several = Path(folder), len(result.accuracies) > 1
    drawn: dict[str, Axes] = {}
    for view, matrix in result.accuracies.items():
        mark, title = (f"-{view}", f"{result.rule}, {view} norms") if several else ("", result.rule)
        drawn[f"accuracies{mark}"] = plot_accuracies(matrix, title=plain(title))
        drawn[f"tasks{mark}"] = plot_tasks(matrix, title=plain(title))
    drawn["sliding"] = plot_sliding([result])
    for kind in ("epistemic", "aleatoric"):
        # A network without samples has no epistemic uncertainty: nothing to draw.
        if f"inside {kind}" in result.detection and float(result.detection[f"outside {kind}"].max()) > 0:
            drawn[f"uncertainty-{kind}"] = plot_uncertainty(result, kind=kind)
    paths = [where / f"{name}.png" for name in drawn]
    for path, ax in zip(paths, drawn.values(), strict=True):
        ax.figure.savefig(path, dpi=130)  # type: ignore[union-attr]
    return paths


def _color(index: int, tasks: int) -> Any:
    if tasks <= NAMED:
        return CYCLE[index]
    from matplotlib import colormaps

    return colormaps["viridis_r"](index / (tasks - 1))


def _of_tasks(ax: Axes, tasks: int, title: str) -> None:
    dress(ax, "after task", "correct (%)", title)
    ax.set_ylim(0, 102)
    ax.set_xlim(min(0.8, 1 - 0.02 * tasks), tasks + max(0.2, 0.02 * tasks))
    _whole(ax.xaxis)
    ax.axhline(100, color=QUIET, linewidth=0.5)


def _whole(*axes: Axis) -> None:
    """Ticks at whole numbers only: there is no task 1.5."""
    from matplotlib.ticker import MaxNLocator

    for axis in axes:
        axis.set_major_locator(MaxNLocator(integer=True))
