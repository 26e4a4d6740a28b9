"""The micromagnetic film compared with MuMax3 and magnum.np, and surrogates of a current-driven skyrmion; JSON lines.

    python benchmarks/film.py [--only cells standard current] [--table FILE]

cells      The voltage-driven skyrmion of a MuMax3 table over 10 ns, with cells of 1, 1.25, 1.6 and 2 nm.
standard   mu-MAG standard problem 4, field 1, compared with magnum.np where that is installed.
current    A skyrmion driven by current steps, perpendicular or in the plane: free runs of surrogates fitted to 20 ns, by
           embedding.

One thread. `cells` needs a MuMax3 table with columns t, mz and Ku1.region100.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import emit

import spinode
from spinode.datasets import Film, disc, random_steps, read_trace, rectangle, simulate_with_magnum, skyrmion_device, skyrmions
from spinode.errors import ConfigError, TraceWarning

TABLE = Path(__file__).resolve().parents[2] / "shared/data/spin_neural_ode/1skyrmion_voltage_table.txt"
MU0 = 4e-7 * math.pi
LENGTH, SEGMENT = 10e-9, 1e-9
INTERVAL, HOLD = 5e-12, 50e-12


def cells(table: Path) -> Iterator[dict[str, Any]]:
    """Compute the NRMSE in each nanosecond, relative to the standard deviation of all 10 ns."""
    trace = read_trace(table, drive="Ku1.region100", output="mz")
    trace = trace.between(trace.time[0], trace.time[0] + LENGTH)
    Ku, mz = (next(iter(channels.values())) for channels in (trace.drive, trace.output))
    for cell in (1e-9, 1.25e-9, 1.6e-9, 2e-9):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TraceWarning)  # about coarse cells, whose effect is measured here
            film = Film(disc(80e-9, cell=cell), cell=cell, D=3.5e-3, Ku=8e5)
        initial = skyrmions(film.shape, [(0, 0)], cell=cell, radius=25e-9, width=5e-9)
        line = {"part": "cells", "cell_nm": cell * 1e9, "refresh_ps": film.refresh * 1e12}
        try:
            rest = film.relax(initial, Ku=float(Ku[0]))
        except ConfigError as error:
            yield {**line, "failed": str(error)}
            continue
        start_time = time.process_time()
        run = film.simulate(trace.time, rest, Ku=Ku)
        seconds = time.process_time() - start_time
        simulated = run.mean[:, 2].numpy()
        edges = np.searchsorted(trace.time, trace.time[0] + np.arange(round(LENGTH / SEGMENT) + 1) * SEGMENT)
        yield {
            **line,
            "nrmse over 10 ns": float(np.sqrt(np.mean((simulated - mz) ** 2)) / mz.std()),
            "by nanosecond": [
                float(np.sqrt(np.mean((simulated[a:b] - mz[a:b]) ** 2)) / mz.std()) for a, b in itertools.pairwise(edges)
            ],
            "charge at the end": film.charge(run.m),
            "seconds for 1 ns": seconds / (LENGTH * 1e9),
        }


def standard(_: Path) -> Iterator[dict[str, Any]]:
    """Compute the means of m after 1 ns of field 1 on 128 x 32 cells."""
    cell = 500e-9 / 128
    film = Film(rectangle(500e-9, 125e-9, cell=cell), cell=cell, thickness=3e-9, Ms=8e5, A=13e-12, alpha=0.02)
    rest = film.relax(film.uniform((1, 0.1, 0)))
    times = torch.linspace(0, 1e-9, 101, dtype=torch.float64)
    field = (-24.6e-3 / MU0, 4.3e-3 / MU0, 0)
    for name, simulate in (("spinode", film.simulate), ("magnum.np", lambda *a, **k: simulate_with_magnum(film, *a, **k))):
        start_time = time.process_time()
        try:
            run = simulate(times, rest, field=field)
        except ConfigError as error:
            yield {"part": "standard", "simulator": name, "failed": str(error)}
            continue
        crossing = int(torch.nonzero(run.mean[:, 0] < 0)[0, 0])
        a, b = run.mean[crossing - 1, 0], run.mean[crossing, 0]
        yield {
            "part": "standard",
            "simulator": name,
            "after 1 ns": run.mean[-1].tolist(),
            "m_x first crosses 0, ps": float(1e12 * (times[crossing - 1] + (times[1] - times[0]) * a / (a - b))),
            "seconds": time.process_time() - start_time,
        }


def current(_: Path) -> Iterator[dict[str, Any]]:
    """Fit 20 ns under random current steps of 50 ps with three seeds, and test on 10 ns under other steps."""
    film, rest = skyrmion_device(1)
    for kind, density, output in (("current", 2e11, ("mz",)), ("flow", 2e11, ("mx", "my"))):
        traces = []
        for seed, duration in ((1, 20e-9), (100, 10e-9)):
            steps = random_steps(
                -density,
                density,
                duration=duration,
                interval=INTERVAL,
                hold=HOLD,
                generator=torch.Generator().manual_seed(seed),
            )
            drive = steps if kind == "current" else torch.stack([steps, torch.zeros_like(steps)], -1)
            times = torch.arange(len(steps), dtype=torch.float64) * INTERVAL
            traces.append(film.trace(times, rest, output=output, interpolation="held", **{kind: drive}))
        names = {"drive": ("J",) if kind == "current" else ("Jx",), "output": output}
        trace, test = (spinode.Trace(**{**_fields(each), **_named(each, names)}) for each in traces)
        for embedding, seed in itertools.product(("derivative", "delay"), (0, 1, 2)):
            surrogate = spinode.fit(trace, sample_interval=INTERVAL, seed=seed, embedding=embedding)
            scores = spinode.evaluate(surrogate, test)
            yield {
                "part": "current",
                "drive": kind,
                "largest_A_per_m2": density,
                "output": output,
                "deviation": {name: float(values.std()) for name, values in trace.output.items()},
                "embedding": embedding,
                "seed": seed,
                "order": surrogate.embedding.order,
                "nrmse": scores.nrmse,
                "outside": scores.outside_domain,
            }


def _fields(trace: Any) -> dict[str, Any]:
    return {"time": trace.time, "units": trace.units, "provenance": trace.provenance}


def _named(trace: Any, names: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    channels = {role: {name: getattr(trace, role)[name] for name in names[role]} for role in ("drive", "output")}
    units = {name: trace.units[name] for name in ("time", *channels["drive"], *channels["output"])}
    return {**channels, "units": units, "interpolation": dict.fromkeys(channels["drive"], "held")}


def main() -> None:
    """Print the lines of the requested parts."""
    parts = {"cells": cells, "standard": standard, "current": current}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts))
    parser.add_argument("--table", type=Path, default=TABLE, help="a MuMax3 table for `cells`")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.only:
        for line in parts[name](options.table):
            emit(**line)


if __name__ == "__main__":
    main()
