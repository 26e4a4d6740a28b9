"""The task runner: result files decide what is done, whatever happens to workers, drivers and results."""

from __future__ import annotations

import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spinode.errors import ConfigError, FitError
from spinode.experiments.tasks.engines.choose import open_engine
from spinode.experiments.tasks.engines.processes import ProcessEngine
from spinode.experiments.tasks.run import run_tasks
from spinode.experiments.tasks.task import Task, result_path


def cube(number: int, log: str) -> dict[str, float]:
    """Return a plain result, and leave a line that says so."""
    with Path(log).open("a") as file:
        file.write(f"{number}\n")
    return {"cube": number**3, "third": number / 3}


def dies_once(marker: str) -> str:
    """Kill the own process the first time."""
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def fails(text: str) -> None:
    raise ValueError(text)


def cubes(folder: Path, count: int = 12) -> list[Task]:
    return [Task(f"cube {n}", cube, (n, str(folder / "log")), identity=n) for n in range(count)]


def computed(folder: Path) -> list[int]:
    return sorted(int(line) for line in (folder / "log").read_text().split())


def stored(folder: Path) -> dict[str, object]:
    return {path.name: json.loads(path.read_text())["result"] for path in (folder / "results").iterdir()}


@pytest.mark.parametrize("name", ["serial", "processes"])
def test_every_task_is_computed_once(tmp_path, name):
    with open_engine(name, workers=2) as engine:
        report = run_tasks(cubes(tmp_path), tmp_path / "run", engine=engine, queued=5)
        again = run_tasks(cubes(tmp_path), tmp_path / "run", engine=engine)
    assert [result["cube"] for result in report.results()] == [n**3 for n in range(12)]
    assert list(again.results()) == list(report.results())
    assert (report.stored, again.stored) == (0, 12)
    assert computed(tmp_path) == list(range(12))


def test_engines_give_equal_results(tmp_path):
    with ThreadPoolExecutor(3) as pool:  # whatever has `submit`
        run_tasks(cubes(tmp_path), tmp_path / "pool", engine=pool)
    run_tasks(cubes(tmp_path), tmp_path / "serial")
    assert stored(tmp_path / "pool") == stored(tmp_path / "serial")


def test_a_killed_worker_costs_its_own_task_only(tmp_path):
    tasks = [Task("dies", dies_once, (str(tmp_path / "marker"),)), *cubes(tmp_path, 6)]
    with ProcessEngine(2) as engine:
        report = run_tasks(tasks, tmp_path / "run", engine=engine)
    assert next(report.results()) == "alive"
    assert report.failed == {}
    assert computed(tmp_path) == list(range(6))


def test_tasks_that_fail_are_tried_again_and_then_listed(tmp_path):
    with ProcessEngine(1) as engine:
        report = run_tasks([Task("bad", fails, ("no such wafer",)), *cubes(tmp_path, 2)], tmp_path / "run", engine=engine)
    assert report.failed == {"bad": "ValueError: no such wafer"}
    assert len(report.keys) == 2
    died = [Task("dies", os.kill, (os.getpid(), 0)), Task("exits", os._exit, (3,))]
    with ProcessEngine(1) as engine:
        report = run_tasks(died, tmp_path / "other", engine=engine, retries=1)
    assert "exit code 3" in report.failed["exits"]


def test_two_drivers_share_a_folder(tmp_path):
    reports = {}

    def drive(name: str) -> None:
        with ThreadPoolExecutor(2) as pool:
            reports[name] = list(run_tasks(cubes(tmp_path, 40), tmp_path / "run", engine=pool, queued=4).results())

    threads = [threading.Thread(target=drive, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reports["a"] == reports["b"]
    assert computed(tmp_path) == list(range(40))


def test_what_shapes_a_result_makes_the_key(tmp_path):
    log = str(tmp_path)
    same = Task("cube", cube, (3, log), identity=3).key
    assert Task("cube", cube, (3, "elsewhere"), identity=3).key == same
    assert Task("cube", cube, (4, log), identity=4).key != same
    assert Task("cube", fails, (3, log), identity=3).key != same


def test_bad_input_is_refused(tmp_path):
    twice = [Task("one", abs, (1,)), Task("one", abs, (1,))]
    with pytest.raises(ConfigError, match="two tasks have the key one-"):
        run_tasks(twice, tmp_path / "run")
    with pytest.raises(ConfigError, match="without a method submit"):
        run_tasks([], tmp_path, engine=object())
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot create the folder"):
        run_tasks([], tmp_path / "file" / "run")
    with pytest.raises(ConfigError, match="engine is 'slurmy'; expected one of serial"), open_engine("slurmy"):
        pass


def test_a_damaged_result_is_refused(tmp_path):
    (task,) = cubes(tmp_path, 1)
    report = run_tasks([task], tmp_path / "run")
    path = result_path(tmp_path / "run", task.key)
    path.write_text(path.read_text().replace('"cube": 0', '"cube": 1'))
    with pytest.raises(FitError, match="do not match their digest"):
        next(report.results())


# submitit leaves its own processes to the system
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_submitit_runs_tasks(tmp_path):
    pytest.importorskip("submitit", reason="SLURM jobs need submitit")
    with open_engine("submitit-local", folder=tmp_path / "jobs", options={"timeout_min": 5}) as engine:
        report = run_tasks([Task("cube", pow, (3, 3))], tmp_path / "run", engine=engine)
    assert list(report.results()) == [27]
