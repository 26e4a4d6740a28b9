"""`train_in_processes`: the processes that share a run, their start, their words and their end."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import socket
import tempfile
import threading
import traceback
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..contracts.task_stream import TaskStream
from ..errors import ConfigError, FitError, SpinodeError
from .config import StreamConfig
from .results.metrics import AccuracyMatrix
from .results.result import StreamResult

if TYPE_CHECKING:
    from .learners.learner import Learner

#: Most processes: a batch is small, and beyond the processors of one machine they only wait.
MOST = 64


def train_in_processes(
    processes: int,
    learner: Learner,
    stream: TaskStream,
    config: StreamConfig,
    say: Callable[[str], None] | None,
    arguments: dict[str, Any],
) -> StreamResult:
    """`train` in several new processes that share each batch and average their gradients.

    New ones are spawned, and not the command run again as Lightning's "ddp" does by itself: that works from scripts alone, and
    a fork would inherit the threads of torch.

    Args:
        processes: How many.
        learner: It is changed as `train` changes it.
        stream: What it learns.
        config: How.
        say: Takes the lines of the first process.
        arguments: Further ones of `train`.

    Raises:
        ConfigError: a number of processes that is none, or arguments that cannot be pickled; what `train` raises.
        FitError: a process died.
    """
    if not isinstance(processes, int) or isinstance(processes, bool) or not 1 <= processes <= MOST:
        raise ConfigError(f"processes is {processes!r}; expected a whole number, 1 .. {MOST}.")
    context = multiprocessing.get_context("spawn")
    words = context.Queue()
    with tempfile.TemporaryDirectory(prefix="spinode-") as folder:
        target = str(Path(folder) / "result.pt")
        what = _pickled((learner, stream, config, arguments, say is not None, target))
        environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(processes)}
        threads = max(1, torch.get_num_threads() // processes)
        workers = [
            context.Process(target=_work, args=(rank, processes, environment, threads, words, what), daemon=True)
            for rank in range(processes)
        ]
        try:
            _start(workers)
            _listen(workers, words, say)
            for worker in workers:
                worker.join(10)
        finally:
            for worker in workers:
                if worker.pid is not None:
                    worker.kill()  # the others wait for one that failed, for ever
                    worker.join()
        stored = torch.load(target, map_location="cpu", weights_only=True)
    learner.load_state_dict(stored["state"])
    for name, generator in learner.generators():
        generator.set_state(stored["generators"][name])
    return _unpacked(stored["result"])


def _start(workers: list[SpawnProcess]) -> None:
    """With interrupts from the keyboard, which reach all processes of a terminal, left to this one."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        for worker in workers:
            worker.start()
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)


def _pickled(what: tuple[Any, ...]) -> bytes:
    """In one piece: as arguments of a process, tensors would be shared with it, and both processes write into their weights."""
    try:
        return pickle.dumps(what)
    except (AttributeError, TypeError, ValueError, RuntimeError, pickle.PicklingError) as error:
        raise ConfigError(
            f"several processes need arguments that can be pickled: {error}. Define classes and functions at the top of a "
            "module; pass no lambda, open file or running object."
        ) from None


def _listen(workers: list[SpawnProcess], words: Any, say: Callable[[str], None] | None) -> None:
    """Until the first process is done."""
    from queue import Empty

    while True:
        try:
            kind, value = words.get(timeout=0.2)
        except Empty:
            dead = [worker for worker in workers if worker.exitcode not in (None, 0)]
            if dead:
                raise FitError(
                    f"one of {len(workers)} processes ended with exit code {dead[0].exitcode}; it may have run out of memory, "
                    "or a script that calls `train` lacks `if __name__ == '__main__':`."
                ) from None
            continue
        if kind == "line" and say is not None:
            say(value)
        elif kind == "error":
            raise value
        elif kind == "done":
            return


def _work(
    rank: int, processes: int, environment: dict[str, str], threads: int, words: Any, what: bytes
) -> None:  # pragma: no cover - runs in the new processes
    """What one process does."""
    from .run import train

    os.environ.update(environment, LOCAL_RANK=str(rank), NODE_RANK="0")  # so Lightning starts none itself
    torch.set_num_threads(threads)
    learner, stream, config, arguments, speaks, target = pickle.loads(what)  # noqa: S301 - the parent's own
    say = (lambda line: words.put(("line", line))) if rank == 0 and speaks else None
    arguments = {**arguments, "devices": processes, "strategy": "ddp", "num_nodes": 1}
    if rank:
        arguments["logger"] = False
    try:
        result = train(learner, stream, config, say=say, **arguments)
        if rank == 0:
            generators = {name: generator.get_state() for name, generator in learner.generators()}
            torch.save({"result": _packed(result), "state": learner.state_dict(), "generators": generators}, target)
            words.put(("done", None))
    except SpinodeError as error:
        words.put(("error", error))
    except BaseException:
        words.put(("error", FitError(f"process {rank} of {processes} failed:\n{traceback.format_exc()}")))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _packed(result: StreamResult) -> dict[str, Any]:
    """Tensors and plain values."""
    matrices = {
        view: (torch.from_numpy(matrix.values.copy()), torch.from_numpy(matrix.untrained.copy()))
        for view, matrix in result.accuracies.items()
    }
    names = {name: getattr(result, name) for name in ("rule", "stream", "seed", "recent", "seconds", "detection", "footprint")}
    return {**names, "accuracies": matrices}


def _unpacked(stored: dict[str, Any]) -> StreamResult:
    matrices = {
        view: AccuracyMatrix(values.numpy().astype(np.float64), untrained.numpy().astype(np.float64))
        for view, (values, untrained) in stored["accuracies"].items()
    }
    return StreamResult(**{**stored, "accuracies": matrices, "seconds": tuple(stored["seconds"])})
