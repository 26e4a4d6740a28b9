"""HDF5 files, opened first in another process: some damaged files crash the process in which the compiled library opens them.

One such process waits for file names, so that only the first file costs a start; after a crash it is started again. It reads
all groups, attributes and arrays and reports the error, if any.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from pathlib import Path

from ...errors import TraceError

_TIMEOUT = 120.0  # seconds
_CHILD = """
import json, sys
import h5py
def walk(name, item):
    dict(item.attrs)
    if isinstance(item, h5py.Dataset):
        item.dtype, item.shape, item.chunks
        if 0 < item.size < 50_000_000:
            item[()]
        elif item.size:
            item[:1] if item.ndim else item[()]
for line in sys.stdin:
    try:
        with h5py.File(json.loads(line), "r") as file:
            dict(file.attrs)
            file.visititems(walk)
        message = ""
    except BaseException as error:
        message = f"{type(error).__name__}: {error}"
    print(json.dumps(message), flush=True)
"""
_child: subprocess.Popen[str] | None = None
_owner = 0  # the process that started it: a fork must not use the same pipes
_lock = threading.Lock()


def check_hdf5(path: Path) -> None:
    """Refuse a file that cannot be read completely, or that crashes the process which tries.

    Raises:
        TraceError: with the message of the library, or that its process crashed.
    """
    with _lock:
        message = _read_in_child(path)
    if message is None:
        raise TraceError("this HDF5 file is damaged: the library that reads it crashes on it. Get the file again.")
    if message:
        reason = " ".join(message.split())[:200]
        raise TraceError(f"this HDF5 file is damaged, cut off, or of a kind that is not read ({reason}).")


def _read_in_child(path: Path) -> str | None:
    """Return the error message of the child process, "" if it could read the file, None if it crashed."""
    global _child, _owner
    if _child is None or _owner != os.getpid() or _child.poll() is not None:
        stop()
        _owner = os.getpid()
        _child = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=os.path.dirname(sys.executable) or None,  # where no file of the user can replace a library
        )
    assert _child.stdin is not None
    assert _child.stdout is not None
    try:
        _child.stdin.write(json.dumps(str(path.resolve())) + "\n")
        _child.stdin.flush()
    except OSError:
        stop()
        return None
    # On Windows `select` does not accept pipes; there is no timeout there.
    if os.name == "posix" and not select.select([_child.stdout], [], [], _TIMEOUT)[0]:
        stop()
        raise TraceError(f"this HDF5 file could not be read in {_TIMEOUT:.0f} s; it is damaged, or on a slow disk.")
    line = _child.stdout.readline()
    if not line:
        stop()
        return None
    return str(json.loads(line))


def stop() -> None:
    """Stop the process, if this one has started it."""
    global _child
    if _child is not None and _owner == os.getpid():
        _child.kill()
        for pipe in (_child.stdin, _child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # unsent input cannot be sent any more
                    pipe.close()
        _child.wait()
    _child = None


atexit.register(stop)
