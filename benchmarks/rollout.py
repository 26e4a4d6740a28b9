"""Rollouts of a small driven Neural ODE on one core, side by side with other libraries, as JSON lines.

    python benchmarks/rollout.py [--workloads A B C D] [--only spinode torchdiffeq ...] [--rounds 5] [--quick]
    python benchmarks/rollout.py --threads 2       # ours with one and two threads on B and D, by wall time
    python benchmarks/rollout.py --memory          # memory of ours over a rollout of 10^6 steps with gradient

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

Lines "against" compare with figures of a C++ program for the same workloads that were taken in another run and are not
measured here.
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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _implementations import IMPLEMENTATIONS, NEEDS
from _measure import Worker, WorkerError, emit, installed, machine, native, spread, timed
from _problems import Problem, describe, long_problem, make_problem

#: Largest deviation from float64, over the largest magnitude; beyond it nothing is timed.
BOUND = 1e-5

#: Steps that slow implementations run of A and B.
FEWER = {
    "A": {"jax": 20_000, "diffrax": 10_000, "compile": 5_000, "torchdiffeq": 2_000, "eager": 2_000},
    "B": {"jax": 1_000, "diffrax": 500, "compile": 400, "torchdiffeq": 400, "eager": 400},
}

#: Unit of a line, and its number of seconds; A counts steps, B devices times steps, the others calls.
UNITS = {"A": ("us per step", 1e-6), "B": ("ns per device-step", 1e-9)}
UNITS |= dict.fromkeys(("C", "D forward", "D forward+backward"), ("ms", 1e-3))

#: CPU time of a C++ program with hand-written AVX-512 kernels, in the units above; from another run.
PROGRAM = "a hand-written AVX-512 C++ program on an EPYC of the same kind"
HAND_WRITTEN = {"A": 0.28, "B": 147.0, "C": 1.46, "D forward": 6.8, "D forward+backward": 17.0}


class Served:
    """One implementation in its process."""

    def __init__(self, name: str) -> None:
        if name == "compile":
            # A pool of compiling processes would run beside the measurement; what an earlier run compiled would hide how
            # long it takes.
            self.fresh = tempfile.TemporaryDirectory()
            os.environ |= {"TORCHINDUCTOR_COMPILE_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": self.fresh.name}
        self.name, self.implementation = name, IMPLEMENTATIONS[name]()

    def check(self, problem: Problem) -> dict[str, Any]:
        """Prepare and compare: the deviations, and seconds of the first call where that compiles."""
        began, cpu = time.perf_counter(), time.process_time() + _children()
        self.problem = problem
        self.implementation.prepare(problem)
        got = self.implementation.answers()
        took = {"wall": time.perf_counter() - began, "cpu": time.process_time() + _children() - cpu}
        deviations = {}
        for name, want in problem.answers.items():
            # Slow implementations run the first steps only.
            want = want[:, : problem.drive.shape[1] + 1] if name == "states" else want
            if got[name].shape != want.shape:
                raise ValueError(f"{name} has shape {got[name].shape}, expected {want.shape}")
            # Not-a-number is infinitely far off.
            worst = np.nan_to_num(np.abs(got[name] - want).max() / np.abs(want).max(), nan=np.inf)
            deviations[name] = float(worst)
        return {"deviations": deviations, "first_call_seconds": took if self.implementation.compiles else None}

    def measure(self, seconds: float) -> list[tuple[float, float]]:
        """(CPU, wall) seconds per unit of each call."""
        units = self.problem.units
        return [(cpu / units, wall / units) for cpu, wall in timed(self.implementation.work, seconds)]

    def threads(self, problem: Problem, counts: list[int], rounds: int, seconds: float) -> list[list[tuple[float, float]]]:
        """Wall seconds per unit, and CPU seconds per wall second, of each round for each number of threads in turn."""
        self.implementation.prepare(problem)
        found: list[list[tuple[float, float]]] = [[] for _ in counts]
        for _ in range(rounds):
            for index, count in enumerate(counts):
                torch.set_num_threads(count)
                self.implementation.work()
                calls = timed(self.implementation.work, seconds, least=3)
                busy = sum(cpu for cpu, _ in calls) / sum(wall for _, wall in calls)
                found[index].append((statistics.median(wall for _, wall in calls) / problem.units, busy))
        return found

    def memory(self, steps: int) -> dict[str, float]:
        """Resident memory [MB] that a rollout with gradient adds at its peak; after a short one, with its data in place."""
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
    """CPU seconds of the compilers that this process has called."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resident() -> float:
    """Resident memory of this process now [MB]; where the system does not tell, its peak so far."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * resource.getpagesize() / 2**20 if pages.exists() else _peak()


def _peak() -> float:
    """Greatest resident memory of this process so far [MB]."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def problems(options: argparse.Namespace) -> Iterator[Problem]:
    """The chosen workloads in their size."""
    sizes = {"A": (100_000, 1), "B": (2_000, 256), "C": (50, 64), "D forward": (1, 10**6), "D forward+backward": (1, 10**6)}
    for name, (steps, batch) in sizes.items():
        if name[0] in options.workloads:
            yield make_problem(name, min(steps, options.steps), min(batch, options.devices))


def shortened(problem: Problem, name: str, compiled: bool) -> Problem:
    """The problem with as many steps as this implementation runs."""
    fewer = FEWER.get(problem.name, {})
    # Without its kernels ours is a loop in plain torch.
    most = fewer.get("eager" if name == "spinode" and not compiled else name)
    return problem if most is None else replace(problem, drive=problem.drive[:, :most])


def compare(problem: Problem, workers: dict[str, Worker], options: argparse.Namespace) -> bool:
    """One workload: check, measure in turn, print; whether all that ran agreed."""
    unit, size = UNITS[problem.name]
    emit(workload=problem.name, field="-".join(map(str, problem.sizes)), **describe(problem))
    ready: dict[str, dict[str, Any]] = {}
    all_agree = True
    for name, worker in workers.items():
        own = shortened(problem, name, native())
        if problem.name[0] not in IMPLEMENTATIONS[name].workloads:
            continue
        line = {"workload": problem.name, "implementation": name}
        try:
            checked = worker.ask("check", own)
        except WorkerError as error:
            emit(**line, error=str(error))
            all_agree = False
            continue
        agrees = all(value <= BOUND for value in checked["deviations"].values())
        emit(**line, agrees=agrees, deviations=checked["deviations"], bound=BOUND)
        all_agree &= agrees
        if agrees:
            ready[name] = {
                "steps_run": own.drive.shape[1],
                "devices": len(own.state),
                "first_call_seconds": checked["first_call_seconds"],
            }
    rounds: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in ready}
    for name in ready:
        workers[name].ask("measure", 0.0)  # once, uncounted: caches and branch predictors
    for _ in range(options.rounds):
        for name in ready:
            rounds[name].append(workers[name].ask("measure", options.seconds))
    for name, about in ready.items():
        cpu = spread(cpu / size for calls in rounds[name] for cpu, _ in calls)
        wall = statistics.median(wall / size for calls in rounds[name] for _, wall in calls)
        first = about.pop("first_call_seconds")
        emit(
            workload=problem.name,
            implementation=name,
            unit=unit,
            cpu=cpu.pop("median"),
            **cpu,
            wall_median=wall,
            rounds=options.rounds,
            **about,
            **({"first_call_seconds": first} if first else {}),
        )
    if "spinode" not in ready:
        return all_agree
    medians = {name: [statistics.median(cpu for cpu, _ in calls) for calls in rounds[name]] for name in ready}
    for name in ready:
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
    """Whether the figures are those of the workloads as they are defined."""
    return bool(options.steps >= 100_000 and options.devices >= 10**6)


def compare_all(options: argparse.Namespace) -> bool:
    """All workloads and implementations; whether all that ran agreed."""
    workers: dict[str, Worker] = {}
    for name in options.only:
        missing = [package for package in NEEDS.get(name, ()) if installed(package) is None]
        if missing:
            emit(implementation=name, skipped=f"not installed: {', '.join(missing)}; pip install 'spinode[bench]'")
            continue
        workers[name] = Worker(Served, name)
    try:
        agreed = True
        for problem in problems(options):
            agreed &= compare(problem, workers, options)
        return agreed
    finally:
        for worker in workers.values():
            worker.close()


def compare_threads(options: argparse.Namespace) -> None:
    """Ours on B and D with one thread and with more, by wall time."""
    worker = Worker(Served, "spinode", cores=options.threads)
    counts = [1, options.threads]
    try:
        for problem in problems(options):
            if problem.name[0] not in "BD":
                continue
            own = shortened(problem, "spinode", native())
            unit, size = UNITS[problem.name]
            found = worker.ask("threads", own, counts, options.rounds, options.seconds)
            ratios = [one / more for (one, _), (more, _) in zip(*found, strict=True)]
            emit(
                workload=problem.name,
                implementation="spinode",
                threads=counts,
                wall=[statistics.median(wall for wall, _ in values) / size for values in found],
                unit=unit,
                # Far below the number of threads: other processes had the cores, or the threads waited.
                cpu_seconds_per_wall_second=[statistics.median(busy for _, busy in values) for values in found],
                speed_up=statistics.median(ratios),
                range=[min(ratios), max(ratios)],
                rounds=options.rounds,
                steps_run=own.drive.shape[1],
                cores=worker.cores,
            )
    finally:
        worker.close()


def measure_memory(options: argparse.Namespace) -> None:
    """Memory of one device's rollout with gradient."""
    # The loop in plain torch keeps some 30 kB a step.
    steps = min(options.steps, 10**6 if native() else 20_000)
    worker = Worker(Served, "spinode")
    try:
        emit(workload="memory", implementation="spinode", native=native(), steps_run=steps, **worker.ask("memory", steps))
    finally:
        worker.close()


def main() -> None:
    """Print the lines."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--workloads", nargs="+", default=list("ABCD"), choices=list("ABCD"))
    options.add_argument("--only", nargs="+", choices=list(IMPLEMENTATIONS), help="implementations; all if omitted")
    options.add_argument("--rounds", type=int, default=5, help="how often each implementation has its turn")
    options.add_argument("--seconds", type=float, default=0.5, help="length of a turn (one call at least)")
    options.add_argument("--steps", type=int, default=10**6, help="most steps of any workload")
    options.add_argument("--devices", type=int, default=10**6, help="most devices of any workload")
    options.add_argument("--threads", type=int, default=0, help="measure ours on B and D with 1 and with this many threads")
    options.add_argument("--memory", action="store_true", help="measure the memory of a rollout of 10^6 steps with gradient")
    options.add_argument("--quick", action="store_true", help="small, without torch.compile: does it run and agree?")
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
        sys.exit("not all implementations agree, or one failed; their lines say which")


if __name__ == "__main__":
    main()
