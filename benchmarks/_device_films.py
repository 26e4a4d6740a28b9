"""Film traces of benchmarks/devices.py, simulated once and cached below build/film."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import torch
from _film_drives import MEAN, UNIT, mackey_glass_drive
from _film_traces import FOLDER, INTERVAL, device, film_trace, is_cached
from torch import Tensor

from spinode import Trace
from spinode.datasets import random_steps

#: Largest current density [A/m2], time for which a step is held [s], and recorded outputs, as in benchmarks/film.py.
DENSITY, HOLD = 2e11, 50e-12
OUTPUTS = {"current": ("mz",), "flow": ("mx", "my")}

#: Length [s] and seed of the drive of each recording.
PARTS = {"train": (20e-9, 1), "test": (10e-9, 100)}

_BLOCK = 200  # samples between two savings


class MissingFilm(Exception):
    """A film trace is not cached and must not be simulated now."""


def multisine(duration: float, seed: int, *, low: float = 0.3e9, high: float = 12e9, tones: int = 40) -> Tensor:
    """Return an anisotropy of equal tones at random frequencies and phases, of deviation 0.1 UNIT, every 5 ps, shape (time,).

    Args:
        duration: Length [s].
        seed: Seed of frequencies and phases.
        low: Lowest frequency [Hz].
        high: Highest frequency [Hz].
        tones: Number of tones, one at a random frequency in each of as many equal parts of the band.
    """
    generator = torch.Generator().manual_seed(seed)
    places = (torch.arange(tones) + torch.rand(tones, generator=generator, dtype=torch.float64)) / tones
    frequencies = low + (high - low) * places
    phases = 2 * math.pi * torch.rand(tones, generator=generator, dtype=torch.float64)
    time = INTERVAL * torch.arange(round(duration / INTERVAL), dtype=torch.float64)
    sum_of_tones = torch.sin(2 * math.pi * time[:, None] * frequencies + phases).sum(-1)
    return MEAN + 0.1 * UNIT * sum_of_tones * math.sqrt(2 / tones)


def multisine_film(*, simulate: bool) -> Trace:
    """Return 15 ns of one skyrmion under a multisine of 0.3 .. 12 GHz."""
    return _anisotropy(multisine(15e-9, seed=7), "linear", simulate)


#: Training drive of four skyrmions: share of a quarter of UNIT, length [s] and seed of each stretch, a ramp from rest.
FOUR = ((0.04, 8e-9, 11), (0.2, 8e-9, 12), (1.0, 44e-9, 13))
FOUR_TEST = 1600  # samples at the end of it that are tested


def four_skyrmions(*, simulate: bool) -> tuple[Trace, dict[str, Trace]]:
    """Return a recording of four skyrmions under a ramp of steps; tests are its end and the drive of the Mackey-Glass task."""
    whole = _anisotropy(torch.cat([_ramp_steps(*stretch) for stretch in FOUR]), "held", simulate, count=4)
    split = len(whole) - FOUR_TEST
    tests = {"steps": whole.between(float(whole.time[split]), None)}
    with contextlib.suppress(MissingFilm):
        tests["Mackey-Glass"] = _anisotropy(mackey_glass_drive(120, scale=0.25), "held", simulate, count=4)
    return whole.between(None, float(whole.time[split - 1])), tests


def _ramp_steps(share: float, duration: float, seed: int) -> Tensor:
    largest = 0.25 * UNIT * share
    generator = torch.Generator().manual_seed(seed)
    low, high, hold = MEAN - largest, MEAN + largest, (10e-12, 100e-12)
    return random_steps(low, high, duration=duration, interval=INTERVAL, hold=hold, generator=generator)


def _anisotropy(Ku: Tensor, interpolation: str, simulate: bool, count: int = 1) -> Trace:
    if not simulate and not is_cached(Ku, count=count, interpolation=interpolation):
        raise MissingFilm("film traces are not cached; --simulate makes them, about half a minute per nanosecond")
    return film_trace(Ku, count=count, interpolation=interpolation)[0]


def current_film(kind: str, part: str, *, simulate: bool) -> Trace:
    """Return a recording of one skyrmion under steps of a current.

    Args:
        kind: "current" (perpendicular, spin transfer) or "flow" (in the plane).
        part: "train" or "test".
        simulate: Simulate it if it is not cached.

    Raises:
        MissingFilm: it is not cached, and `simulate` is not set.
    """
    duration, seed = PARTS[part]
    generator = torch.Generator().manual_seed(seed)
    steps = random_steps(-DENSITY, DENSITY, duration=duration, interval=INTERVAL, hold=HOLD, generator=generator)
    key = hashlib.sha256(steps.numpy().tobytes() + kind.encode()).hexdigest()[:16]
    file = FOLDER / f"{kind}-{key}.pt"
    applied = steps if kind == "current" else torch.stack([steps, torch.zeros_like(steps)], -1)
    if not simulate and not _finished(file, len(steps)):
        raise MissingFilm(
            f"the film trace under a {kind} is not cached; --simulate makes it, about half a minute per nanosecond"
        )
    mean = resumed_run(file, len(steps), lambda first, last, m: _current_block(kind, applied[first:last], m))
    names = ("mx", "my", "mz")
    channel = "J" if kind == "current" else "Jx"
    return Trace(
        time=(INTERVAL * torch.arange(len(steps), dtype=torch.float64)).numpy(),
        drive={channel: steps.numpy()},
        output={name: mean[:, names.index(name)].numpy() for name in OUTPUTS[kind]},
        units={"time": "s", channel: "A/m2"} | dict.fromkeys(OUTPUTS[kind], ""),
        interpolation={channel: "held"},
        provenance={"simulator": "spinode.datasets.Film", "drive": kind},
    )


def resumed_run(file: Path, samples: int, run: Callable[[int, int, Tensor | None], tuple[Tensor, Tensor]]) -> Tensor:
    """Return the mean magnetisation of a run that continues where it was stopped, shape (time, 3).

    Args:
        file: Where the progress is kept.
        samples: Number of samples.
        run: Called with the first and the last sample (excluded) of a block and the state at the first; returns the means
            at the samples of the block and the state at its last one.
    """
    saved = (
        torch.load(file, weights_only=True) if file.exists() else {"mean": torch.empty(0, 3, dtype=torch.float64), "m": None}
    )
    while len(saved["mean"]) < samples:
        done = len(saved["mean"])
        last = min(samples, done + _BLOCK + 1)
        mean, m = run(done, last, saved["m"])
        saved = {"mean": torch.cat([saved["mean"], mean if last == samples else mean[:-1]]), "m": m}
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(saved, file)
    means: Tensor = saved["mean"]
    return means


def _finished(file: Path, samples: int) -> bool:
    return file.exists() and len(torch.load(file, weights_only=True)["mean"]) >= samples


def _current_block(kind: str, applied: Tensor, m: Tensor | None) -> tuple[Tensor, Tensor]:
    film, rest = device()
    times = INTERVAL * torch.arange(len(applied), dtype=torch.float64)
    block = film.simulate(times, rest if m is None else m, interpolation="held", **{kind: applied})
    return block.mean, block.m
