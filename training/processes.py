"""`run_in_processes`: several processes share a run; their start, their messages and their end."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import socket
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.context import SpawnProcess
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import torch

from ..contracts.task_stream import TaskStream
from ..errors import ConfigError, FitError, SpinodeError
from ..typing import Progress
from .config import StreamConfig
from .learners.learner import Learner
from .results.metrics import AccuracyMatrix
from .results.result import StreamResult
from .stream_run import RunOptions, run_stream

#: Maximal number of processes: a batch is small, and more processes than processors only wait.
MAX_PROCESSES = 64
#: Seconds between two checks for processes that died.
POLL_SECONDS = 0.2


def run_in_processes(
    processes: int,
    learner: Learner,
    stream: TaskStream,
    config: StreamConfig,
    progress: Progress | None,
    options: RunOptions,
) -> StreamResult:
    """Train a learner in several new processes that share each batch and average their gradients.

    The processes are spawned. Lightning's own "ddp" runs the command again instead, which works from scripts only, and a fork
    would inherit the threads of torch.

    Args:
        processes: Number of processes.
        learner: It is changed as `train` changes it.
        stream: What it learns.
        config: How it goes through the stream.
        progress: Receives the lines of the first process.
        options: Further arguments of `train`.

    Raises:
        ConfigError: a learner without parameters that have gradients; arguments that cannot be pickled; as `train`.
        FitError: a process failed or died.
    """
    if not any(parameter.requires_grad for parameter in learner.parameters()):
        raise ConfigError(
            f"{learner.rule} has no gradients that {processes} processes could average: it runs in one process. Pass "
            "processes=1."
        )
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    with tempfile.TemporaryDirectory(prefix="spinode-") as folder:
        target = str(Path(folder) / "result.pt")
        job = _pickled((learner, stream, config, options, progress is not None, target))
        environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(processes)}
        threads = max(1, torch.get_num_threads() // processes)
        workers = [
            context.Process(target=_work, args=(rank, processes, environment, threads, messages, job), daemon=True)
            for rank in range(processes)
        ]
        try:
            with _interrupts_ignored():  # by the workers, which inherit this: Ctrl-C reaches all processes of a terminal
                for worker in workers:
                    worker.start()
            _receive(workers, messages, progress)
            for worker in workers:
                worker.join(10)
        finally:
            for worker in workers:
                if worker.pid is not None:
                    worker.kill()  # the others would wait forever for one that failed
                    worker.join()
        stored = torch.load(target, map_location="cpu", weights_only=True)
    learner.load_state_dict(stored["state"])
    for name, generator in learner.generators():
        generator.set_state(stored["generators"][name])
    return _result_from_plain(stored["result"])


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # signal handlers belong to the main thread
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _pickled(job: tuple[Any, ...]) -> bytes:
    """Return the job as bytes: tensors passed as arguments of a process would share memory with it."""
    try:
        return pickle.dumps(job)
    except (AttributeError, TypeError, ValueError, RuntimeError, pickle.PicklingError) as error:
        raise ConfigError(
            f"several processes need arguments that can be pickled: {error}. Define classes and functions at the top of a "
            "module; pass no lambda, open file or running object."
        ) from None


def _receive(workers: list[SpawnProcess], messages: Any, progress: Progress | None) -> None:
    """Handle messages until the first process is done."""
    while True:
        try:
            kind, value = messages.get(timeout=POLL_SECONDS)
        except Empty:
            dead = [worker for worker in workers if worker.exitcode not in (None, 0)]
            if dead:
                raise FitError(
                    f"one of {len(workers)} processes ended with exit code {dead[0].exitcode}; it may have run out of memory, "
                    "or a script that calls `train` lacks `if __name__ == '__main__':`."
                ) from None
            continue
        if kind == "line" and progress is not None:
            progress(value)
        elif kind == "error":
            raise value
        elif kind == "done":
            return


def _work(
    rank: int, processes: int, environment: dict[str, str], threads: int, messages: Any, job: bytes
) -> None:  # pragma: no cover - runs in the new processes
    """Run the job in one of the processes."""
    os.environ.update(environment, LOCAL_RANK=str(rank), NODE_RANK="0")  # so that Lightning starts no processes itself
    torch.set_num_threads(threads)
    learner, stream, config, options, reports, target = pickle.loads(job)  # noqa: S301 - pickled by the parent process
    progress = (lambda line: messages.put(("line", line))) if rank == 0 and reports else None
    trainer = {**options.trainer, "devices": processes, "strategy": "ddp", "num_nodes": 1}
    if rank:
        trainer["logger"] = False
    try:
        result = run_stream(learner, stream, config, progress, replace(options, trainer=trainer))
        if rank == 0:
            generators = {name: generator.get_state() for name, generator in learner.generators()}
            torch.save({"result": _plain_result(result), "state": learner.state_dict(), "generators": generators}, target)
            messages.put(("done", None))
    except SpinodeError as error:
        messages.put(("error", error))
    except BaseException as error:
        messages.put(("error", _failure(rank, processes, error)))


def _failure(rank: int, processes: int, error: BaseException) -> FitError:
    """Return the error of a process that failed: its last line, without the traceback of a process that no longer exists."""
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    return FitError(f"process {rank} of {processes} failed with {lines[0]}. Run with processes=1 for the whole traceback.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _plain_result(result: StreamResult) -> dict[str, Any]:
    """Return a result as tensors and plain values."""
    matrices = {
        view: (torch.from_numpy(matrix.values.copy()), torch.from_numpy(matrix.untrained.copy()))
        for view, matrix in result.accuracies.items()
    }
    return {**{name: value for name, value in vars(result).items() if name != "accuracies"}, "accuracies": matrices}


def _result_from_plain(stored: dict[str, Any]) -> StreamResult:
    matrices = {
        view: AccuracyMatrix(values.numpy().astype(np.float64), untrained.numpy().astype(np.float64))
        for view, (values, untrained) in stored["accuracies"].items()
    }
    return StreamResult(**{**stored, "accuracies": matrices})
