"""Figures of the error: over the length of the run, per sample, and relative to the predicted spread."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from ....reporting.canvas import (
    MODEL,
    QUIET,
    TRUTH,
    WRONG,
    add_legend,
    axis_label,
    choose_prefix,
    envelope_indices,
    new_axes,
    style_axes,
    subsample_indices,
)
from ....typing import Array
from ..evaluation.wording import CLEAN
from .marks import mark_events, output_index

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..evaluation.evaluate import Evaluation


def plot_horizon(evaluation: Evaluation, *, ax: Axes | None = None) -> Axes:
    """Plot the NRMSE of the run up to each horizon, the noise floor, and the linear baseline over the whole run.

    Args:
        evaluation: From `spinode.evaluate`.
        ax: Axes to draw into; new ones if omitted.
    """
    ax = new_axes() if ax is None else ax
    horizon = np.array(evaluation.horizon, dtype=np.float64).reshape(-1, 2)
    time_divisor, unit = choose_prefix(horizon[:, 0], evaluation.trace.unit("time"))
    ax.loglog(
        horizon[:, 0] / time_divisor, np.maximum(horizon[:, 1], 1e-12), color=MODEL, marker="o", markersize=4, label="model"
    )
    ax.axhline(0.05, color=QUIET, linewidth=1.0, linestyle="-.", label="5 %")
    if evaluation.noise_floor > CLEAN:
        ax.axhline(evaluation.noise_floor, color=TRUTH, linewidth=1.2, linestyle=":", label="noise floor")
    if evaluation.baseline_nrmse is not None:
        ax.axhline(evaluation.baseline_nrmse, color=TRUTH, linestyle="--", linewidth=1.2, label="linear ARX, whole run")
    mark_events(ax, evaluation, time_divisor, since_start=True)
    style_axes(ax, axis_label("time since the start", unit), "NRMSE up to this time")
    add_legend(ax)
    return ax


def plot_parity(evaluation: Evaluation, *, output: str | None = None, ax: Axes | None = None) -> Axes:
    """Plot predicted against recorded samples; steps outside the domain of validity have the warning colour.

    Args:
        evaluation: From `spinode.evaluate`.
        output: Name of the output; the first if omitted.
        ax: Axes to draw into; new ones if omitted.

    Raises:
        TraceError: there is no such output.
    """
    name, column = output_index(evaluation, output)
    ax = new_axes() if ax is None else ax
    keep = subsample_indices(len(evaluation.trace))
    truth, model = evaluation.truth[keep, column], evaluation.prediction[keep, column]
    outside = evaluation.run.outside.numpy()[keep]
    divisor, unit = choose_prefix(truth, evaluation.trace.unit(name))
    low, high = float(truth.min()) / divisor, float(truth.max()) / divisor
    ax.plot([low, high], [low, high], color=QUIET, linewidth=1.0, label="equal", zorder=1)
    for selected, color, label in ((~outside, MODEL, "steps"), (outside, WRONG, "outside the domain")):
        if selected.any():
            ax.scatter(
                truth[selected] / divisor, model[selected] / divisor, s=9, color=color, alpha=0.4, linewidths=0, label=label
            )
    margin = 0.25 * max(high - low, 1e-300)
    ax.set_xlim(low - margin, high + margin)
    ax.set_ylim(low - margin, high + margin)
    style_axes(ax, axis_label(f"recorded {name}", unit), axis_label(f"predicted {name}", unit))
    add_legend(ax)
    return ax


def plot_coverage(evaluation: Evaluation, *, ax: Axes | None = None) -> Axes:
    """Plot the share of recorded samples within the predicted interval, for intervals of every width, over all outputs.

    Below the diagonal the predicted spread is too narrow, above it too wide.

    Args:
        evaluation: From `spinode.evaluate`.
        ax: Axes to draw into; new ones if omitted.
    """
    ax = new_axes() if ax is None else ax
    nominal = np.linspace(0.02, 0.99, 50)
    observed = coverage_curve(evaluation, nominal)
    ax.plot([0, 100], [0, 100], color=TRUTH, linewidth=1.0, label="calibrated")
    ax.plot(100 * nominal, 100 * observed, color=MODEL, linewidth=1.8, label="model")
    found = 100 * evaluation.coverage
    ax.plot(90, found, "o", color=WRONG, markersize=7, label=f"90 % interval: {found:.1f} %")
    ax.set_xlim(0, 100)
    ax.set_ylim(0, 102)
    style_axes(ax, "predicted interval (%)", "recorded samples within it (%)")
    add_legend(ax)
    return ax


def coverage_curve(evaluation: Evaluation, nominal: Array) -> Array:
    """Return the share of recorded samples within the central interval of each nominal share, both 0 .. 1."""
    error = np.abs(evaluation.prediction - evaluation.truth)
    spread = evaluation.run.spread.numpy()
    widths = [NormalDist().inv_cdf(0.5 + 0.5 * float(share)) for share in nominal]
    return np.array([np.mean(error <= width * spread) for width in widths])


def plot_residuals(evaluation: Evaluation, *, ax: Axes | None = None) -> Axes:
    """Plot the running rms of the errors of runs of a few samples, relative to the fitted data.

    A lasting rise means that the device has changed.

    Args:
        evaluation: From `spinode.evaluate`.
        ax: Axes to draw into; new ones if omitted.
    """
    ax = new_axes(10.4, 2.8) if ax is None else ax
    time = np.asarray((evaluation.grid or evaluation.trace).time)[-len(evaluation.residuals) :]
    power = np.mean(np.asarray(evaluation.residuals) ** 2, -1)
    width = max(3, len(power) // 200)
    # Near the ends the mean is over fewer samples.
    total, count = (np.convolve(values, np.ones(width), mode="same") for values in (power, np.ones_like(power)))
    level = np.sqrt(total / count)
    time_divisor, unit = choose_prefix(time, evaluation.trace.unit("time"))
    keep = envelope_indices(level)
    ax.semilogy(time[keep] / time_divisor, np.maximum(level[keep], 1e-6), color=MODEL, linewidth=1.1, label="running rms")
    ax.axhline(1.0, color=QUIET, linewidth=1.0, linestyle="-.", label="fitted data")
    mark_events(ax, evaluation, time_divisor, within=(float(time[0]), float(time[-1])))
    ax.set_xlim(time[0] / time_divisor, time[-1] / time_divisor)
    style_axes(ax, axis_label("time", unit), "short-run residual")
    add_legend(ax, above=True)
    return ax
