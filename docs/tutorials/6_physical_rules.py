"""
6. Learning rules of physical networks
======================================

Two rules whose computation is physics: a network that relaxes (equilibrium propagation), and spiking neurons that learn without
labels by the voltage across their synapses.
"""

# %%
# Small digits, made here
# -----------------------
import torch
from matplotlib.figure import Figure

from spinode.datasets import PermutedTasks, made_digits
from spinode.training import EquilibriumPropagation, StreamConfig, VDSPLearner, train

torch.set_num_threads(1)
stream = PermutedTasks(made_digits(train=600, test=200), tasks=1, seed=0)

# %%
# Equilibrium propagation
# -----------------------
# The network relaxes twice, freely and nudged towards the label. Each weight changes by what its two ends show.
ep = EquilibriumPropagation(stream, hidden=[64], seed=0)
relaxing = train(ep, stream, StreamConfig(batch_size=20, epochs=3))
print(f"equilibrium propagation: accuracy {relaxing.accuracy.newest:.2f}")

# %%
# Plasticity by a voltage
# -----------------------
# No label is used to learn; labels name the neurons afterwards.
vdsp = VDSPLearner(stream, hidden=[30], seed=0)
spiking = train(vdsp, stream, epochs=1)
print(f"spiking, without labels: accuracy {spiking.accuracy.newest:.2f} (chance 0.10)")

# %%
# Files to keep: figures of both runs. The picture compares them.
relaxing.save("runs/ep")
spiking.save("runs/vdsp")
figure = Figure(figsize=(6, 2.6), layout="constrained")
ax = figure.subplots()
names = ["chance", "spiking, no labels (VDSP)", "relaxing, labels (EP)"]
ax.barh(names, [0.1, spiking.accuracy.newest, relaxing.accuracy.newest], color=["#8c8c8c", "#009e73", "#0072b2"])
ax.set_xlim(0, 1)
ax.set_xlabel("accuracy on unseen digits")
figure.savefig("rules.png", dpi=100)
