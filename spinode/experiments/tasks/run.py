"""`run_tasks`: run many tasks on an engine until each has its result file, or has failed too often."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ...errors import ConfigError
from ...files import as_path
from ...typing import Progress
from ...validation import whole_number
from .task import BUSY, FAILED, Task, failure_path, make_folders, read_result, result_path, work

#: Seconds between two looks at what is running, and between two lines of progress.
POLL, REPORT = 0.2, 5.0

#: Seconds after which a task that another driver computes is tried again.
PATIENCE = 1.0

#: Seconds that a result file may need to appear on a shared file system after its worker has reported it.
FILE_DELAY = 30.0


class Engine(Protocol):
    """What runs tasks: `concurrent.futures` executors, a dask client, submitit's executors, those of `engines`."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Start a call somewhere, and return an object with `done()` and `result()`."""


@dataclass
class TaskReport:
    """What became of the tasks.

    Attributes:
        folder: Where the results are.
        keys: Keys of all tasks that have results, in the order of the tasks.
        stored: Number of results that were there before.
        failed: Reason of each task that failed too often, by name.
    """

    folder: Path
    keys: list[str] = field(default_factory=list)
    stored: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def results(self) -> Iterator[Any]:
        """Yield the results in the order of the tasks, one at a time.

        Raises:
            FitError: a damaged file.
        """
        for key in self.keys:
            yield read_result(self.folder, key)


@dataclass
class _Running:
    """A task that the engine has."""

    number: int
    task: Task
    key: str
    future: Any
    seen_done: float | None = None


def run_tasks(
    tasks: Iterable[Task],
    folder: str | Path,
    *,
    engine: Engine | None = None,
    retries: int = 2,
    queued: int = 64,
    progress: Progress | None = None,
    total: int | None = None,
) -> TaskReport:
    """Run tasks until each has its result file.

    A task is done when the folder contains the result of its key, whoever has computed it, and is then never computed
    again; what the engine reports only decides when a task without a result is tried again. So a killed driver or
    worker loses no more than the tasks that were running, and several drivers can work on one folder.

    Args:
        tasks: The tasks; an iterator is read as it is needed.
        folder: Folder of the results; created if it does not exist.
        engine: Where the tasks run, see `Engine`; this process if omitted.
        retries: How often a task is tried again after it has failed or its worker has died.
        queued: Largest number of tasks that are given to the engine at a time.
        progress: Receives a line every few seconds.
        total: Number of tasks, for the progress, where `tasks` has no length.

    Returns:
        Keys of the results, and the reasons of the tasks that failed.

    Raises:
        ConfigError: two tasks with one key, a folder that cannot be created, or an engine without `submit`.

    Example:
        >>> import tempfile
        >>> tasks = [Task(f"square {n}", pow, (n, 2)) for n in range(3)]
        >>> list(run_tasks(tasks, tempfile.mkdtemp()).results())
        [0, 1, 4]
    """
    whole_number("retries", retries, 0, 1000)
    if engine is not None and not callable(getattr(engine, "submit", None)):
        raise ConfigError(f"the engine is a {type(engine).__name__} without a method submit(function, *arguments).")
    place = as_path(folder, "folder")
    try:
        make_folders(place)
    except OSError as error:
        raise ConfigError(f"cannot create the folder {place}: {error.strerror or error}. Pass another folder.") from None
    if total is None:
        total = len(tasks) if isinstance(tasks, Sized) else None
    driver = _Driver(place, engine, retries, whole_number("queued", queued, 1, 1_000_000), progress, total)
    return driver.run(tasks)


class _Driver:
    """The loop of `run_tasks`."""

    def __init__(
        self, folder: Path, engine: Engine | None, retries: int, queued: int, progress: Progress | None, total: int | None
    ) -> None:
        self.folder, self.engine, self.retries, self.queued = folder, engine, retries, queued
        self.progress, self.total = progress, total
        self.running: list[_Running] = []
        self.later: list[tuple[float, int, Task, str]] = []
        self.attempts: dict[str, int] = {}
        self.done: dict[int, str] = {}
        self.seen: set[str] = set()
        self.report = TaskReport(folder)
        self.begun = self.reported = time.monotonic()

    def run(self, tasks: Iterable[Task]) -> TaskReport:
        waiting = enumerate(tasks)
        while True:
            self._fill(waiting)
            if not self.running and not self.later:
                break
            self._collect()
            self._say(False)
        self._say(True)
        self.report.keys = [key for _, key in sorted(self.done.items())]
        return self.report

    def _fill(self, waiting: Iterator[tuple[int, Task]]) -> None:
        """Give tasks to the engine, those first that are to be tried again."""
        new: list[tuple[int, Task, str]] = []
        now = time.monotonic()
        due = [entry for entry in self.later if entry[0] <= now]
        self.later = [entry for entry in self.later if entry[0] > now]
        for _, number, task, key in due:
            self._start(number, task, key, new)
        room = self.queued - len(self.running) - len(self.later) - len(new)
        while room > 0:
            part = list(itertools.islice(waiting, room))
            for number, task in part:
                key = task.key
                if key in self.seen:
                    raise ConfigError(f"two tasks have the key {key}; give each its own name, or leave one of them out.")
                self.seen.add(key)
                self._start(number, task, key, new)
            if not part:
                break
            room = self.queued - len(self.running) - len(self.later) - len(new)
            self._say(False)
        self._submit(new)

    def _start(self, number: int, task: Task, key: str, new: list[tuple[int, Task, str]]) -> None:
        if result_path(self.folder, key).exists():
            self.done[number] = key
            self.report.stored += key not in self.attempts
            return
        self.attempts.setdefault(key, 0)
        if self.engine is None:
            finished: Future[str] = Future()
            finished.set_result(work(task, key, str(self.folder)))
            self._settle(_Running(number, task, key, finished))
        else:
            new.append((number, task, key))

    def _submit(self, new: list[tuple[int, Task, str]]) -> None:
        if not new:
            return
        assert self.engine is not None
        calls = [(task, key, str(self.folder)) for _, task, key in new]
        together = getattr(self.engine, "submit_many", None)
        futures = together(work, calls) if together is not None else [self.engine.submit(work, *call) for call in calls]
        self.running += [_Running(*each, future) for each, future in zip(new, futures, strict=True)]

    def _collect(self) -> None:
        """Wait a little, and settle what has ended."""
        standard = [each.future for each in self.running if isinstance(each.future, Future)]
        if standard and len(standard) == len(self.running):
            wait(standard, timeout=POLL, return_when="FIRST_COMPLETED")
        else:
            time.sleep(POLL)
        pending = []
        for each in self.running:
            if each.future.done() or (not isinstance(each.future, Future) and result_path(self.folder, each.key).exists()):
                if not self._settle(each):
                    pending.append(each)
            else:
                pending.append(each)
        self.running = pending

    def _settle(self, each: _Running) -> bool:
        """Decide what becomes of a task that has ended; False if its result file is still expected."""
        if result_path(self.folder, each.key).exists():
            self.done[each.number] = each.key
            self.attempts.pop(each.key, None)
            return True
        reported, reason = _outcome(each.future)
        if reported == BUSY:
            self.later.append((time.monotonic() + PATIENCE, each.number, each.task, each.key))
            return True
        if reported not in (FAILED, None):  # done, but its file has not come yet
            each.seen_done = each.seen_done or time.monotonic()
            if time.monotonic() - each.seen_done < FILE_DELAY:
                return False
            reason = "the worker reported a result, but its file did not appear"
        if reported == FAILED:
            reason = _stored_reason(self.folder, each.key)
        self.attempts[each.key] = self.attempts.get(each.key, 0) + 1
        if self.attempts[each.key] <= self.retries:
            self.later.append((time.monotonic(), each.number, each.task, each.key))
        else:
            self.report.failed[each.task.name] = reason
            self.attempts.pop(each.key)
        return True

    def _say(self, last: bool) -> None:
        now = time.monotonic()
        if self.progress is None or (now - self.reported < REPORT and not last):
            return
        self.reported = now
        finished = len(self.done) - self.report.stored
        of = "" if self.total is None else f" of {self.total}"
        line = f"{len(self.done)}{of} tasks"
        if self.report.failed:
            line += f", {len(self.report.failed)} failed"
        if self.total is not None and finished and not last:
            left = (self.total - len(self.done)) * (now - self.begun) / finished
            line += f", about {left / 60:.0f} min left" if left > 90 else f", about {left:.0f} s left"
        self.progress(line)


def _outcome(future: Any) -> tuple[str | None, str]:
    """Return what a worker has reported, None if it died, and the reason."""
    try:
        return future.result(), ""
    except Exception as error:  # of whichever engine
        return None, f"{type(error).__name__}: {error}"


def _stored_reason(folder: Path, key: str) -> str:
    try:
        return str(json.loads(failure_path(folder, key).read_text())["reason"])
    except (OSError, ValueError, KeyError):
        return "it failed, and the file with the reason is missing"
