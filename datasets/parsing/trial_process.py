"""Files opened first in another process: on some damaged HDF5, Parquet and Feather files the compiled library ends its process.

One such process waits for file names, so that only the first file costs a start; after a crash it is started again. It reads
everything in the file and reports the error, if any.
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
from typing import Literal

from ...errors import TraceError

_TIMEOUT = 120.0  # seconds
_CHILD = """
import json, sys
def walk(name, item):
    dict(item.attrs)
    if hasattr(item, "shape"):
        item.dtype, item.shape, item.chunks
        if 0 < item.size < 50_000_000:
            item[()]
        elif item.size:
            item[:1] if item.ndim else item[()]
def hdf5(path):
    import h5py
    with h5py.File(path, "r") as file:
        dict(file.attrs)
        file.visititems(walk)
def table(path, load):
    for column in load(path):
        if column.dtype.is_numeric() or column.dtype.is_temporal():
            column.to_numpy()
def parquet(path):
    import polars
    with open(path, "rb") as file:
        table(file, polars.read_parquet)
def feather(path):
    import polars
    with open(path, "rb") as file:
        table(file, polars.read_ipc)
for line in sys.stdin:
    try:
        kind, path = json.loads(line)
        globals()[kind](path)
        message = ""
    except BaseException as error:
        message = f"{type(error).__name__}: {error}"
    print(json.dumps(message), flush=True)
"""
#: The kinds of files that are tried, and what their users call them.
_NAMES = {"hdf5": "HDF5 file", "parquet": "Parquet file", "feather": "Feather (Arrow) file"}
_child: subprocess.Popen[str] | None = None
_owner = 0  # the process that started it: a fork must not use the same pipes
_lock = threading.Lock()


def try_file(path: Path, kind: Literal["hdf5", "parquet", "feather"]) -> None:
    """Refuse a file that cannot be read completely, or that ends the process which tries.

    Raises:
        TraceError: with the message of the library, or that its process crashed.
    """
    with _lock:
        message = _read_in_child(path, kind)
    if message is None:
        raise TraceError(f"this {_NAMES[kind]} is damaged: the library that reads it crashes on it. Get the file again.")
    if message:
        reason = " ".join(message.split())[:200]
        raise TraceError(f"this {_NAMES[kind]} is damaged, cut off, or of a kind that is not read ({reason}).")


def _read_in_child(path: Path, kind: str) -> str | None:
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
        _child.stdin.write(json.dumps([kind, str(path.resolve())]) + "\n")
        _child.stdin.flush()
    except OSError:
        stop()
        return None
    # On Windows `select` does not accept pipes; there is no timeout there.
    if os.name == "posix" and not select.select([_child.stdout], [], [], _TIMEOUT)[0]:
        stop()
        raise TraceError(f"this {_NAMES[kind]} could not be read in {_TIMEOUT:.0f} s; it is damaged, or on a slow disk.")
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
