"""Free-run scores on the MuMax3 skyrmion tables, as JSON lines: how accurate is a surrogate with default settings?

    python benchmarks/skyrmion.py [--data FOLDER] [--seeds 0 1 2] [--only voltage ku_dmi order1 authors]
                                   [--settings '{"feedthrough": false}']

Protocol. Each fit uses the defaults of `spinode fit` on one core, on the segment of Chen et al. (Nat. Commun. 13, 1016 (2022)):
voltage table 8.5 .. 58.5 ns at 5 ps; Ku + DMI table, its first 50 ns. Every score is a free run from the first samples of a
segment that the fit has not seen; NRMSE = rms error / standard deviation of the true trace. Compared are the free run of a
linear ARX model fitted on the same segment (order 2 .. 16, chosen on the validation segment), and the released weights of the
authors, run here by their method (Runge-Kutta 3/8, their embedding, started from two true samples).

Differences from the paper: the authors stop and select on the training trace and publish no held-out score; it is
computed here on the same held-out segments.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.interpolate import make_interp_spline

import spinode
from spinode.datasets import read_trace
from spinode.traces.held_drives import infer_interpolation

KU, D = "Ku1.region100", "Dind.region100"
STEP = 5e-12


def held_out_segments(data: Path) -> dict[str, tuple[str, spinode.Trace, dict[str, Any]]]:
    """Return, by name: the fit that it tests, the recording, and the names of its channels."""
    voltage, both = data / "1skyrmion_voltage_table.txt", data / "1skyrmion_PMA_DMI_train_table.txt"
    ku_test = data / "1skyrmion_test_Ku_ext_DMI_table.txt"
    names = {"drive": ["Ku"], "output": ["mz"]}
    return {
        "voltage 58.5-85 ns": ("voltage", read_trace(voltage, drive=KU, output="mz", start=58.5e-9, stop=85e-9), {}),
        "held 50 ps, 30 ns": ("voltage", read_trace(data / "llg_held_50ps_30ns.csv"), names),
        "held 10 ps, 30 ns (collapses at 10.9 ns)": ("voltage", read_trace(data / "llg_held_10ps_30ns.csv"), names),
        "Ku + DMI, after 50 ns": ("ku_dmi", read_trace(both, drive=[KU, D], output="mz", start=51e-9), {}),
        "Ku segments with DMI pulse": ("ku_dmi", read_trace(ku_test, drive=[KU, D], output="mz"), {}),
    }


def fitted(data: Path, kind: str, **settings: Any) -> spinode.Surrogate:
    """Fit one table under the published protocol."""
    if kind == "voltage":
        name, drives, start, stop = "1skyrmion_voltage_table.txt", [KU], 8.5e-9, 58.5e-9
    else:
        name, drives, start, stop = "1skyrmion_PMA_DMI_train_table.txt", [KU, D], 1e-9, 51e-9
    trace = read_trace(data / name, drive=drives, output="mz", start=start, stop=stop)
    return spinode.fit(trace, sample_interval=STEP, **settings)


def rows(data: Path, kind: str, seed: int, **settings: Any) -> Iterator[dict[str, Any]]:
    """Yield one line per held-out segment of one fit."""
    start = time.perf_counter()
    surrogate = fitted(data, kind, seed=seed, **settings)
    seconds = time.perf_counter() - start
    for name, (tested, trace, names) in held_out_segments(data).items():
        if tested == kind:
            scores = spinode.evaluate(surrogate, trace, **names)
            yield {
                "fit": kind,
                "seed": seed,
                **settings,
                "test": name,
                "nrmse": round(scores.nrmse, 5),
                "arx_nrmse": None if scores.baseline_nrmse is None else round(scores.baseline_nrmse, 3),
                "outside_domain": round(scores.outside_domain, 4),
                "regime_change_at": scores.regime_change_at,
                "coverage": round(scores.coverage, 3),
                "validation": [round(value, 5) for value in surrogate.record["validation"]],
                "order": surrogate.embedding.order,
                "fit_seconds": round(seconds, 1),
            }


def authors(data: Path) -> Iterator[dict[str, Any]]:
    """Score the released weights of the authors on the same segments."""
    for name, (kind, trace, names) in held_out_segments(data).items():
        file, drives, scales, origin = AUTHORS[kind]
        weights = np.load(data / file)
        table, zero_time = origin
        recording = read_trace(data / table, output="mz", drive=KU)
        offset = float(np.interp(zero_time, recording.time, recording.output["mz"]))
        columns = [trace.channels[channel] for channel in names.get("drive", drives)]
        score = authors_nrmse(weights, trace.time, trace.channels["mz"], columns, scales, offset)
        yield {"fit": f"authors' weights ({kind})", "test": name, "nrmse": round(score, 5)}


#: Per fit: weights, drives, (mean, span) of each drive, and table and time of the zero of the output, y = 10 (mz - mz(time)).
AUTHORS: dict[str, tuple[str, list[str], list[tuple[float, float]], tuple[str, float]]] = {
    "voltage": (
        "authors_weights_1skyrmion_voltage.npz",
        [KU],
        [(8e5, 2e5)],
        ("1skyrmion_voltage_table.txt", 1e-9),
    ),
    "ku_dmi": (
        "authors_weights_Ku_DMI.npz",
        [KU, D],
        [(8e5, 0.5e5), (3e-3, 0.4e-3)],
        ("1skyrmion_PMA_DMI_train_table.txt", 1e-9),
    ),
}


def authors_nrmse(
    weights: Any,
    t: np.ndarray,
    mz: np.ndarray,
    drives: list[np.ndarray],
    scales: list[tuple[float, float]],
    offset: float,
) -> float:
    """Run ds/dtau = MLP(s, u) freely by Runge-Kutta 3/8 and return the NRMSE.

    s = (y(t), y(t + dt)), u alike, dtau = 0.025 per 5 ps.
    """
    grid = t[0] + STEP * np.arange(int((t[-1] - t[0]) / STEP) - 1)
    count, unit = len(grid), (t - t[0]) / STEP

    def interpolate(values: np.ndarray, samples: np.ndarray) -> np.ndarray:
        if infer_interpolation(values) == "held":
            index = np.searchsorted(unit, samples + 1e-3, side="right") - 1
            return values[np.clip(index, 0, len(values) - 1)]
        return make_interp_spline(unit, values, k=3)(samples)

    steps = np.arange(count, dtype=float)
    stages = []
    for share in (0.0, 1 / 3, 2 / 3, 0.999):
        columns = []
        for values, (mean, span) in zip(drives, scales, strict=True):
            columns += [(interpolate(values, steps + share + ahead) - mean) / span for ahead in (0.0, 1.0)]
        stages.append(np.stack(columns, -1))
    truth = 10 * (interpolate(mz, steps) - offset)
    layers = [(weights[f"W{i}"], weights[f"b{i}"]) for i in range(3)]

    def rate(s: np.ndarray, u: np.ndarray) -> np.ndarray:
        hidden = np.concatenate([s, u])
        for matrix, bias in layers[:2]:
            hidden = np.tanh(matrix @ hidden + bias)
        return np.asarray(layers[2][0] @ hidden + layers[2][1])

    s, run, h = truth[:2].copy(), np.empty(count), 0.025
    for i, (a, b, c, d) in enumerate(zip(*stages, strict=True)):
        run[i] = s[0]
        k1 = rate(s, a)
        k2 = rate(s + h * k1 / 3, b)
        k3 = rate(s + h * (k2 - k1 / 3), c)
        k4 = rate(s + h * (k1 - k2 + k3), d)
        s = np.clip(s + h * (k1 + 3 * k2 + 3 * k3 + k4) / 8, -100, 100)
    return float(np.sqrt(np.mean((run - truth) ** 2)) / truth.std())


def main() -> None:
    """Print the scores and their medians."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared/data/spin_neural_ode")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--only", nargs="+", default=["authors", "voltage", "ku_dmi", "order1"])
    options.add_argument("--settings", type=json.loads, default={}, help="settings of the fit as JSON, to compare variants")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    results: dict[tuple[str, str], list[float]] = {}
    for part in chosen.only:
        if part == "authors":
            for row in authors(chosen.data):
                print(json.dumps(row), flush=True)
            continue
        for seed in chosen.seeds:
            settings = chosen.settings | ({"order": 1} if part == "order1" else {})
            for row in rows(chosen.data, "voltage" if part == "order1" else part, seed, **settings):
                print(json.dumps(row), flush=True)
                results.setdefault((part, row["test"]), []).append(row["nrmse"])
    for (part, test), scores in results.items():
        line = {"fit": part, "test": test, "median": statistics.median(scores), "min": min(scores), "max": max(scores)}
        print(json.dumps({**line, "seeds": len(scores)}), flush=True)


if __name__ == "__main__":
    main()
