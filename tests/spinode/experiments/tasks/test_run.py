"""Result files decide what is done: whatever dies, each task is there once, and equal to the serial run."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from spinode.errors import ConfigError, FitError
from spinode.experiments.tasks.engines.choose import open_engine
from spinode.experiments.tasks.engines.processes import ProcessEngine, WorkerDied
from spinode.experiments.tasks.run import run_tasks
from spinode.experiments.tasks.task import BUSY, Task, make_folders, read_result, result_path, work


def test_a_stored_result_is_never_computed_again(tmp_path):
    tasks = [Task(f"square {n}", pow, (n, 2)) for n in range(5)]
    first = run_tasks(tasks[:3], tmp_path)
    times = {key: result_path(tmp_path, key).stat().st_mtime_ns for key in first.keys}
    second = run_tasks(tasks, tmp_path)
    assert (first.stored, second.stored) == (0, 3)
    assert list(second.results()) == [0, 1, 4, 9, 16]
    assert {key: result_path(tmp_path, key).stat().st_mtime_ns for key in first.keys} == times


def test_a_task_that_fails_is_tried_again_and_then_listed(tmp_path):
    report = run_tasks([Task("wrong", pow, (0, -1)), Task("right", pow, (2, 2))], tmp_path, retries=1)
    assert list(report.results()) == [4]
    assert report.failed["wrong"].startswith("ZeroDivisionError")


def test_the_key_names_data_and_settings():
    assert Task("a", pow, (1, 2)).key != Task("a", pow, (1, 3)).key
    assert Task("a/b c", pow, (1, 2)).key.startswith("a-b-c-")


def test_two_tasks_with_one_key_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="two tasks"):
        run_tasks([Task("a", pow, (1, 2))] * 2, tmp_path)
    with pytest.raises(ConfigError, match="submit"):
        run_tasks([], tmp_path, engine=object())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="expected one of serial"), open_engine("nonsense"):
        pass


def test_a_damaged_result_is_refused(tmp_path):
    key = run_tasks([Task("a", pow, (2, 3))], tmp_path).keys[0]
    path = result_path(tmp_path, key)
    path.write_text(path.read_text().replace("8", "9", 1))
    with pytest.raises(FitError, match="Delete it"):
        read_result(tmp_path, key)


def test_a_task_that_another_worker_has_is_left_to_it(tmp_path):
    make_folders(tmp_path)
    task = Task("slow", time.sleep, (0.4,))
    other = threading.Thread(target=work, args=(task, task.key, str(tmp_path)))
    other.start()
    time.sleep(0.1)
    assert work(task, task.key, str(tmp_path)) == BUSY
    report = run_tasks([task], tmp_path, retries=0)  # waits for the other one
    other.join()
    assert report.keys == [task.key]


def test_any_executor_with_submit_will_do_and_reads_tasks_as_it_needs_them(tmp_path):
    taken = []

    def tasks():  # type: ignore[no-untyped-def]
        for n in range(40):
            taken.append(n)
            assert n - sum(1 for _ in (tmp_path / "results").glob("*.json")) <= 8
            yield Task(f"n{n}", pow, (n, 2))

    with ThreadPoolExecutor(2) as engine:
        report = run_tasks(tasks(), tmp_path, engine=engine, queued=8)
    assert list(report.results()) == [n * n for n in range(40)]


@pytest.mark.slow
def test_killed_workers_lose_no_more_than_their_own_task(tmp_path):
    tasks = [Task(f"sum {n}", sum, (range(3_000_000 + n),), identity=n) for n in range(12)]
    serial = list(run_tasks(tasks, tmp_path / "serial").results())
    killed = 0
    stop = threading.Event()

    with ProcessEngine(2) as engine:

        def kill():
            nonlocal killed
            while killed < 2 and not stop.wait(0.2):
                stored = len(list((tmp_path / "killed" / "results").glob("*.json")))
                pid = engine.pids[killed]
                if pid is not None and stored > 2 * killed:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1

        killer = threading.Thread(target=kill)
        killer.start()
        report = run_tasks(tasks, tmp_path / "killed", engine=engine, retries=5)
        stop.set()
        killer.join()
    assert killed == 2
    assert report.failed == {}
    assert list(report.results()) == serial


@pytest.mark.slow
def test_the_death_of_a_worker_is_reported():
    with ProcessEngine(1) as engine:
        with pytest.raises(WorkerDied, match="exit code"):
            engine.submit(os._exit, 3).result(60)
        assert engine.submit(pow, 2, 3).result(60) == 8


# submitit leaves its own processes to the system
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_submitit_runs_tasks(tmp_path):
    pytest.importorskip("submitit", reason="SLURM jobs need submitit")
    with open_engine("submitit-local", folder=tmp_path / "jobs", options={"timeout_min": 5}) as engine:
        report = run_tasks([Task("cube", pow, (3, 3))], tmp_path / "run", engine=engine)
    assert list(report.results()) == [27]
