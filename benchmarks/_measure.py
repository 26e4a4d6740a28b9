"""Shared parts of the benchmarks: pinned cores, a process for each implementation, medians with their spread, JSON lines."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import platform
import statistics
import time
import traceback
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

#: Variables that set the number of threads of the libraries underneath. They are read when these are loaded, so they must be
#: set before a process starts.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def emit(**line: Any) -> None:
    """Print one JSON line, with numbers rounded to four significant digits."""
    print(json.dumps(rounded(line)), flush=True)


def rounded(value: Any) -> Any:
    """Return plain values with floats of four significant digits; NaN and infinity as strings, which JSON lacks."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if abs(value) < float("inf") else str(value)
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def pin(cores: int) -> list[int]:
    """Pin this process and its threads to the last cores that it may use; return these, or [] where pinning is impossible."""
    import torch

    torch.set_num_threads(cores)
    if not hasattr(os, "sched_setaffinity"):
        return []
    chosen = sorted(os.sched_getaffinity(0))[-cores:]
    os.sched_setaffinity(0, chosen)
    return chosen


def machine() -> dict[str, Any]:
    """Return processor, cores, load and versions, to be printed with every measurement."""
    import spinode.kernels

    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        processor = names[0] if names else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "kernels": spinode.kernels.info(),
        "versions": {"python": platform.python_version()}
        | {name: installed(name) for name in ("spinode", "torch", "numpy", "torchdiffeq", "jax", "diffrax", "optax")},
    }


def installed(name: str) -> str | None:
    """Return the version of a distribution, or None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def native() -> bool:
    """Return True if `spinode.rollout` runs compiled kernels here."""
    import spinode.kernels

    return bool(spinode.kernels.info()["native"]) and spinode.kernels.mode() != "torch"


def process_seconds() -> float:
    """Return processor seconds of this process, with those of its threads and of child processes that have ended."""
    return time.process_time() + sum(os.times()[2:4])


def timed(work: Callable[[], Any], seconds: float, min_calls: int = 1, max_calls: int = 1000) -> list[tuple[float, float]]:
    """Call `work` for about `seconds` and return (process CPU seconds, wall seconds) of each call.

    The garbage collector is off meanwhile, as with `timeit`.
    """
    times: list[tuple[float, float]] = []
    gc.disable()
    try:
        end = time.perf_counter() + seconds
        while len(times) < min_calls or (time.perf_counter() < end and len(times) < max_calls):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            times.append((time.process_time() - cpu, time.perf_counter() - wall))
    finally:
        gc.enable()
    return times


def spread(values: Iterable[float]) -> dict[str, Any]:
    """Return median, quartiles, range and number of the values."""
    ordered = sorted(values)
    low, _, high = statistics.quantiles(ordered, n=4, method="inclusive") if len(ordered) > 1 else ordered * 3
    return {
        "median": statistics.median(ordered),
        "quartiles": [low, high],
        "range": [ordered[0], ordered[-1]],
        "repetitions": len(ordered),
    }


class WorkerError(RuntimeError):
    """A worker process raised an exception, or ended."""


class Worker:
    """An object in a process of its own, pinned to its cores; `call` runs its methods.

    Args:
        make: Function that creates the object, called in the new process.
        *args: Arguments of `make`.
        cores: Number of cores, and of threads of torch, of the process.
    """

    def __init__(self, make: Callable[..., Any], *args: Any, cores: int = 1) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would inherit torch and its threads
        self._pipe, child_pipe = context.Pipe()
        self._process = context.Process(target=_serve, args=(child_pipe, make, args, cores), daemon=True)
        before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(cores)))
        try:
            self._process.start()
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        child_pipe.close()
        self._cores: list[int] | None = None

    @property
    def cores(self) -> list[int]:
        """Wait until the object is created, and return the cores that the process is pinned to.

        Raises:
            WorkerError: The object could not be created.
        """
        if self._cores is None:
            self._cores = self._receive()
        return self._cores

    def call(self, method: str, *args: Any) -> Any:
        """Call a method of the object and return its result.

        Raises:
            WorkerError: The method raised (its traceback is printed to the standard error), or the process ended.
        """
        try:
            _ = self.cores
            self._pipe.send((method, args))
        except OSError as error:
            raise WorkerError(f"the process has ended: {error}") from None
        return self._receive()

    def _receive(self) -> Any:
        try:
            succeeded, result = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise WorkerError(f"the process ended with code {self._process.exitcode}") from None
        if not succeeded:
            raise WorkerError(result)
        return result

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.terminate()


def _serve(pipe: Any, make: Callable[..., Any], args: tuple[Any, ...], cores: int) -> None:
    def send_error(error: Exception) -> None:
        traceback.print_exc()
        pipe.send((False, f"{type(error).__name__}: {error}"))

    try:
        chosen = pin(cores)
        served = make(*args)
        pipe.send((True, chosen))
    except Exception as error:
        send_error(error)
        return
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((True, getattr(served, method)(*arguments)))
        except Exception as error:
            send_error(error)
