"""
A population of devices under pulses
====================================
"""

import torch
from matplotlib.figure import Figure

from spinode.datasets import pulse_traces
from spinode.surrogates import zoo

traces = pulse_traces(zoo.open("hfox-weak-reset"), -torch.ones(200), devices=30, generator=torch.Generator().manual_seed(0))
figure = Figure(figsize=(6, 3.4), layout="constrained")
ax = figure.subplots()
for trace in traces:
    ax.plot(1e6 * trace.output["conductance"], color="#0072b2", alpha=0.3)
ax.set_xlabel("RESET pulse")
ax.set_ylabel("conductance (µS)")
figure.savefig("population.png", dpi=90)
