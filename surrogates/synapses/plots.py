"""Figures of a synapse surrogate: intervals of free runs, drift against conductance, innovations, populations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...contracts.synapse import RESET, SET, Pulses
from ...random import seeded_generator
from ...reporting.canvas import (
    MODEL,
    QUIET,
    TRUTH,
    WRONG,
    add_legend,
    axis_label,
    choose_prefix,
    new_axes,
    style_axes,
    subsample_indices,
)
from ...traces.trace import TraceSet
from ...typing import Array
from .evaluation import SynapseEvaluation, shorten
from .model import SynapseSurrogate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Numbers of posterior copies and points of a drift curve, of lags of a correlation, and of virtual devices of a population.
COPIES, POINTS, LAGS, DEVICES = 60, 80, 20, 500
#: Quantiles for the comparison of populations.
QUANTILES = (0.05, 0.5, 0.95)


def plot_interval(
    surrogate: SynapseSurrogate, evaluation: SynapseEvaluation, which: int = 0, *, ax: Axes | None = None
) -> Axes:
    """Plot the reads of a recording with the 90 % interval of free runs from its first read."""
    ax = new_axes(10.4, 3.4) if ax is None else ax
    trace = shorten(evaluation.traces[evaluation.shown[which]])
    reads, (low, high) = trace.output["conductance"], evaluation.intervals[which]
    factor, unit = choose_prefix(np.concatenate([reads, low, high]), surrogate.unit)
    index = np.arange(len(reads))
    ax.fill_between(
        index, low / factor, high / factor, color=MODEL, alpha=0.25, linewidth=0, label="90 % interval of free runs"
    )
    size = 4 if len(reads) <= 200 else 2
    ax.plot(index, reads / factor, "o", color=TRUTH, markersize=size, markeredgewidth=0, label="recorded")
    ax.set_xlim(0, len(reads) - 1)
    style_axes(ax, "read", axis_label("conductance", unit))
    add_legend(ax, above=True)
    return ax


def plot_drift(surrogate: SynapseSurrogate, *, seed: int = 0, ax: Axes | None = None) -> Axes:
    """Plot the mean change by one pulse of the usual amplitude against the conductance, with its 90 % interval."""
    ax = new_axes() if ax is None else ax
    x = torch.linspace(*surrogate.state_range, POINTS, dtype=torch.float64)
    conductance = surrogate.conductance(x).numpy()
    generator = seeded_generator(seed)
    copies = [surrogate.posterior(generator) for _ in range(COPIES)]
    curves = {}
    for name in surrogate.polarities:
        drawn = np.stack([_change(copy, x, name) for copy in copies])
        curves[name] = (_change(surrogate, x, name), *np.quantile(drawn, [0.05, 0.95], axis=0))
    x_factor, unit = choose_prefix(conductance, surrogate.unit)
    y_factor, change_unit = choose_prefix(np.stack([curve[0] for curve in curves.values()]), surrogate.unit)
    for name, color in ((SET, MODEL), (RESET, WRONG)):
        if name in curves:
            mean, low, high = (each / y_factor for each in curves[name])
            ax.fill_between(conductance / x_factor, low, high, color=color, alpha=0.25, linewidth=0)
            ax.plot(conductance / x_factor, mean, color=color, label=name)
    ax.axhline(0.0, color=QUIET, linewidth=0.8)
    style_axes(ax, axis_label("conductance", unit), axis_label("change by a pulse", change_unit))
    add_legend(ax)
    return ax


def _change(surrogate: SynapseSurrogate, x: torch.Tensor, polarity: str) -> Array:
    """Return the change of the typical device's conductance by one pulse [unit], shape of x."""
    state = surrogate.initial(tuple(x.shape), dtype=torch.float64)
    state["state"] = x
    with torch.no_grad():
        after = surrogate.program(state, Pulses(torch.full_like(x, 1.0 if polarity == SET else -1.0)))
    return np.asarray((surrogate.read(after) - surrogate.conductance(x)).numpy())


def plot_innovations(evaluation: SynapseEvaluation, *, ax: Axes | None = None) -> Axes:
    """Plot the distribution of standardised one-step errors and the normal distribution that is expected."""
    ax = new_axes() if ax is None else ax
    z = evaluation.innovation
    edges = np.linspace(-5, 5, 51 if len(z) > 400 else 26)
    outside = int((np.abs(z) > 5).sum())
    more = f", {outside} outside" if outside else ""
    ax.hist(z, edges.tolist(), density=True, color=MODEL, alpha=0.5, label=f"{len(z)} reads{more}")
    grid = np.linspace(-5, 5, 200)
    ax.plot(grid, np.exp(-0.5 * grid**2) / np.sqrt(2 * np.pi), color=TRUTH, label="normal")
    ax.set_xlim(-5, 5)
    style_axes(ax, "one-step error / predicted standard deviation", "density")
    add_legend(ax, above=True)
    return ax


def plot_correlation(evaluation: SynapseEvaluation, *, ax: Axes | None = None) -> Axes:
    """Plot the correlation of one-step errors with those some reads later, with the 95 % interval of uncorrelated errors."""
    ax = new_axes() if ax is None else ax
    lags = np.arange(1, min(LAGS, max(len(evaluation.steps.innovation) - 2, 1)) + 1)
    values = np.array([evaluation.correlation(int(lag)) for lag in lags])
    chance = 1.96 / np.sqrt(max(len(evaluation.innovation), 1))
    ax.axhspan(-chance, chance, color=QUIET, alpha=0.3, linewidth=0, label="uncorrelated (95 %)")
    ax.axhline(0.0, color=QUIET, linewidth=0.8)
    ax.vlines(lags, 0, values, color=MODEL)
    ax.plot(lags, values, "o", color=MODEL, markersize=4, label="one-step errors")
    largest = float(np.nanmax(np.abs(np.append(values, chance))))
    ax.set_ylim(-max(1.3 * largest, 0.1), max(1.6 * largest, 0.1))
    style_axes(ax, "distance in reads", "correlation")
    add_legend(ax)
    return ax


def have_same_schedule(traces: TraceSet) -> bool:
    """Return True for ten or more recordings under the same pulses, which can be compared read by read."""
    first = traces[0]
    return len(traces) >= 10 and all(
        len(trace) == len(first) and all(np.array_equal(trace.drive[name], first.drive[name]) for name in first.drive)
        for trace in traces
    )


def plot_population(surrogate: SynapseSurrogate, traces: TraceSet, *, seed: int = 0, ax: Axes | None = None) -> Axes:
    """Plot quantiles over the measured devices and over virtual devices, read by read."""
    ax = new_axes(10.4, 3.4) if ax is None else ax
    trace = shorten(traces[0])
    measured = np.quantile(np.stack([each.output["conductance"][: len(trace)] for each in traces]), QUANTILES, axis=0)
    simulated = np.quantile(_simulated_reads(surrogate, traces, len(trace), seeded_generator(seed)), QUANTILES, axis=0)
    factor, unit = choose_prefix(np.concatenate([measured, simulated]), surrogate.unit)
    drawn = subsample_indices(len(trace), 60)
    for k, level in enumerate(QUANTILES):
        width = 1.8 if level == 0.5 else 1.0
        first = k == 0
        ax.plot(simulated[k] / factor, color=MODEL, linewidth=width, label=f"{DEVICES} virtual devices" if first else None)
        ax.plot(
            drawn, measured[k][drawn] / factor, "o", color=TRUTH, markersize=3.5 if level == 0.5 else 2.5,
            label=f"{len(traces)} recordings" if first else None,
        )  # fmt: skip
    ax.set_xlim(0, len(trace) - 1)
    style_axes(ax, "read", axis_label("conductance", unit))
    add_legend(ax, above=True)
    return ax


def _simulated_reads(surrogate: SynapseSurrogate, traces: TraceSet, count: int, generator: torch.Generator) -> Array:
    """Return reads of virtual devices under the pulses of the recordings [unit], shape (devices, reads)."""
    trace = traces[0]
    pulses = trace.drive[SET] - trace.drive[RESET]
    inputs = [name for name in surrogate.inputs.names if name in trace.drive]
    with torch.no_grad():
        state = surrogate.initial((DEVICES,), generator=generator, dtype=torch.float64)
        reads = [surrogate.read(state, generator=generator)]
        for k in range(count - 1):
            given = {name: float(trace.drive[name][k]) for name in inputs if pulses[k]}
            state = surrogate.program(state, Pulses(torch.full((DEVICES,), float(pulses[k])), **given), generator=generator)
            reads.append(surrogate.read(state, generator=generator))
    return torch.stack(reads, 1).numpy()
