"""Rollouts of a small driven Neural ODE on one core, side by side with other libraries, as JSON lines.

    python benchmarks/rollout.py [--workloads A B C D] [--only spinode torchdiffeq ...] [--rounds 5] [--quick]
    python benchmarks/rollout.py --threads 2       # spinode with one and two threads on B and D, by wall time
    python benchmarks/rollout.py --memory          # memory of spinode over a rollout of 10^6 steps with gradient

Workloads, in float32; one step per sample, drive held over the step, dt = 0.1:
  A  one device, 100 000 steps of Runge-Kutta 4, field MLP(4-50-50-3, tanh): state 3, drive 1.   microseconds per step
  B  256 devices, 2000 steps, the same field.                                                    nanoseconds per device-step
  C  training: 64 windows of 50 steps, the same field; forward, mean squared error over all samples, gradient in the weights,
     Adam.                                                                                       milliseconds per iteration
  D  10^6 devices, one Euler step, field MLP(3-16-16-1, tanh): state 1, drive 2; forward, and forward with the gradients in
     weights and states for a given gradient in the new states.                                  milliseconds per step
Weights are random, with a restoring path: the first hidden units of both layers (as many as states) see one state each,
half-size, and the output takes them back with a negative weight, so that two runs under one drive approach each other. The
first lines print by how much, and the largest magnitude of a pre-activation, which must stay below 2.

Protocol. Every implementation runs in one process of its own on one pinned core (where the system can pin), with one thread.
It is first compared with a float64 rollout by the classical Runge-Kutta scheme (torchdiffeq's `rk4` is the 3/8 rule; the two
differ by less than 1e-6 here), and for C and D with the gradients of that; one that differs by more than 1e-5 of the
largest value is not timed. Then the implementations run in turn, `--rounds` times. Times are process CPU time, the median
over all calls; compilation happens before (`first_call_seconds`). A ratio is the median over the rounds of the ratio within
a round. Slow ones run fewer steps of A and B, their cost per step is taken as constant, and their line says how many were
run. Each gets the memory layout that suits it.

Implementations:
  spinode             the public API, `spinode.rollout`
  torchdiffeq         `odeint` on the sample grid, `rk4` or `euler`
  torchdiffeq-chunks  D only: the same called for one cache-sized chunk of devices after another
  eager               a loop in plain torch; D in chunks
  compile             `torch.compile` of one step of that loop; D in chunks
  jax                 `lax.scan`, batch innermost; D in chunks
  diffrax             `diffeqsolve` with the classical tableau, batch innermost; not D
The last two need the extra: `pip install 'spinode[bench]'`.

Lines "against" compare with figures of a C++ program for the same workloads, which come from another run and are not measured
here.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _implementations import IMPLEMENTATIONS, NEEDS
from _measure import Worker, WorkerError, emit, installed, machine, native, spread, timed
from _problems import Problem, describe, long_problem, make_problem

#: Largest deviation from float64, relative to the largest magnitude; an implementation beyond it is not timed.
MAX_DEVIATION = 1e-5

#: Number of steps of A and B that slow implementations run.
MAX_STEPS = {
    "A": {"jax": 20_000, "diffrax": 10_000, "compile": 5_000, "torchdiffeq": 2_000, "eager": 2_000},
    "B": {"jax": 1_000, "diffrax": 500, "compile": 400, "torchdiffeq": 400, "eager": 400},
}

#: Unit of a line, and its number of seconds; A counts steps, B devices times steps, the others calls.
UNITS = {"A": ("us per step", 1e-6), "B": ("ns per device-step", 1e-9)}
UNITS |= dict.fromkeys(("C", "D forward", "D forward+backward"), ("ms", 1e-3))

#: CPU time of a C++ program with hand-written AVX-512 kernels, in the units above, from another run.
PROGRAM = "a hand-written AVX-512 C++ program on an EPYC of the same kind"
HAND_WRITTEN = {"A": 0.28, "B": 147.0, "C": 1.46, "D forward": 6.8, "D forward+backward": 17.0}


class Served:
    """One implementation in its process."""

    def __init__(self, name: str, *, empty_cache: bool = True) -> None:
        if name == "compile" and empty_cache:
            # A cache of earlier runs would hide how long compilation takes.
            self.compile_cache = tempfile.TemporaryDirectory()
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = self.compile_cache.name
        if name == "compile":
            os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # a pool of processes would disturb the measurement
        self.name, self.implementation = name, IMPLEMENTATIONS[name]()

    def check(self, problem: Problem) -> dict[str, Any]:
        """Prepare a workload and return its deviations, and the seconds of the first call where that compiles."""
        wall, cpu = time.perf_counter(), time.process_time() + _children()
        self.problem = problem
        self.implementation.prepare(problem)
        results = self.implementation.results()
        seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() + _children() - cpu}
        deviations = {}
        for name, expected in problem.expected.items():
            if name == "states":  # slow implementations run the first steps only
                expected = expected[:, : problem.drive.shape[1] + 1]
            if results[name].shape != expected.shape:
                raise ValueError(f"{name} has shape {results[name].shape}; expected {expected.shape}")
            # NaN counts as an infinite deviation.
            deviation = np.abs(results[name] - expected).max() / np.abs(expected).max()
            deviations[name] = float(np.nan_to_num(deviation, nan=np.inf))
        return {"deviations": deviations, "first_call_seconds": seconds if self.implementation.compiles else None}

    def measure(self, seconds: float) -> list[tuple[float, float]]:
        """Return (CPU, wall) seconds per unit of each call."""
        units = self.problem.units
        return [(cpu / units, wall / units) for cpu, wall in timed(self.implementation.work, seconds)]

    def threads(self, problem: Problem, counts: list[int], rounds: int, seconds: float) -> list[list[tuple[float, float]]]:
        """Return, for each number of threads, wall seconds per unit and CPU seconds per wall second of each round."""
        self.implementation.prepare(problem)
        times: list[list[tuple[float, float]]] = [[] for _ in counts]
        for _ in range(rounds):
            for index, count in enumerate(counts):
                torch.set_num_threads(count)
                self.implementation.work()
                calls = timed(self.implementation.work, seconds, min_calls=3)
                busy = sum(cpu for cpu, _ in calls) / sum(wall for _, wall in calls)
                times[index].append((statistics.median(wall for _, wall in calls) / problem.units, busy))
        return times

    def memory(self, steps: int) -> dict[str, float]:
        """Return the resident memory [MB] that a rollout with gradient adds at its peak, measured after a short rollout."""
        for length in (1000, steps):
            self.implementation.prepare(long_problem(length))
            module, (state, drive) = self.implementation.module, self.implementation.chunks[0]
            module.requires_grad_(True)
            before = _resident()
            wall, cpu = time.perf_counter(), time.process_time()
            self.implementation.run(state, drive).square().mean().backward()
            result = {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        finite = all(bool(torch.isfinite(value.grad).all()) for value in module.parameters())
        return {"growth_MB": _peak() - before, "before_MB": before, "finite": finite, **result}


def _children() -> float:
    """Return the CPU seconds of the compilers that this process has called."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resident() -> float:
    """Return the resident memory of this process [MB], or its peak where the system does not report the present one."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * resource.getpagesize() / 2**20 if pages.exists() else _peak()


def _peak() -> float:
    """Return the peak resident memory of this process [MB]."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def problems(options: argparse.Namespace) -> Iterator[Problem]:
    """Yield the chosen workloads in their sizes."""
    sizes = {"A": (100_000, 1), "B": (2_000, 256), "C": (50, 64), "D forward": (1, 10**6), "D forward+backward": (1, 10**6)}
    for name, (steps, batch) in sizes.items():
        if name[0] in options.workloads:
            yield make_problem(name, min(steps, options.steps), min(batch, options.devices))


def shortened(problem: Problem, name: str, compiled: bool) -> Problem:
    """Return the problem with the number of steps that this implementation runs."""
    max_steps = MAX_STEPS.get(problem.name, {})
    # Without its kernels, spinode is a loop in plain torch.
    steps = max_steps.get("eager" if name == "spinode" and not compiled else name)
    return problem if steps is None else replace(problem, drive=problem.drive[:, :steps])


def workloads(name: str, options: argparse.Namespace) -> str:
    """Return the workloads that an implementation runs; compilation takes long, so with --quick only A is compiled."""
    return "A" if options.quick and name == "compile" else IMPLEMENTATIONS[name].workloads


def compare(problem: Problem, workers: dict[str, Worker], options: argparse.Namespace) -> bool:
    """Check, time and print all implementations of one workload; return True if all that ran agree."""
    unit, size = UNITS[problem.name]
    emit(workload=problem.name, field="-".join(map(str, problem.sizes)), **describe(problem))
    agreeing: dict[str, dict[str, Any]] = {}
    all_agree = True
    for name, worker in workers.items():
        own = shortened(problem, name, native())
        if problem.name[0] not in workloads(name, options):
            continue
        line = {"workload": problem.name, "implementation": name}
        try:
            checked = worker.call("check", own)
        except WorkerError as error:
            emit(**line, error=str(error))
            all_agree = False
            continue
        agrees = all(value <= MAX_DEVIATION for value in checked["deviations"].values())
        emit(**line, agrees=agrees, deviations=checked["deviations"], bound=MAX_DEVIATION)
        all_agree &= agrees
        if agrees:
            agreeing[name] = {
                "steps_run": own.drive.shape[1],
                "devices": len(own.state),
                "first_call_seconds": checked["first_call_seconds"],
            }
    rounds: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in agreeing}
    for name in agreeing:
        workers[name].call("measure", 0.0)  # warms up caches and branch predictors; not counted
    for _ in range(options.rounds):
        for name in agreeing:
            rounds[name].append(workers[name].call("measure", options.seconds))
    for name, details in agreeing.items():
        cpu = spread(cpu / size for calls in rounds[name] for cpu, _ in calls)
        wall = statistics.median(wall / size for calls in rounds[name] for _, wall in calls)
        first_call = details.pop("first_call_seconds")
        emit(
            workload=problem.name,
            implementation=name,
            unit=unit,
            cpu=cpu.pop("median"),
            **cpu,
            wall_median=wall,
            rounds=options.rounds,
            **details,
            **({"first_call_seconds": first_call} if first_call else {}),
        )
    if "spinode" not in agreeing:
        return all_agree
    medians = {name: [statistics.median(cpu for cpu, _ in calls) for calls in rounds[name]] for name in agreeing}
    for name in agreeing:
        if name != "spinode":
            ratios = [theirs / ours for theirs, ours in zip(medians[name], medians["spinode"], strict=True)]
            emit(
                workload=problem.name,
                ratio=f"{name} / spinode",
                value=statistics.median(ratios),
                range=[min(ratios), max(ratios)],
            )
    if full_size(options):
        figure = HAND_WRITTEN[problem.name]
        emit(
            workload=problem.name,
            against=PROGRAM,
            figure=figure,
            unit=unit,
            figure_is="from another run, not measured here",
            ratio="spinode / figure",
            value=statistics.median(medians["spinode"]) / size / figure,
        )
    return all_agree


def full_size(options: argparse.Namespace) -> bool:
    """Return True if the workloads have the sizes of their definition."""
    return bool(options.steps >= 100_000 and options.devices >= 10**6)


def compare_all(options: argparse.Namespace) -> bool:
    """Compare all implementations on all workloads; return True if all that ran agree."""
    workers: dict[str, Worker] = {}
    for name in options.only:
        missing = [package for package in NEEDS.get(name, ()) if installed(package) is None]
        if missing:
            emit(implementation=name, skipped=f"not installed: {', '.join(missing)}; pip install 'spinode[bench]'")
            continue
        workers[name] = Worker(partial(Served, empty_cache=not options.quick), name)
    try:
        agreed = True
        for problem in problems(options):
            agreed &= compare(problem, workers, options)
        return agreed
    finally:
        for worker in workers.values():
            worker.close()


def compare_threads(options: argparse.Namespace) -> None:
    """Time spinode on B and D with one thread and with more, by wall time."""
    worker = Worker(Served, "spinode", cores=options.threads)
    counts = [1, options.threads]
    try:
        for problem in problems(options):
            if problem.name[0] not in "BD":
                continue
            own = shortened(problem, "spinode", native())
            unit, size = UNITS[problem.name]
            times = worker.call("threads", own, counts, options.rounds, options.seconds)
            ratios = [one / more for (one, _), (more, _) in zip(*times, strict=True)]
            emit(
                workload=problem.name,
                implementation="spinode",
                threads=counts,
                wall=[statistics.median(wall for wall, _ in values) / size for values in times],
                unit=unit,
                # If far below the number of threads, other processes used the cores, or the threads waited.
                cpu_seconds_per_wall_second=[statistics.median(busy for _, busy in values) for values in times],
                speed_up=statistics.median(ratios),
                range=[min(ratios), max(ratios)],
                rounds=options.rounds,
                steps_run=own.drive.shape[1],
                cores=worker.cores,
            )
    finally:
        worker.close()


def measure_memory(options: argparse.Namespace) -> None:
    """Measure the memory of a rollout of one device with gradient."""
    # The loop in plain torch stores about 30 kB per step.
    steps = min(options.steps, 10**6 if native() else 20_000)
    worker = Worker(Served, "spinode")
    try:
        emit(workload="memory", implementation="spinode", native=native(), steps_run=steps, **worker.call("memory", steps))
    finally:
        worker.close()


def main() -> None:
    """Print the lines of the chosen workloads."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--workloads", nargs="+", default=list("ABCD"), choices=list("ABCD"))
    options.add_argument("--only", nargs="+", choices=list(IMPLEMENTATIONS), help="implementations; all if omitted")
    options.add_argument("--rounds", type=int, default=5, help="number of turns of each implementation")
    options.add_argument("--seconds", type=float, default=0.5, help="length of a turn (at least one call)")
    options.add_argument("--steps", type=int, default=10**6, help="maximum number of steps of a workload")
    options.add_argument("--devices", type=int, default=10**6, help="maximum number of devices of a workload")
    options.add_argument("--threads", type=int, default=0, help="time spinode on B and D with 1 and with this many threads")
    options.add_argument("--memory", action="store_true", help="measure the memory of a rollout of 10^6 steps with gradient")
    options.add_argument(
        "--quick",
        action="store_true",
        help="small sizes, which test that everything runs and agrees; torch.compile only if named in --only",
    )
    chosen = options.parse_args()
    if chosen.quick:
        chosen.steps, chosen.devices = min(chosen.steps, 60), min(chosen.devices, 16_000)
        chosen.rounds, chosen.seconds = 2, 0.02
    chosen.only = chosen.only or [name for name in IMPLEMENTATIONS if not (chosen.quick and name == "compile")]
    emit(**machine())
    if chosen.threads:
        compare_threads(chosen)
    elif chosen.memory:
        measure_memory(chosen)
    elif not compare_all(chosen):
        sys.exit("not all implementations agree, or one failed; see the lines above")


if __name__ == "__main__":
    main()
