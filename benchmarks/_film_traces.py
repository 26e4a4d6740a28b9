"""Micromagnetic reference traces of the skyrmion devices, cached below build/film, since a nanosecond takes seconds."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spinode.datasets import Film, skyrmion_device
from spinode.datasets.film.skyrmion import skyrmion_film
from spinode.traces.trace import Trace

FOLDER = Path(__file__).resolve().parent.parent / "build" / "film"

#: Traces that took longer than half an hour, kept as arrays of m_z.
KEPT = Path(__file__).resolve().parent / "traces"
INTERVAL = 5e-12
_SAVE_EVERY = 400  # samples


def film_trace(
    Ku: Tensor, *, count: int = 1, grains: int = 0, interpolation: str = "held", alpha: float = 0.01
) -> tuple[Trace, float]:
    """Return the trace of a skyrmion device from rest under an anisotropy sampled every 5 ps, and its processor seconds.

    A run that was stopped resumes where it was.
    """
    file = _file(Ku, count, grains, interpolation, alpha)
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept = KEPT / f"{file.stem}.npy"
    if kept.exists():
        return _trace(Ku, torch.as_tensor(np.load(kept)), count, grains, interpolation), 0.0
    film, rest = device(count, grains, alpha)
    saved = (
        torch.load(file, weights_only=True)
        if file.exists()
        else {"mz": torch.empty(0, dtype=torch.float64), "m": rest, "seconds": 0.0}
    )
    while len(saved["mz"]) < len(Ku):
        done = len(saved["mz"])
        segment = Ku[done : done + _SAVE_EVERY + 1]
        start = time.process_time()
        times = torch.arange(len(segment), dtype=torch.float64) * INTERVAL
        last = done + len(segment) == len(Ku)
        run = film.simulate(times, saved["m"], Ku=segment, interpolation=interpolation)
        mz = run.mean[:, 2] if last else run.mean[:-1, 2]
        saved = {"mz": torch.cat([saved["mz"], mz]), "m": run.m, "seconds": saved["seconds"] + time.process_time() - start}
        torch.save(saved, file)
    return _trace(Ku, saved["mz"], count, grains, interpolation), saved["seconds"]


def _trace(Ku: Tensor, mz: Tensor, count: int, grains: int, interpolation: str) -> Trace:
    return Trace(
        time=(INTERVAL * torch.arange(len(Ku), dtype=torch.float64)).numpy(),
        drive={"Ku": Ku.numpy()},
        output={"mz": mz.numpy()},
        units={"time": "s", "Ku": "J/m3", "mz": ""},
        interpolation={"Ku": interpolation},
        provenance={"simulator": "spinode.datasets.Film", "skyrmions": count, "grains": grains},
    )


def is_cached(Ku: Tensor, *, count: int = 1, grains: int = 0, interpolation: str = "held", alpha: float = 0.01) -> bool:
    """Return True if `film_trace` needs no simulation."""
    file = _file(Ku, count, grains, interpolation, alpha)
    if (KEPT / f"{file.stem}.npy").exists():
        return True
    return file.exists() and len(torch.load(file, weights_only=True)["mz"]) >= len(Ku)


def _file(Ku: Tensor, count: int, grains: int, interpolation: str, alpha: float) -> Path:
    key = hashlib.sha256(Ku.numpy().tobytes() + repr((count, grains, interpolation, alpha)).encode()).hexdigest()[:16]
    return FOLDER / f"{key}.pt"


def device(count: int = 1, grains: int = 0, alpha: float = 0.01) -> tuple[Film, Tensor]:
    """Return the film and its resting state, which is cached."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"rest-{count}-{grains}.pt"
    generator = torch.Generator().manual_seed(grains)
    if not file.exists():
        torch.save(skyrmion_device(count, generator=generator)[1], file)
        generator = torch.Generator().manual_seed(grains)
    return skyrmion_film(count, alpha=alpha, generator=generator), torch.load(file, weights_only=True)
