"""Figures of a synapse surrogate: bands of free runs, drift against conductance, innovations, populations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...contracts.synapse import RESET, SET, Pulses
from ...reporting.canvas import MODEL, QUIET, TRUTH, WRONG, cloud, dress, legend, new_axes, prefixed, with_unit
from ...traces.trace import TraceSet
from ...typing import Array
from .assessment import Assessment, stretch
from .model import SynapseSurrogate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Posterior copies whose drift is drawn, points of a drift curve, lags of a correlation, devices of a population.
COPIES, POINTS, LAGS, DEVICES = 60, 80, 20, 500
#: Quantiles in which populations are compared.
QUANTILES = (0.05, 0.5, 0.95)


def plot_band(surrogate: SynapseSurrogate, assessment: Assessment, which: int = 0, *, ax: Axes | None = None) -> Axes:
    """Reads of a recording with the 90 % band of free runs from its first read."""
    ax = new_axes(10.4, 3.4) if ax is None else ax
    trace = stretch(assessment.traces[assessment.shown[which]])
    reads, (low, high) = trace.output["conductance"], assessment.bands[which]
    divide, unit = prefixed(np.concatenate([reads, low, high]), surrogate.unit)
    index = np.arange(len(reads))
    ax.fill_between(index, low / divide, high / divide, color=MODEL, alpha=0.25, linewidth=0, label="90 % of free runs")
    size = 4 if len(reads) <= 200 else 2
    ax.plot(index, reads / divide, "o", color=TRUTH, markersize=size, markeredgewidth=0, label="recorded")
    ax.set_xlim(0, len(reads) - 1)
    dress(ax, "read", with_unit("conductance", unit))
    legend(ax, above=True)
    return ax


def plot_drift(surrogate: SynapseSurrogate, *, seed: int = 0, ax: Axes | None = None) -> Axes:
    """Mean change by one pulse of the usual amplitude against the conductance, with what the data leave open of it."""
    ax = new_axes() if ax is None else ax
    x = torch.linspace(*surrogate.seen, POINTS, dtype=torch.float64)
    conductance = surrogate._conductance(x).numpy()
    generator = torch.Generator().manual_seed(seed)
    copies = [surrogate.posterior(generator) for _ in range(COPIES)]
    curves = {}
    for name in surrogate.polarities:
        drawn = np.stack([_change(copy, x, name) for copy in copies])
        curves[name] = (_change(surrogate, x, name), *np.quantile(drawn, [0.05, 0.95], axis=0))
    across, unit = prefixed(conductance, surrogate.unit)
    divide, change_unit = prefixed(np.stack([curve[0] for curve in curves.values()]), surrogate.unit)
    for name, color in ((SET, MODEL), (RESET, WRONG)):
        if name in curves:
            mean, low, high = (each / divide for each in curves[name])
            ax.fill_between(conductance / across, low, high, color=color, alpha=0.25, linewidth=0)
            ax.plot(conductance / across, mean, color=color, label=name)
    ax.axhline(0.0, color=QUIET, linewidth=0.8)
    dress(ax, with_unit("conductance", unit), with_unit("change by a pulse", change_unit))
    legend(ax)
    return ax


def _change(surrogate: SynapseSurrogate, x: torch.Tensor, polarity: str) -> Array:
    """Change of the typical device's conductance by one pulse, shape of x [unit]."""
    state = surrogate.initial(tuple(x.shape), dtype=torch.float64)
    state["state"] = x
    with torch.no_grad():
        after = surrogate.program(state, Pulses(torch.full_like(x, 1.0 if polarity == SET else -1.0)))
    return np.asarray((surrogate.read(after) - surrogate._conductance(x)).numpy())


def plot_innovations(assessment: Assessment, *, ax: Axes | None = None) -> Axes:
    """Standardised errors of one-step predictions against the normal law that they should have."""
    ax = new_axes() if ax is None else ax
    z = assessment.innovation
    edges = np.linspace(-5, 5, 51 if len(z) > 400 else 26)
    beyond = int((np.abs(z) > 5).sum())
    more = f", {beyond} beyond" if beyond else ""
    ax.hist(z, edges.tolist(), density=True, color=MODEL, alpha=0.5, label=f"{len(z)} reads{more}")
    grid = np.linspace(-5, 5, 200)
    ax.plot(grid, np.exp(-0.5 * grid**2) / np.sqrt(2 * np.pi), color=TRUTH, label="normal")
    ax.set_xlim(-5, 5)
    dress(ax, "error of prediction / predicted deviation", "density")
    legend(ax, above=True)
    return ax


def plot_correlation(assessment: Assessment, *, ax: Axes | None = None) -> Axes:
    """Correlation of one-step errors with those some reads later; the strip is what chance gives in 95 of 100 cases."""
    ax = new_axes() if ax is None else ax
    lags = np.arange(1, min(LAGS, max(len(assessment.steps.innovation) - 2, 1)) + 1)
    values = np.array([assessment.correlation(int(lag)) for lag in lags])
    wide = 1.96 / np.sqrt(max(len(assessment.innovation), 1))
    ax.axhspan(-wide, wide, color=QUIET, alpha=0.3, linewidth=0, label="chance")
    ax.axhline(0.0, color=QUIET, linewidth=0.8)
    ax.vlines(lags, 0, values, color=MODEL)
    ax.plot(lags, values, "o", color=MODEL, markersize=4, label="errors of prediction")
    largest = float(np.nanmax(np.abs(np.append(values, wide))))
    ax.set_ylim(-max(1.3 * largest, 0.1), max(1.6 * largest, 0.1))
    dress(ax, "reads apart", "correlation")
    legend(ax)
    return ax


def alike(traces: TraceSet) -> bool:
    """Whether ten recordings or more went through one schedule, so that they can be compared read by read."""
    first = traces[0]
    return len(traces) >= 10 and all(
        len(trace) == len(first) and all(np.array_equal(trace.drive[name], first.drive[name]) for name in first.drive)
        for trace in traces
    )


def plot_population(surrogate: SynapseSurrogate, traces: TraceSet, *, seed: int = 0, ax: Axes | None = None) -> Axes:
    """Quantiles over the measured devices and over as many virtual ones as make a smooth line, read by read."""
    ax = new_axes(10.4, 3.4) if ax is None else ax
    trace = stretch(traces[0])
    measured = np.quantile(np.stack([each.output["conductance"][: len(trace)] for each in traces]), QUANTILES, axis=0)
    made = np.quantile(_virtual(surrogate, traces, len(trace), torch.Generator().manual_seed(seed)), QUANTILES, axis=0)
    divide, unit = prefixed(np.concatenate([measured, made]), surrogate.unit)
    keep = cloud(len(trace), 60)
    for k, level in enumerate(QUANTILES):
        width = 1.8 if level == 0.5 else 1.0
        first = k == 0
        ax.plot(made[k] / divide, color=MODEL, linewidth=width, label=f"{DEVICES} virtual devices" if first else None)
        ax.plot(
            keep, measured[k][keep] / divide, "o", color=TRUTH, markersize=3.5 if level == 0.5 else 2.5,
            label=f"{len(traces)} recordings" if first else None,
        )  # fmt: skip
    ax.set_xlim(0, len(trace) - 1)
    dress(ax, "read", with_unit("conductance", unit))
    legend(ax, above=True)
    return ax


def _virtual(surrogate: SynapseSurrogate, traces: TraceSet, count: int, generator: torch.Generator) -> Array:
    """Reads of virtual devices under the schedule of the recordings, shape (devices, reads) [unit]."""
    trace = traces[0]
    pulses = trace.drive[SET] - trace.drive[RESET]
    known = [name for name in surrogate.inputs.names if name in trace.drive]
    with torch.no_grad():
        state = surrogate.initial((DEVICES,), generator=generator, dtype=torch.float64)
        reads = [surrogate.read(state, generator=generator)]
        for k in range(count - 1):
            given = {name: float(trace.drive[name][k]) for name in known if pulses[k]}
            state = surrogate.program(state, Pulses(torch.full((DEVICES,), float(pulses[k])), **given), generator=generator)
            reads.append(surrogate.read(state, generator=generator))
    return torch.stack(reads, 1).numpy()
