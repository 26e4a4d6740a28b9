"""The task runner under kills: workers and drivers are killed at random instants, and the results compared with a serial run.

    python benchmarks/reliability/tasks.py [--tasks 200] [--workers 2] [--worker-kills 20] [--driver-kills 3] [--seed 0]

Each task makes a random walk from its own seed, which takes about a tenth of a second, and leaves a line when its result is
about to be stored. A driver is a process of its own with its worker processes. The first line has the numbers of kills, of
results that are missing or differ in a bit from the serial run, and of tasks that were computed again after their result was
stored; further lines have the overhead of the engine beside tasks of one second, and the memory of many queued tasks.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from spinode.experiments.tasks.engines.processes import ProcessEngine
from spinode.experiments.tasks.run import run_tasks
from spinode.experiments.tasks.task import Task

#: Seconds of a task, and seconds between two kills.
LENGTH, BETWEEN = 0.1, (0.2, 1.2)


def walk(seed: int, log: str) -> dict[str, float]:
    """Return figures of a random walk, after a line in the log of what was computed, with the time."""
    end = time.monotonic() + LENGTH
    walked = np.random.default_rng(seed).standard_normal(1000).cumsum()
    while time.monotonic() < end:
        time.sleep(0.01)
    with Path(log).open("a") as file:
        file.write(f"{seed} {time.time():.6f}\n")
    return {"last": float(walked[-1]), "highest": float(walked.max())}


def make_tasks(count: int, folder: Path) -> list[Task]:
    """Return the tasks."""
    return [Task(f"walk {seed}", walk, (seed, str(folder / "log")), identity=seed) for seed in range(count)]


def drive(count: int, workers: int, folder: Path) -> None:
    """Run the tasks in this process, with worker processes whose numbers stand in a file."""
    with ProcessEngine(workers) as engine:
        (folder / "driver").write_text(str(os.getpid()))

        def note(line: str) -> None:
            (folder / "pids").write_text(" ".join(str(pid) for pid in engine.pids if pid))

        note("")
        run_tasks(make_tasks(count, folder), folder / "run", engine=_Noting(engine, note), retries=1000, queued=8)


class _Noting:
    """An engine that writes down the workers with each call."""

    def __init__(self, engine: ProcessEngine, note: object) -> None:
        self.engine, self.note = engine, note

    def submit(self, function: object, /, *arguments: object) -> object:
        self.note("")  # type: ignore[operator]
        return self.engine.submit(function, *arguments)  # type: ignore[arg-type]


def results(folder: Path) -> dict[str, str]:
    """Return the stored results as text, by file name."""
    files = sorted((folder / "run" / "results").glob("*.json"))
    return {file.name: json.dumps(json.loads(file.read_text())["result"]) for file in files}


def under_kills(options: argparse.Namespace, folder: Path) -> dict[str, int]:
    """Run the tasks to their end under kills; return the numbers of kills."""
    chance = random.Random(options.seed)
    left = {"worker": options.worker_kills, "driver": options.driver_kills}
    done = {"worker": 0, "driver": 0}
    settings = ["--tasks", str(options.tasks), "--workers", str(options.workers), "--drive", str(folder)]
    noted = folder / "pids"
    while True:
        driver = subprocess.Popen([sys.executable, __file__, *settings])
        while driver.poll() is None:
            time.sleep(chance.uniform(*BETWEEN))
            kinds = [kind for kind, count in left.items() for _ in range(count)]
            if not kinds or driver.poll() is not None:
                continue
            kind = chance.choice(kinds)
            workers = noted.read_text().split() if noted.exists() else []
            pids = [driver.pid] if kind == "driver" else [int(pid) for pid in workers]
            if not pids:
                continue
            try:
                os.kill(chance.choice(pids), signal.SIGKILL)
            except ProcessLookupError:
                continue
            left[kind] -= 1
            done[kind] += 1
        if driver.returncode == 0:
            return done


def computed_again(folder: Path) -> int:
    """Return how many tasks were computed after their result was stored."""
    stored = {file.name.split("-")[1]: file.stat().st_mtime for file in (folder / "run" / "results").glob("*.json")}
    lines = [line.split() for line in (folder / "log").read_text().splitlines()]
    return sum(float(when) > stored[seed] + 0.05 for seed, when in lines)


def overhead(length: float, count: int) -> dict[str, float]:
    """Return the wall time of tasks on one worker over the time that they take alone."""
    with tempfile.TemporaryDirectory() as place, ProcessEngine(1) as engine:
        engine.submit(time.sleep, 0).result()  # the worker has started
        begun = time.monotonic()
        tasks = [Task(f"sleep {k}", time.sleep, (length + 1e-9 * k,)) for k in range(count)]
        run_tasks(tasks, place, engine=engine)
        return {"seconds_of_a_task": length, "tasks": count, "overhead": (time.monotonic() - begun) / (length * count) - 1}


class _Nothing:
    """An engine that drops what it is given, as a full queue would."""

    def submit(self, function: object, /, *arguments: object) -> object:
        function(*arguments)  # type: ignore[operator]
        from concurrent.futures import Future

        future: Future[object] = Future()
        future.set_result("done")
        return future


def queue_memory(count: int) -> dict[str, float]:
    """Return the memory [MB] that so many tasks of nothing add to this process, and the seconds of the driver for each."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        run_tasks((Task(f"{k}", abs, (k,)) for k in range(count)), place, engine=_Nothing(), total=count)
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    return {"queued": count, "megabytes": added, "milliseconds_of_a_task": 1e3 * (time.monotonic() - begun) / count}


def main() -> None:
    """Print the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--worker-kills", type=int, default=20)
    parser.add_argument("--driver-kills", type=int, default=3)
    parser.add_argument("--queued", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive is not None:
        drive(options.tasks, options.workers, options.drive)
        return
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        serial, killed = Path(first), Path(second)
        kills = under_kills(options, killed)
        run_tasks(make_tasks(options.tasks, serial), serial / "run")
        expected, found = results(serial), results(killed)
        line = {
            "tasks": options.tasks,
            "worker_kills": kills["worker"],
            "driver_kills": kills["driver"],
            "missing": len(expected.keys() - found.keys()),
            "different": sum(found.get(name, text) != text for name, text in expected.items()),
            "computed_again_after_storing": computed_again(killed),
        }
        print(json.dumps(line), flush=True)
    print(json.dumps(overhead(1.0, 10)), flush=True)
    print(json.dumps(queue_memory(options.queued)), flush=True)


if __name__ == "__main__":
    main()
