"""Does a run that is killed at random instants, and resumed, end with the numbers of a whole one? One JSON line a kind.

    python benchmarks/reliability/kills.py [--kills 15] [--only fit train ...] [--seed 0]

Each kind of run is first done once without interruption. Then it is started again and again and killed by SIGKILL after a
random part of that time, until the given number of kills is reached and the last run has ended by itself; a finished run begins
again in an empty folder. `different` counts runs whose numbers differ in one bit, `failed` those that ended with an error, and
`left` processes that a killed run left behind. Runs are forks of one process that has imported everything, so that kills hit
the computation and not the imports; only runs of two processes start new ones.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _kill_jobs import JOBS

#: Longest time of one run [s] before it counts as hanging.
_MAX_SECONDS = 900.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=15, help="kills of each kind of run")
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--seed", type=int, default=0, help="seed of the instants")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.only:
        print(json.dumps(count(name, options.kills, random.Random(f"{options.seed} {name}"))), flush=True)


def count(name: str, kills: int, chance: random.Random) -> dict[str, Any]:
    """Return the counts of one kind of run."""
    line: dict[str, Any] = {"kind": "kills", "run": name, "kills": 0, "finished": 0, "different": 0, "failed": 0, "left": 0}
    root = Path(tempfile.mkdtemp(prefix="spinode-kills-"))
    started = time.monotonic()
    try:
        expected, length = attempt(name, root / "whole", root / "result", None)
        if expected is None:
            return {**line, "failed": 1, "message": "the run without kills has failed"}
        fresh, folder = 0, root / "run-0"
        while line["kills"] < kills or folder.exists():
            after = chance.uniform(0, 1.1 * length) if line["kills"] < kills else None
            found, _ = attempt(name, folder, root / "result", after)
            line["left"] += descendants_left(folder)
            if found == "killed":
                line["kills"] += 1
                continue
            line["finished" if found is not None else "failed"] += 1
            line["different"] += found is not None and found != expected
            shutil.rmtree(folder, ignore_errors=True)
            fresh += 1
            folder = root / f"run-{fresh}"
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return {**line, "seconds_of_a_run": round(length, 2), "seconds": round(time.monotonic() - started, 1)}


def attempt(name: str, folder: Path, result: Path, kill_after: float | None) -> tuple[str | None, float]:
    """Return the digest of a run, "killed", or None if it has failed; and its time [s]."""
    folder.mkdir(exist_ok=True)
    result.unlink(missing_ok=True)
    begin = time.monotonic()
    process = multiprocessing.get_context("fork").Process(target=_child, args=(name, folder, result))
    process.start()
    process.join(_MAX_SECONDS if kill_after is None else kill_after)
    alive = process.is_alive()
    if alive and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    elapsed = time.monotonic() - begin
    if alive:
        return (None if kill_after is None else "killed"), elapsed
    return (result.read_text() if result.exists() else None), elapsed


def _child(name: str, folder: Path, result: Path) -> None:
    os.environ["SPINODE_KILLS"] = str(folder)  # seen in the processes that the run starts
    try:
        digest = JOBS[name](folder)
    except BaseException:
        traceback.print_exc()
        raise
    result.write_text(digest)


def descendants_left(folder: Path) -> int:
    """Return how many processes still run ten seconds later that have the folder of a run in their command or environment."""
    mark = str(folder).encode()
    for _ in range(100):
        left = 0
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    left += mark in (entry / "environ").read_bytes() or mark in (entry / "cmdline").read_bytes()
                except OSError:
                    continue
        if not left:
            return 0
        time.sleep(0.1)
    return left


if __name__ == "__main__":
    main()
