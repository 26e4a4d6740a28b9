"""
A reservoir of one device
=========================
"""

import torch
from matplotlib.figure import Figure

from spinode.datasets import mackey_glass
from spinode.surrogates import Reservoir, RidgeStatistics, zoo

series = mackey_glass(700)
reservoir = Reservoir(zoo.open("macrospin"), nodes=20, hold=30e-12, scale=5e3, offset=6.9e5, seed=0)
with torch.no_grad():
    states = reservoir(series)
statistics = RidgeStatistics(reservoir.width)
statistics.add(states[100:500], series[101:501])
figure = Figure(figsize=(6, 3.2), layout="constrained")
ax = figure.subplots()
ax.plot(series[501:], color="#1a1a1a", linewidth=2.2, label="Mackey-Glass")
ax.plot(statistics.solve()(states[500:-1])[:, 0], "--", color="#0072b2", label="one point ahead")
ax.legend(frameon=False)
figure.savefig("reservoir.png", dpi=90)
