"""Free runs of surrogates along recordings of many devices, beside linear models and other libraries, as JSON lines.

    python benchmarks/devices.py [--only silverbox ced ...] [--methods spinode arx subspace gru neural-ode subnet jax-sysid]
                                 [--seeds 0 1 2] [--effort default] [--noisy] [--results FILE] [--data FOLDER] [--simulate]
    python benchmarks/devices_table.py [--print]        the table of the lines, docs/results/devices.md

Protocol. Fit on the training recordings alone; what stops, chooses and regularises sees nothing else. Score: RMSE of a free
run over a test recording without its first W samples, whose outputs may be used to find the initial state and are the only
ones that a model is given. spinode runs with default settings, apart from `--effort`. It starts by its own estimate from the
first W samples, or, where W is below the twelve samples of that estimate, by least squares over the first W samples with the
fitted states as the prior. Noisy versions (names with @snr20 and @snr10) have white noise on all outputs that a model sees, and
are scored against the outputs without it. Networks of others stop after --limit seconds of process time.

A (device, method, seed, effort, version) that has a line is skipped, so that a stopped run continues. The version of spinode
includes a hash of the sources of the fit; `--version` replaces it.

Recordings are read from ../shared/data; one that is not there is skipped, and said so. Film traces are simulated with
--simulate alone, half a minute per nanosecond, and cached below build/film.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _baselines import LIMIT, fit_arx, fit_gru, fit_plain_ode, fit_subspace
from _device_models import fit_spinode, spinode_version
from _external_baselines import fit_external
from _measure import process_seconds, rounded
from _recordings import Device, MissingData, device_names, read_device
from devices_table import RESULTS, TABLE, page

import spinode

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SPINODE_SHARED", ROOT.parent / "shared"))

#: Version of the baselines of this folder; a change of what they compute raises it.
BASELINES = "1"

#: Methods whose result does not depend on a seed.
DETERMINISTIC = ("arx", "subspace")
EXTERNAL = ("subnet", "jax-sysid")
METHODS = ("spinode", *DETERMINISTIC, "gru", "neural-ode", *EXTERNAL)

KEY = ("device", "method", "seed", "effort", "version")


def fit_method(device: Device, method: str, seed: int, options: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """Fit one method; return its free run and notes."""
    if method == "spinode":
        effort = {"effort": options.effort} if options.effort != "default" else {}
        return fit_spinode(device, seed, **{**effort, **options.settings})
    if method == "arx":
        return fit_arx(device, seed)
    if method == "subspace":
        return fit_subspace(device, seed)
    if method == "gru":
        return fit_gru(device, seed, limit=options.limit)
    if method == "neural-ode":
        return fit_plain_ode(device, seed, limit=options.limit)
    return fit_external(method, device, seed, options.python, options.limit)


def measure(device: Device, method: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Fit one method and score its free runs; an error becomes part of the line."""
    began, wall = process_seconds(), time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run, notes = fit_method(device, method, seed, options)
            seconds = {"cpu_seconds": process_seconds() - began, "wall_seconds": time.perf_counter() - wall}
            scores = {test: score(device, test, run) for test in device.tests}
    except Exception as error:  # one method that fails does not end the comparison
        return {"error": f"{type(error).__name__}: {error}"}
    return {
        "scores": scores,
        "unit": device.unit,
        "noise": device.noise_level,
        **seconds,
        **notes,
    }


def score(device: Device, test: str, run: Any) -> float:
    """Return the score of a free run; infinity if it diverges."""
    try:
        return device.score(test, run(device.tests[test]))
    except spinode.errors.DomainError:
        return float("inf")


def finished(file: Path) -> set[tuple[Any, ...]]:
    """Return the keys of the lines without an error."""
    if not file.exists():
        return set()
    lines = map(json.loads, file.read_text().splitlines())
    return {tuple(line[name] for name in KEY) for line in lines if "error" not in line}


def main() -> None:
    """Fit and score what has no line yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="DEVICE", help=f"devices: {', '.join(device_names())}; all if omitted")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS[:5]))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--effort", choices=["quick", "default", "long"], default="default")
    parser.add_argument(
        "--noisy", action=argparse.BooleanOptionalAction, default=True, help="noisy versions of the devices, too"
    )
    parser.add_argument("--settings", type=json.loads, default={}, help="settings of spinode.fit as JSON, to compare variants")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds of training of gru, neural-ode and subnet")
    parser.add_argument("--python", type=Path, help="a Python with deepSI and jax-sysid, see _external_baselines.py")
    parser.add_argument("--simulate", action="store_true", help="simulate film traces that are not cached")
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--version", help="version of spinode in the lines, instead of that of the sources")
    options = parser.parse_args()
    if options.settings and not options.version:
        parser.error("--settings needs --version NAME, or its lines would count as those of the defaults")
    if options.python is None and set(options.methods) & set(EXTERNAL):
        parser.error(f"{' and '.join(EXTERNAL)} need --python PATH, a Python that has them, see _external_baselines.py")
    torch.set_num_threads(1)
    names = options.only or device_names()
    unknown = sorted(set(names) - set(device_names()))
    if unknown:
        parser.error(f"unknown device {unknown[0]!r}; known: {', '.join(device_names())}")
    options.version = options.version or spinode_version()
    for name in names:
        if options.noisy or "@" not in name or options.only:
            run_device(name, options)


def run_device(name: str, options: argparse.Namespace) -> None:
    """Measure one device with all methods and seeds."""
    done = finished(options.results)
    missing = []
    for method in options.methods:
        for seed in [0] if method in DETERMINISTIC else options.seeds:
            tag = options.version if method == "spinode" else BASELINES
            effort = options.effort if method == "spinode" else "default"
            key = dict(zip(KEY, (name, method, seed, effort, tag), strict=True))
            if tuple(key.values()) in done:
                print(f"{name}, {method}, seed {seed}: already has a line", flush=True)
            else:
                missing.append(key)
    if not missing:
        return
    try:
        device = read_device(name, options.data, simulate=options.simulate)
    except MissingData as error:
        print(f"{name}: skipped, {error}", flush=True)
        return
    options.results.parent.mkdir(parents=True, exist_ok=True)
    for key in missing:
        line = rounded({**key, **measure(device, key["method"], key["seed"], options)})
        with options.results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if options.results == RESULTS:
            TABLE.write_text(page(RESULTS))
        shown = line.get("error") or {**line["scores"], "unit": line["unit"], "cpu_seconds": line["cpu_seconds"]}
        print(f"{name}, {key['method']}, seed {key['seed']}: {shown}", flush=True)


if __name__ == "__main__":
    main()
