"""
A surrogate follows a recording
===============================
"""

import spinode
from spinode.datasets import read_trace, sample_path
from spinode.surrogates import zoo
from spinode.surrogates.neural_ode import plots

surrogate = zoo.open("macrospin")
trace = read_trace(sample_path("macrospin_held.csv"), drive="Ku", output="mz")  # another drive than the fitted one
evaluation = spinode.evaluate(surrogate, trace.between(0, 12e-9))
upper, residuals = plots.plot_overlay(evaluation)
upper.figure.savefig("free_run.png", dpi=90)
