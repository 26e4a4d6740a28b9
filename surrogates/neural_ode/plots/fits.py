"""Figures of a fit: its history, and the domain of the fitted data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ....errors import ConfigError
from ....reporting.canvas import (
    CYCLE,
    MODEL,
    QUIET,
    WRONG,
    add_legend,
    axis_label,
    choose_prefix,
    new_axes,
    style_axes,
    subsample_indices,
)
from ....typing import Array
from .marks import output_index

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..evaluation.evaluate import Evaluation
    from ..surrogate import Surrogate


def plot_history(surrogate: Surrogate, *, ax: Axes | None = None) -> Axes:
    """Plot validation error (solid) and shooting residual (dotted) after each stage of each restart; kept ones have markers.

    Args:
        surrogate: The model, with the history of its fit in its record.
        ax: Axes to draw into; new ones if omitted.
    """
    ax = new_axes(10.4, 3.4) if ax is None else ax
    history: Sequence[Mapping[str, Any]] = surrogate.record.get("history") or ()
    kept = set(surrogate.record.get("kept") or ())
    windows = {int(entry["stage"]): entry.get("window") for entry in history}
    for index, restart in enumerate(sorted({int(entry["restart"]) for entry in history})):
        own = sorted((e for e in history if int(e["restart"]) == restart), key=lambda e: int(e["stage"]))
        color = CYCLE[index % len(CYCLE)]
        mark, width = ("o", 2.2) if restart in kept else ("", 1.1)
        label = f"restart {restart + 1}" + (", kept" if restart in kept else "")
        ax.plot(*_finite(own, "validation"), color=color, marker=mark, linewidth=width, label=label)
        ax.plot(*_finite(own, "residual"), color=color, linestyle=":", linewidth=width)
    if any(line.get_ydata().size for line in ax.get_lines()):  # type: ignore[union-attr]
        ax.set_yscale("log")
    ax.set_xticks(sorted(windows), [str(windows[stage]) for stage in sorted(windows)])
    style_axes(ax, "stage: window (samples)", "NRMSE (solid), residual (dotted)")
    if history:
        add_legend(ax, beside=True)
    else:
        ax.text(0.5, 0.5, "no history stored", transform=ax.transAxes, ha="center", color=QUIET)
    return ax


def _finite(entries: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Return stages and values of the entries with a positive finite number."""
    pairs = [(int(e["stage"]), float(e[key])) for e in entries if e.get(key) is not None]
    good = [pair for pair in pairs if np.isfinite(pair[1]) and pair[1] > 0]
    return [stage for stage, _ in good], [value for _, value in good]


def plot_domain(
    surrogate: Surrogate,
    evaluation: Evaluation,
    *,
    output: str | None = None,
    drive: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot the fitted data and the steps of a run in the plane of a drive and an output.

    The domain has more dimensions than this plane (rates, further drives): a step may lie outside the domain although it is
    drawn inside the cloud of fitted data. Without any drive or parameter the plane is that of an output and its change
    per step.

    Args:
        surrogate: The model.
        evaluation: Its run on a recording.
        output: Name of the output; the first if omitted.
        drive: Name of the drive or parameter; the first if omitted.
        ax: Axes to draw into; new ones if omitted.

    Raises:
        ConfigError: there is no such drive or parameter.
        TraceError: there is no such output.
    """
    name, column = output_index(evaluation, output)
    ax = new_axes() if ax is None else ax
    if drive is not None and drive not in surrogate.ports.inputs:
        known = ", ".join(surrogate.ports.inputs) or "none"
        raise ConfigError(f"{drive!r} is not a drive or parameter of this surrogate; it has: {known}.")
    if surrogate.ports.inputs:
        across = drive or surrogate.ports.inputs[0]
        seen, run = _drive_plane(surrogate, evaluation, across, column)
        units = (evaluation.trace.unit(across) or surrogate.ports.units.get(across, ""), evaluation.trace.unit(name))
        labels = (across, name)
    else:
        seen, run = _rate_plane(surrogate, evaluation, column)
        units = (evaluation.trace.unit(name),) * 2
        labels = (name, f"change of {name} per step")
    divisors, shown = zip(*[choose_prefix(run[:, axis], units[axis]) for axis in (0, 1)], strict=True)
    outside = evaluation.run.outside.numpy()
    size = 14 if surrogate.embedding.order > 1 or surrogate.ports.inputs else 8
    ax.scatter(seen[:, 0] / divisors[0], seen[:, 1] / divisors[1], s=size, color="#c9c9c9", linewidths=0, label="fitted")
    for selected, color, label, dot in ((~outside, MODEL, "inside", 4), (outside, WRONG, "outside", 9)):
        points = run[selected] / divisors
        if len(points):
            points = points[subsample_indices(len(points))]
            ax.scatter(points[:, 0], points[:, 1], s=dot, color=color, alpha=0.6, linewidths=0, label=label)
    if not outside.any():
        ax.scatter([], [], s=9, color=WRONG, label="outside: none")
    style_axes(ax, axis_label(labels[0], shown[0]), axis_label(labels[1], shown[1]))
    add_legend(ax, above=True)
    return ax


def _drive_plane(surrogate: Surrogate, evaluation: Evaluation, across: str, column: int) -> tuple[Array, Array]:
    """Return fitted points and the run as (drive, output) in SI units, each of shape (points, 2)."""
    points = surrogate.domain.points.detach()
    count = len(surrogate.ports.inputs)
    inputs = points[:, -count:] * surrogate.scales.drive_scale + surrogate.scales.drive_mean
    axis = surrogate.ports.inputs.index(across)
    with torch.no_grad():
        outputs = surrogate.read(points[:, :-count], inputs)
    seen = torch.stack([inputs[:, axis], outputs[:, column]], -1).numpy()
    trace = evaluation.trace
    values = trace.drive[across] if across in trace.drive else np.full(len(trace), trace.parameters[across])
    return seen, np.stack([values, evaluation.prediction[:, column]], -1)


def _rate_plane(surrogate: Surrogate, evaluation: Evaluation, column: int) -> tuple[Array, Array]:
    """Return fitted points and the run as (output, change per step) in SI units; for order 1 the change is 0."""
    points, outputs = surrogate.domain.points.detach(), len(surrogate.ports.output)
    first = surrogate.scales.output_si(points[:, :outputs])[:, column]
    change = torch.zeros_like(first)
    if surrogate.embedding.order > 1:
        change = points[:, outputs + column] * surrogate.scales.state_scale[1, column]
    model = evaluation.prediction[:, column]
    moves = np.gradient(model) if surrogate.embedding.order > 1 else np.zeros_like(model)
    return torch.stack([first, change], -1).numpy(), np.stack([model, moves], -1)
