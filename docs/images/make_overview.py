"""Draw the picture of the README.

    python docs/images/make_overview.py [FILE]

Left: a shipped recording and the free run of the shipped surrogate, fitted to the time before the dotted line. Middle:
conductances of a physical memory device and of the surrogate fitted to it, under the same pulses. Right: a chaotic series
forecast by a reservoir of the surrogate on the left.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from spinode.datasets import WeakReset, mackey_glass, pulse_traces, read_trace, sample_path
from spinode.reporting.canvas import MODEL, QUIET, TRUTH, add_legend, style_axes
from spinode.surrogates import Reservoir, RidgeStatistics, zoo

DEVICES, PULSES = 400, 400


def draw_surrogate(ax, surrogate) -> None:
    trace = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")
    fitted = zoo.model_card("macrospin")["fitted_on"]["stop"]
    shown = trace.between(fitted - 4e-9, None)
    run = surrogate.run(shown)
    time = 1e9 * np.asarray(shown.time)
    ax.plot(time, shown.output["mz"], color=TRUTH, linewidth=2.4, label="recording")
    ax.plot(time, run.output[:, 0], color=MODEL, linewidth=1.2, linestyle="--", label="surrogate, free run")
    ax.axvline(1e9 * fitted, color=QUIET, linestyle=":", linewidth=1.4)
    ax.set_xlim(time[0], time[0] + 12)
    style_axes(ax, "time (ns)", "$m_z$", "measure, fit, trust")
    add_legend(ax)


def draw_synapse(ax) -> None:
    surrogate = zoo.open("hfox-weak-reset")
    for device, color, name in ((WeakReset(), TRUTH, "physical model"), (surrogate, MODEL, "surrogate")):
        generator = torch.Generator().manual_seed(0)
        traces = pulse_traces(device, -torch.ones(PULSES), devices=DEVICES, generator=generator)
        reads = 1e6 * np.stack([trace.output["conductance"] for trace in traces])
        low, median, high = np.quantile(reads, (0.05, 0.5, 0.95), axis=0)
        ax.fill_between(np.arange(len(median)), low, high, color=color, alpha=0.15, linewidth=0)
        ax.plot(
            median, color=color, linewidth=1.8, label=f"{name}, {DEVICES} devices", linestyle="-" if color == TRUTH else "--"
        )
    style_axes(ax, "RESET pulses", "conductance (µS)", "pulses to synapses")
    add_legend(ax)


def draw_reservoir(ax, surrogate) -> None:
    series = mackey_glass(1500)
    reservoir = Reservoir(surrogate, nodes=40, hold=30e-12, scale=5e3, offset=6.9e5, seed=0)
    with torch.no_grad():
        states = reservoir(series)
    statistics = RidgeStatistics(reservoir.width)
    statistics.add(states[100:1200], series[101:1201])
    forecast = statistics.solve()(states[1200:-1])[:, 0]
    ax.plot(series[1201:], color=TRUTH, linewidth=2.4, label="Mackey-Glass")
    ax.plot(forecast, color=MODEL, linewidth=1.2, linestyle="--", label="reservoir, one point ahead")
    ax.set_xlim(0, 150)
    style_axes(ax, "point", "value", "devices to reservoirs")
    add_legend(ax)


def main() -> None:
    torch.set_num_threads(1)
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("overview.png")
    figure = Figure(figsize=(13, 3.3), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    surrogate = zoo.open("macrospin")
    draw_surrogate(left, surrogate)
    draw_synapse(middle)
    draw_reservoir(right, surrogate)
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main()
