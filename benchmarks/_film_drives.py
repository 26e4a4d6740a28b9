"""The drives of benchmarks/reservoir.py: that of the Mackey-Glass task, and those on which surrogates are fitted and tested."""

from __future__ import annotations

import torch
from _film_traces import INTERVAL
from torch import Tensor

from spinode.datasets import modulated_sine, random_steps
from spinode.datasets.tasks import mackey_glass

MEAN, UNIT = 8e5, 2e5  # [J/m3]; the paper gives amplitudes in units of the second
NODES, HOLD = 50, 10e-12


def masked(points: int = 10_000, *, scale: float = 0.4, seed: int = 3) -> Tensor:
    """Return the anisotropy of each virtual node, shape (points, nodes).

    It is a mask of normal numbers times the series, scaled to a largest magnitude of `scale`.
    """
    mask = torch.randn(NODES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    products = mackey_glass(10_000)[:, None] * mask
    return MEAN + UNIT * scale * products[:points] / products.abs().max()


def mackey_glass_drive(points: int, **settings: float) -> Tensor:
    """Return the anisotropy of `masked` every 5 ps, shape (time,)."""
    return masked(points, **settings).reshape(-1).repeat_interleave(round(HOLD / INTERVAL))


def drive(kind: str, duration: float, seed: int) -> Tensor:
    """Return a drive by its name, sampled every 5 ps, shape (time,)."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "sine":
        return modulated_sine(MEAN, UNIT, frequency=4e9, duration=duration, interval=INTERVAL, generator=generator)
    hold = {"steps-10": 10e-12, "steps-50": 50e-12, "steps-mixed": (10e-12, 200e-12)}[kind]
    low, high = MEAN - 0.2 * UNIT, MEAN + 0.2 * UNIT
    return random_steps(low, high, duration=duration, interval=INTERVAL, hold=hold, generator=generator)


def interpolation_of(kind: str) -> str:
    """Return the interpolation of a drive between samples."""
    return "linear" if kind == "sine" else "held"
