"""Fit a surrogate to a recording, score it on the part that was not fitted, and save it."""

import tempfile
from pathlib import Path

import spinode
from spinode.datasets import read_trace, sample_path

trace = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")

# A real fit uses the default settings; these make the example run in a few seconds.
quick = {"embedding": "derivative", "order": 2, "ridge": 3e-7, "restarts": 1, "windows": (1, 8, 40), "iterations": 10}
surrogate = spinode.fit(trace.between(0, 20e-9), **quick)

scores = spinode.evaluate(surrogate, trace.between(20e-9, 30e-9))
print(f"free-run NRMSE {scores.nrmse:.3f}, linear ARX model {scores.baseline_nrmse:.3f}")
print(f"{scores.outside_domain:.1%} of the steps are outside the fitted domain")
assert scores.nrmse < scores.baseline_nrmse

with tempfile.TemporaryDirectory() as folder:
    surrogate.save(Path(folder) / "macrospin.safetensors")
    loaded = spinode.load(Path(folder) / "macrospin.safetensors")
print(loaded.describe())
