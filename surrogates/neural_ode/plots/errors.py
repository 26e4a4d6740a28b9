"""How large the error is: with the horizon, sample by sample, against the predicted spread."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from ....reporting.canvas import MODEL, QUIET, TRUTH, WRONG, cloud, dress, legend, new_axes, prefixed, thin, with_unit
from ....typing import Array
from .marks import mark_instants, output_index

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..evaluation.evaluate import Evaluation


def plot_horizon(evaluation: Evaluation, *, ax: Axes | None = None) -> Axes:
    """NRMSE from the start of the run up to each horizon, with that of the linear baseline over the whole run."""
    ax = new_axes() if ax is None else ax
    horizon = np.array(evaluation.horizon, dtype=np.float64).reshape(-1, 2)
    seconds, unit = prefixed(horizon[:, 0], evaluation.trace.unit("time"))
    ax.loglog(horizon[:, 0] / seconds, np.maximum(horizon[:, 1], 1e-12), color=MODEL, marker="o", markersize=4, label="model")
    ax.axhline(0.05, color=QUIET, linewidth=1.0, linestyle="-.", label="5 %")
    if evaluation.baseline_nrmse is not None:
        ax.axhline(evaluation.baseline_nrmse, color=TRUTH, linestyle="--", linewidth=1.2, label="linear ARX, whole run")
    mark_instants(ax, evaluation, seconds, since_start=True)
    dress(ax, with_unit("time since the start", unit), "NRMSE up to there")
    legend(ax)
    return ax


def plot_parity(evaluation: Evaluation, *, output: str | None = None, ax: Axes | None = None) -> Axes:
    """Predicted against recorded samples; steps outside the domain of validity in the warning colour."""
    name, column = output_index(evaluation, output)
    ax = new_axes() if ax is None else ax
    keep = cloud(len(evaluation.trace))
    truth, model = evaluation.truth[keep, column], evaluation.prediction[keep, column]
    outside = evaluation.run.outside.numpy()[keep]
    divide, unit = prefixed(truth, evaluation.trace.unit(name))
    low, high = float(truth.min()) / divide, float(truth.max()) / divide
    ax.plot([low, high], [low, high], color=QUIET, linewidth=1.0, label="equal", zorder=1)
    for chosen, color, label in ((~outside, MODEL, "steps"), (outside, WRONG, "outside the domain")):
        if chosen.any():
            ax.scatter(truth[chosen] / divide, model[chosen] / divide, s=9, color=color, alpha=0.4, linewidths=0, label=label)
    room = 0.25 * max(high - low, 1e-300)
    ax.set_xlim(low - room, high + room)
    ax.set_ylim(low - room, high + room)
    dress(ax, with_unit(f"recorded {name}", unit), with_unit(f"predicted {name}", unit))
    legend(ax)
    return ax


def plot_coverage(evaluation: Evaluation, *, ax: Axes | None = None) -> Axes:
    """Share of recorded samples within the predicted interval, for intervals of every width; the diagonal is honest.

    Below the diagonal the predicted spread is too narrow, above it too wide. Over all outputs.
    """
    ax = new_axes() if ax is None else ax
    nominal = np.linspace(0.02, 0.99, 50)
    observed = coverage_curve(evaluation, nominal)
    ax.plot([0, 100], [0, 100], color=TRUTH, linewidth=1.0, label="honest")
    ax.plot(100 * nominal, 100 * observed, color=MODEL, linewidth=1.8, label="model")
    ax.plot(
        90, 100 * evaluation.coverage, "o", color=WRONG, markersize=7, label=f"90 %: {100 * evaluation.coverage:.1f} % found"
    )
    ax.set_xlim(0, 100)
    ax.set_ylim(0, 102)
    dress(ax, "predicted interval (%)", "recorded samples in it (%)")
    legend(ax)
    return ax


def coverage_curve(evaluation: Evaluation, nominal: Array) -> Array:
    """Share of recorded samples inside the central interval of each nominal share, both 0 .. 1."""
    error = np.abs(evaluation.prediction - evaluation.truth)
    spread = evaluation.run.spread.numpy()
    widths = [NormalDist().inv_cdf(0.5 + 0.5 * float(share)) for share in nominal]
    return np.array([np.mean(error <= width * spread) for width in widths])


def plot_residuals(evaluation: Evaluation, *, ax: Axes | None = None) -> Axes:
    """Running rms of the errors of runs of a few samples, over their level at the fit.

    Where they rise for good the device is another one.
    """
    ax = new_axes(10.4, 2.8) if ax is None else ax
    time = np.asarray(evaluation.trace.time)[-len(evaluation.residuals) :]
    power = np.mean(np.asarray(evaluation.residuals) ** 2, -1)
    width = max(3, len(power) // 200)
    # Near the ends fewer samples enter the mean, and it is over as many.
    summed, counted = (np.convolve(part, np.ones(width), mode="same") for part in (power, np.ones_like(power)))
    level = np.sqrt(summed / counted)
    seconds, unit = prefixed(time, evaluation.trace.unit("time"))
    keep = thin(level)
    ax.semilogy(time[keep] / seconds, np.maximum(level[keep], 1e-6), color=MODEL, linewidth=1.1, label="running rms")
    ax.axhline(1.0, color=QUIET, linewidth=1.0, linestyle="-.", label="level at the fit")
    mark_instants(ax, evaluation, seconds, within=(float(time[0]), float(time[-1])))
    ax.set_xlim(time[0] / seconds, time[-1] / seconds)
    dress(ax, with_unit("time", unit), "short-run residual")
    legend(ax, above=True)
    return ax
