"""
An interval that can be checked
===============================
"""

import spinode
from spinode.datasets import read_trace, sample_path
from spinode.surrogates import zoo
from spinode.surrogates.neural_ode import plots

trace = read_trace(sample_path("macrospin_held.csv"), drive="Ku", output="mz")
evaluation = spinode.evaluate(zoo.open("macrospin"), trace.between(0, 12e-9))
ax = plots.plot_coverage(evaluation)
ax.figure.savefig("coverage.png", dpi=90)
