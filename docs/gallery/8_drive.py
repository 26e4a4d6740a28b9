"""
A drive designed for a fit
==========================
"""

import torch
from matplotlib.figure import Figure

from spinode.datasets import random_steps

drive = random_steps(7.6e5, 8.4e5, duration=4e-9, interval=5e-12, hold=50e-12, generator=torch.Generator().manual_seed(1))
figure = Figure(figsize=(6, 2.8), layout="constrained")
ax = figure.subplots()
ax.step(5e-3 * torch.arange(len(drive)), 1e-3 * drive, color="#0072b2", where="post")
ax.set_xlabel("time (ns)")
ax.set_ylabel("Ku (kJ/m³)")
figure.savefig("drive.png", dpi=90)
