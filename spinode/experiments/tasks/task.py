"""`Task`: a picklable function with a key and an output file, and what a worker does with it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import FitError
from ...files import write_atomically
from ...identity import identity_of

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

#: What a worker reports; the result file alone says that a task is done.
DONE, BUSY, FAILED = "done", "busy", "failed"

#: Longest part of a name in a key.
MAX_NAME = 60


@dataclass(frozen=True)
class Task:
    """A function of plain arguments whose result is plain JSON.

    Attributes:
        name: What the task is, for people; a part of the key.
        function: Function at the top of a module, so that it can be pickled; returns plain JSON.
        arguments: Its arguments, which can be pickled.
        identity: What shapes the result, see `spinode.identity`; the arguments if None. With the function it makes the key, so
            that a task of other data or settings is another task.

    Example:
        >>> Task("area", max, (2, 3)).key == Task("area", max, (2, 4)).key
        False
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    identity: Any = field(default=None)

    @property
    def key(self) -> str:
        """Name of the result file without its ending: the name of the task and a fingerprint of what shapes its result."""
        shaped = {"function": self.function, "by": list(self.arguments) if self.identity is None else self.identity}
        digest = hashlib.sha256(json.dumps(identity_of(shaped), sort_keys=True).encode()).hexdigest()[:16]
        return f"{re.sub('[^A-Za-z0-9._+=-]+', '-', self.name)[:MAX_NAME]}-{digest}"


def make_folders(folder: Path) -> None:
    """Create the folders of results, failures and locks."""
    for name in ("results", "failed", "locks"):
        (folder / name).mkdir(parents=True, exist_ok=True)


def result_path(folder: Path, key: str) -> Path:
    """Return the file of a result."""
    return folder / "results" / f"{key}.json"


def failure_path(folder: Path, key: str) -> Path:
    """Return the file that says why a task failed the last time."""
    return folder / "failed" / f"{key}.json"


def read_result(folder: Path, key: str) -> Any:
    """Return the result of a task.

    Raises:
        FitError: there is none, or its file is damaged.
    """
    path = result_path(folder, key)
    try:
        stored = json.loads(path.read_text())
        text = json.dumps(stored["result"], sort_keys=True)
        if hashlib.sha256(text.encode()).hexdigest() != stored["digest"]:
            raise ValueError("its contents do not match their digest")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FitError(f"the result {path} cannot be read ({error}). Delete it to compute it again.") from None
    return stored["result"]


def work(task: Task, key: str, folder: str) -> str:
    """Compute a task and store its result, unless it is stored already or another worker computes it.

    The lock of a worker that is killed is released by the system, and its task is computed again. On file systems without
    locks two drivers may compute a task twice; the file is replaced as a whole by an equal one.

    Args:
        task: The task.
        key: Its key.
        folder: The folder of the run.

    Returns:
        "done", "busy", or "failed" with the reason in a file of the folder `failed`.
    """
    place = Path(folder)
    target = result_path(place, key)
    with _lock(place / "locks" / f"{key}.lock") as is_mine:
        if not is_mine:
            return BUSY
        if target.exists():
            return DONE
        begun = time.time()
        try:
            result = task.function(*task.arguments)
            text = json.dumps(result, sort_keys=True)
        except Exception as error:  # whatever the user's function may raise; the driver goes on with the others
            reason = f"{type(error).__name__}: {error}"
            failure = {"task": task.name, "reason": reason, "traceback": traceback.format_exc()}
            write_atomically(failure_path(place, key), json.dumps(failure, indent=1).encode())
            return FAILED
        stored = {
            "task": task.name,
            "result": json.loads(text),
            "digest": hashlib.sha256(text.encode()).hexdigest(),
            "seconds": round(time.time() - begun, 3),
        }
        write_atomically(target, json.dumps(stored).encode())
        failure_path(place, key).unlink(missing_ok=True)
    return DONE


@contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Lock a file within the block, and yield True if no other process has it."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    is_mine = True
    try:
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                is_mine = error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
        yield is_mine
    finally:
        os.close(descriptor)
