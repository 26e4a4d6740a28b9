"""Recordings of the stand-in for devices with many modes behind one output, see `spinode.datasets.ManyModes`."""

from __future__ import annotations

import numpy as np
import torch
from _film_drives import masked
from numpy.typing import NDArray

from spinode import Trace
from spinode.datasets import random_steps

INTERVAL = 5e-12
HOLD = (10e-12, 100e-12)  # [s]

#: Length [s] and amplitude of each stretch of the training drive: a ramp from rest up to the amplitude of use.
RAMP = ((8e-9, 0.02), (8e-9, 0.15), (32e-9, 0.5))


def many_modes_traces() -> tuple[tuple[Trace, ...], dict[str, Trace]]:
    """Return the training recording and, by name, tests under other steps and under the drive of the Mackey-Glass task.

    Raises:
        ImportError: this version of the package does not have the stand-in.
    """
    from spinode.datasets.oscillators.many_modes import ManyModes

    device = ManyModes()
    ramp = np.concatenate([_steps(seconds, amplitude, seed) for seed, (seconds, amplitude) in enumerate(RAMP)])
    chaotic = masked(32)
    chaotic = (chaotic - chaotic.mean()) / (chaotic - chaotic.mean()).abs().max()
    drives = {"steps": _steps(8e-9, 0.5, 100), "Mackey-Glass": 0.5 * chaotic.reshape(-1).repeat_interleave(2).numpy()}
    train = device.simulate(torch.as_tensor(ramp), INTERVAL)
    return (train,), {name: device.simulate(torch.as_tensor(drive), INTERVAL) for name, drive in drives.items()}


def _steps(duration: float, amplitude: float, seed: int) -> NDArray[np.float64]:
    generator = torch.Generator().manual_seed(seed)
    steps = random_steps(-amplitude, amplitude, duration=duration, interval=INTERVAL, hold=HOLD, generator=generator)
    levels: NDArray[np.float64] = steps.numpy()
    return levels
