"""Kill workers and drivers of `run_tasks` at random, and compare the results with those of the serial run.

    python benchmarks/fleet_kills.py --tasks 200 --workers 2 --kills 20 --drivers 3

Prints one JSON line: tasks that are there, results that changed after they were stored, and whether all equal the serial run
to the bit. `--queue 100000` measures the memory of that many queued tasks instead.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from spinode.experiments.tasks.engines.processes import ProcessEngine
from spinode.experiments.tasks.run import run_tasks
from spinode.experiments.tasks.task import Task


def walk(number: int, steps: int) -> float:
    """Return the end of a random walk that is pulled back, whose last bits depend on every step."""
    position = 0.0
    for kick in np.random.default_rng(number).normal(size=steps):
        position = 0.9 * position + float(np.tanh(kick))
    return position


def tasks(count: int, steps: int) -> Iterator[Task]:
    """Yield tasks that take a while."""
    for number in range(count):
        yield Task(f"walk {number}", walk, (number, steps))


def drive(arguments: argparse.Namespace) -> None:
    """Run the tasks, as a process that may be killed."""
    with ProcessEngine(arguments.workers) as engine:
        run_tasks(tasks(arguments.tasks, arguments.steps), arguments.folder, engine=engine, retries=100, queued=8)


def start(arguments: argparse.Namespace, folder: Path) -> subprocess.Popen[bytes]:
    """Start a driver."""
    words = ["--driver", "--folder", str(folder), "--tasks", str(arguments.tasks), "--workers", str(arguments.workers)]
    return subprocess.Popen([sys.executable, __file__, *words, "--steps", str(arguments.steps)])


def workers_of(driver: int) -> list[int]:
    """Return the process numbers of the workers of a driver (Linux)."""
    found = []
    for path in Path(f"/proc/{driver}/task").glob("*/children"):
        try:
            children = path.read_text().split()
        except OSError:
            continue
        for child in children:
            try:
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
            except OSError:
                continue
    return found


def stored(folder: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of each stored result."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (folder / "results").glob("*.json")}


def kill_run(arguments: argparse.Namespace) -> dict[str, object]:
    """Kill at random until the kills are used up, then let the rest finish."""
    place = Path(arguments.folder or tempfile.mkdtemp())
    begun = time.time()
    serial = list(run_tasks(tasks(arguments.tasks, arguments.steps), place / "serial").results())
    seconds = time.time() - begun
    folder, choice = place / "killed", random.Random(arguments.seed)
    killed = {"workers": 0, "drivers": 0}
    first: dict[str, tuple[int, int]] = {}
    changed: set[str] = set()
    driver = start(arguments, folder)
    kills = ["workers"] * arguments.kills + ["drivers"] * arguments.drivers
    choice.shuffle(kills)
    gap = arguments.tasks / (len(kills) + 1)  # spread over the run, by the number of stored results
    while True:
        time.sleep(0.05)
        for name, state in stored(folder).items():
            if first.setdefault(name, state) != state:
                changed.add(name)
        if driver.poll() is not None:
            break
        done = sum(killed.values())
        if done < len(kills) and len(first) >= gap * done * 0.9:
            if kills[done] == "drivers":
                driver.kill()
                driver.wait()
                driver = start(arguments, folder)
                killed["drivers"] += 1
            elif alive := workers_of(driver.pid):
                os.kill(choice.choice(alive), signal.SIGKILL)
                killed["workers"] += 1
                time.sleep(choice.random())
    report = run_tasks(tasks(arguments.tasks, arguments.steps), folder)
    results = list(report.results())
    digest = hashlib.sha256(json.dumps(results).encode()).hexdigest()[:16]
    return {
        "tasks": arguments.tasks,
        "stored": report.stored,
        "killed": killed,
        "computed_again_after_stored": len(changed),
        "equal_to_serial": results == serial,
        "digest": digest,
        "serial_seconds": round(seconds, 1),
        "seconds": round(time.time() - begun - seconds, 1),
        "exit_code": driver.returncode,
    }


def queue_run(count: int) -> dict[str, object]:
    """Run many trivial tasks and measure time and memory of the driver."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.time()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as engine:
        many = (Task(f"n{number}", pow, (number, 2), identity=number) for number in range(count))
        report = run_tasks(many, folder, engine=engine, total=count)
    seconds = time.time() - begun
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    per_task = round(1e3 * seconds / count, 3)
    return {"queued": count, "done": len(report.keys), "grown_MB": round(grown, 1), "milliseconds_per_task": per_task}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("tasks", 200), ("workers", 2), ("kills", 20), ("drivers", 3), ("steps", 150_000), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", default="")
    parser.add_argument("--queue", type=int, default=0)
    parser.add_argument("--driver", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.driver:
        drive(arguments)
    else:
        print(json.dumps(queue_run(arguments.queue) if arguments.queue else kill_run(arguments)))


if __name__ == "__main__":
    main()
