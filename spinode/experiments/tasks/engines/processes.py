"""Processes on this machine: one for each worker, replaced when it dies, so that only its own task is lost."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from ....errors import FitError
from ....validation import whole_number


class WorkerDied(FitError):
    """A worker process ended while it had a task."""


class ProcessEngine:
    """Worker processes of the standard library.

    Unlike `concurrent.futures.ProcessPoolExecutor`, whose whole pool breaks when one worker is killed. Each worker uses one
    thread. If the driver is killed, workers end after their present task, whose result is stored.

    Args:
        workers: Number of processes.

    Example:
        >>> with ProcessEngine(1) as engine:
        ...     engine.submit(pow, 2, 3).result()
        8
    """

    def __init__(self, workers: int = 1) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._context = get_context("spawn")
        self.pids: list[int | None] = [None] * whole_number("workers", workers, 1, 1024)
        self._closed = False
        self._threads = [threading.Thread(target=self._serve, args=(place,), daemon=True) for place in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Queue a call and return its future, which raises `WorkerDied` if the process ends."""
        future: Future[Any] = Future()
        self._queue.put((future, function, arguments))
        return future

    def close(self) -> None:
        """End the workers after their present tasks; what is queued is cancelled."""
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> ProcessEngine:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _serve(self, place: int) -> None:
        """Pass calls to one worker, and start another one when it has died."""
        process, channel = None, None
        while True:
            item = self._queue.get()
            if item is None:
                break
            future, function, arguments = item
            if self._closed or not future.set_running_or_notify_cancel():
                future.cancel()
                continue
            if process is None or not process.is_alive():
                process, channel = self._worker(place)
            assert channel is not None
            try:
                channel.send((function, arguments))
                error, value = channel.recv()
            except (EOFError, OSError):
                process.join(5)
                future.set_exception(WorkerDied(f"the worker process ended with exit code {process.exitcode}; out of memory?"))
                process = None
                continue
            except Exception as failure:  # arguments that cannot be pickled
                future.set_exception(failure)
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
        if process is not None and channel is not None:
            channel.close()
            process.join(30)

    def _worker(self, place: int) -> tuple[Any, Connection]:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_loop, args=(there,), daemon=True)
        process.start()
        there.close()
        self.pids[place] = process.pid
        return process, here


def _loop(channel: Connection) -> None:  # pragma: no cover - runs in the new processes
    """Answer calls until the driver is gone."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    while True:
        try:
            function, arguments = channel.recv()
        except (EOFError, OSError):
            return
        error: Exception | None = None
        value = None
        try:
            value = function(*arguments)
        except Exception as failure:  # passed to the driver
            error = failure
        try:
            channel.send((error, value))
        except (BrokenPipeError, OSError):
            return
        except Exception as failure:  # a value that cannot be pickled
            channel.send((FitError(f"the result cannot be passed on: {failure}"), None))
