"""
1. From an oscilloscope file to a trusted model
===============================================

A file of an instrument becomes a model that says how far it can be trusted.
"""

# %%
# A file to begin with
# --------------------
# Replace this part by a file of your own. Here a macrospin stands for the device: the shipped recording is written as an
# oscilloscope would save it, with units in the header.
from pathlib import Path

import spinode
from spinode.datasets import read_trace, sample_path, write_csv
from spinode.surrogates.neural_ode import plots

recording = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")
write_csv("scope.csv", recording)
print(Path("scope.csv").read_text()[:120])

# %%
# Read and look
# -------------
# ``spinode inspect scope.csv`` prints the same on the command line.
trace = read_trace("scope.csv", drive="Ku", output="mz")
for finding in spinode.diagnose(trace):
    print(finding)
print(trace)

# %%
# Fit one part, keep the rest for the test
# ----------------------------------------
# The settings leave out the search of the structure, so that this page is built quickly; with ``spinode.fit(trace)`` alone the
# fit takes half a minute and chooses them.
quick = {"embedding": "derivative", "order": 2, "ridge": 3e-7, "restarts": 1, "windows": (1, 8, 40), "iterations": 10}
surrogate = spinode.fit(trace.between(0, 20e-9), **quick)
evaluation = spinode.evaluate(surrogate, trace.between(20e-9, 30e-9))
print(f"free-run NRMSE {evaluation.nrmse:.3f}, a linear model {evaluation.baseline_nrmse:.3f}")
print(f"{evaluation.outside_domain:.1%} of the steps are outside the fitted domain")

# %%
# Files to keep: the model, and a report with a verdict
# -----------------------------------------------------
surrogate.save("macrospin.safetensors")
spinode.report(surrogate, evaluation, "macrospin.html")
assert spinode.load("macrospin.safetensors").ports.output == ("mz",)

# %%
# The free run over a stretch that the fit has not seen:
upper, residuals = plots.plot_overlay(evaluation)
upper.figure.savefig("free_run.png")
