"""
The steps of a memory device, with what is not known
====================================================
"""

from spinode.surrogates import zoo
from spinode.surrogates.synapses.plots import plot_drift

synapse = zoo.open("tio2-nili")
ax = plot_drift(synapse)
ax.figure.savefig("steps.png", dpi=90)
