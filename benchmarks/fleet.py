"""Stacked fits of many macrospins against a loop of `fit`, at what accuracy; and a wafer on many workers, simulated.

    python benchmarks/fleet.py --devices 64 --loop 4 --effort quick

Prints JSON lines: seconds a device of the stacked fit (pilots apart) and of the loop, the NRMSE of both on the same devices and
a recording that neither has seen, and what 10 000 devices would take with these times (extrapolated). The last line simulates
100 workers that fail at random.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import resource
import time

import numpy as np
import torch

import spinode
from spinode.datasets import Macrospin
from spinode.errors import FitError
from spinode.surrogates import find_start, fit_many
from spinode.surrogates.neural_ode.fitting.config import FitConfig

INTERVAL, HOLD = 1e-11, 20


def recordings(devices: int, samples: int, seed: int) -> tuple[list[spinode.Trace], list[spinode.Trace]]:
    """Return two recordings of each device: mz of magnets with spread, driven by their anisotropy."""
    choice = np.random.default_rng(0)
    alpha = torch.as_tensor(0.05 * np.exp(0.1 * choice.normal(size=devices)))
    base = torch.as_tensor(6.9e5 * (1 + 0.005 * choice.normal(size=devices)))
    times = INTERVAL * np.arange(samples)
    both = []
    for part in range(2):
        drive = np.repeat(np.random.default_rng(seed + part).uniform(-1, 1, size=samples // HOLD + 1), HOLD)[:samples]
        energy = base[:, None] + 1e4 * torch.as_tensor(drive)
        magnet = Macrospin(Ms=1e6, Ku=base, alpha=alpha)
        m = magnet.simulate(times, Ku=energy, field=(2e4, 0.0, 0.0), interpolation="held", max_step=2.5e-12)
        z = m[..., 2]
        noise = 1e-3 * np.random.default_rng(seed + 10 + part).normal(size=(devices, samples)) * float(z.std())
        both.append(
            [
                spinode.Trace(times, {"V": drive}, {"mz": z[n].numpy() + noise[n]}, interpolation={"V": "held"})
                for n in range(devices)
            ]
        )
    return both[0], both[1]


def quantiles(errors: list[float]) -> dict[str, float]:
    """Return median and 95 % quantile."""
    return {"median": round(float(np.median(errors)), 5), "q95": round(float(np.quantile(errors, 0.95)), 5)}


def simulate_workers(tasks: int, seconds: float, workers: int, failure_hours: float, restart: float) -> dict[str, float]:
    """Return the time that tasks take on workers that fail at random: a failed worker loses its task, which is queued again."""
    choice = random.Random(0)
    queue, clock, busy, lost = tasks, 0.0, [(0.0, n) for n in range(workers)], 0
    while queue:
        at, worker = heapq.heappop(busy)
        took = seconds * choice.uniform(0.8, 1.2)
        failure = choice.expovariate(1 / (3600 * failure_hours))
        if failure < took:
            lost += 1
            heapq.heappush(busy, (at + failure + restart, worker))
            continue
        queue -= 1
        clock = max(clock, at + took)
        heapq.heappush(busy, (at + took, worker))
    return {"tasks": tasks, "workers": workers, "lost_tasks": lost, "minutes": round(clock / 60, 2)}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("devices", 64), ("loop", 4), ("samples", 2000), ("pilots", 4), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--effort", default="default")
    arguments = parser.parse_args()
    fitted, unseen = recordings(arguments.devices, arguments.samples, arguments.seed)
    config = FitConfig(effort=arguments.effort)
    traces = {str(number): trace for number, trace in enumerate(fitted)}
    begun = time.process_time()
    start = find_start(traces, config, pilots=arguments.pilots)
    pilots = time.process_time() - begun
    begun = time.process_time()
    fleet = fit_many(traces, config, start=start)
    each = (time.process_time() - begun) / arguments.devices
    stacked = {name: spinode.evaluate(surrogate, unseen[int(name)]).nrmse for name, surrogate in fleet.surrogates.items()}
    line = {"what": "stacked", "devices": arguments.devices, "pilots_cpu_s": round(pilots, 1), "cpu_s_a_device": round(each, 3)}
    memory = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    failed = arguments.devices - len(stacked)
    print(json.dumps({**line, "failed": failed, "nrmse": quantiles(list(stacked.values())), "peak_MB": memory}), flush=True)
    compared = [str(n) for n in np.linspace(0, arguments.devices - 1, arguments.loop).round().astype(int)]
    errors, same, begun = [], [], time.process_time()
    spent = 0.0
    for name in compared:
        begun = time.process_time()
        try:
            surrogate = spinode.fit(traces[name], config)
        except FitError:
            continue
        spent += time.process_time() - begun
        errors.append(spinode.evaluate(surrogate, unseen[int(name)]).nrmse)
        same.append(stacked.get(name, float("inf")))
        now = {"what": "loop", "devices": len(errors), "cpu_s_a_device": round(spent / len(errors), 2)}
        now |= {"times_faster": round(spent / len(errors) / each, 1)}
        print(json.dumps({**now, "nrmse": quantiles(errors), "stacked_on_these": quantiles(same)}), flush=True)
    hours = (pilots + 10_000 * each) / 3600
    print(json.dumps({"what": "extrapolated to 10 000 devices", "cpu_hours": round(hours, 2)}))
    cluster = simulate_workers(10_000 // 50, 50 * each, 100, 1.0, 30.0)
    print(json.dumps({"what": "simulated, a failure of each worker an hour", **cluster}))


if __name__ == "__main__":
    main()
