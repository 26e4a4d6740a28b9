"""The drives of benchmarks/reservoir.py: of the Mackey-Glass run, and those that surrogates are fitted and tried on."""

from __future__ import annotations

import torch
from _film_traces import INTERVAL
from torch import Tensor

from spinode.datasets import modulated_sine, random_steps
from spinode.datasets.tasks import mackey_glass

MEAN, UNIT = 8e5, 2e5  # [J/m3]; the paper gives amplitudes in units of the second
NODES, HOLD = 50, 10e-12


def masked(points: int = 10_000, *, scale: float = 0.4, seed: int = 3) -> Tensor:
    """Anisotropy of each virtual node, shape (points, nodes): a mask of normal numbers times the series, their largest at
    `scale`.
    """
    mask = torch.randn(NODES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    products = mackey_glass(10_000)[:, None] * mask
    return MEAN + UNIT * scale * products[:points] / products.abs().max()


def mackey_glass_drive(points: int, **settings: float) -> Tensor:
    """The same every 5 ps, shape (time,)."""
    return masked(points, **settings).reshape(-1).repeat_interleave(round(HOLD / INTERVAL))


def drive(kind: str, duration: float, seed: int) -> Tensor:
    """A drive by its name, shape (time,), every 5 ps."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "sine":
        return modulated_sine(MEAN, UNIT, frequency=4e9, duration=duration, interval=INTERVAL, generator=generator)
    hold = {"steps-10": 10e-12, "steps-50": 50e-12, "steps-mixed": (10e-12, 200e-12)}[kind]
    low, high = MEAN - 0.2 * UNIT, MEAN + 0.2 * UNIT
    return random_steps(low, high, duration=duration, interval=INTERVAL, hold=hold, generator=generator)


def course(kind: str) -> str:
    """How a drive runs between samples."""
    return "linear" if kind == "sine" else "held"
