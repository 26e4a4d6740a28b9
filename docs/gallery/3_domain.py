"""
The domain of validity
======================
"""

import spinode
from spinode.datasets import read_trace, sample_path
from spinode.surrogates import zoo
from spinode.surrogates.neural_ode import plots

surrogate = zoo.open("macrospin")
trace = read_trace(sample_path("macrospin_held.csv"), drive="Ku", output="mz")
ax = plots.plot_domain(surrogate, spinode.evaluate(surrogate, trace.between(0, 12e-9)))
ax.figure.savefig("domain.png", dpi=90)
