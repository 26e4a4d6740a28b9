"""Micromagnetic reference traces of the skyrmion devices, kept below build/film since a nanosecond takes seconds."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import torch
from torch import Tensor

from spinode.datasets import skyrmion_device
from spinode.traces.trace import Trace

FOLDER = Path(__file__).resolve().parent.parent / "build" / "film"
INTERVAL = 5e-12
_PIECE = 400  # samples between two savings


def film_trace(
    Ku: Tensor, *, count: int = 1, grains: int = 0, interpolation: str = "held", alpha: float = 0.01
) -> tuple[Trace, float]:
    """The trace of a skyrmion device under an anisotropy sampled every 5 ps, from rest, and the processor seconds it took.

    A run that was stopped goes on where it was.
    """
    key = hashlib.sha256(Ku.numpy().tobytes() + repr((count, grains, interpolation, alpha)).encode()).hexdigest()[:16]
    file = FOLDER / f"{key}.pt"
    FOLDER.mkdir(parents=True, exist_ok=True)
    film, rest = _device(count, grains, alpha)
    kept = (
        torch.load(file, weights_only=True)
        if file.exists()
        else {"mz": torch.empty(0, dtype=torch.float64), "m": rest, "seconds": 0.0}
    )
    while len(kept["mz"]) < len(Ku):
        begin = len(kept["mz"])
        piece = Ku[begin : begin + _PIECE + 1]
        start = time.process_time()
        times = torch.arange(len(piece), dtype=torch.float64) * INTERVAL
        last = begin + len(piece) == len(Ku)
        run = film.simulate(times, kept["m"], Ku=piece, interpolation=interpolation)
        mz = run.mean[:, 2] if last else run.mean[:-1, 2]
        kept = {"mz": torch.cat([kept["mz"], mz]), "m": run.m, "seconds": kept["seconds"] + time.process_time() - start}
        torch.save(kept, file)
    at = torch.arange(len(Ku), dtype=torch.float64) * INTERVAL
    trace = Trace(
        time=at.numpy(),
        drive={"Ku": Ku.numpy()},
        output={"mz": kept["mz"].numpy()},
        units={"time": "s", "Ku": "J/m3", "mz": ""},
        interpolation={"Ku": interpolation},
        provenance={"simulator": "spinode.datasets.Film", "skyrmions": count, "grains": grains},
    )
    return trace, kept["seconds"]


def _device(count: int, grains: int, alpha: float):
    file = FOLDER / f"rest-{count}-{grains}.pt"
    generator = torch.Generator().manual_seed(grains)
    if not file.exists():
        torch.save(skyrmion_device(count, generator=generator)[1], file)
        generator = torch.Generator().manual_seed(grains)
    from spinode.datasets.film.skyrmion import skyrmion_film

    return skyrmion_film(count, alpha=alpha, generator=generator), torch.load(file, weights_only=True)
