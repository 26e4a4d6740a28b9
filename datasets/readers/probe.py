"""HDF5 files, opened first by another process: the compiled library ends the process that meets some damaged files.

One such process waits for the names of files, so that only the first costs a start; it is begun anew when it has ended. It
walks through all groups, attributes and arrays and says what it met.
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

_PATIENCE = 120.0  # seconds
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
        said = ""
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    print(json.dumps(said), flush=True)
"""
_child: subprocess.Popen[str] | None = None
_owner = 0  # the process that began it: a fork must not speak through the same pipes
_one_at_a_time = threading.Lock()


def probe(path: Path) -> None:
    """Refuse a file that cannot be read through, or that ends the process which tries.

    Raises:
        TraceError: with what the library said, or that it ended.
    """
    with _one_at_a_time:
        said = _ask(path)
    if said is None:
        raise TraceError("this HDF5 file is damaged: the library that reads it ends on it. Get the file again.")
    if said:
        raise TraceError(f"this HDF5 file is damaged, cut off, or of a kind that is not read ({' '.join(said.split())[:200]}).")


def _ask(path: Path) -> str | None:
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
            cwd=os.path.dirname(sys.executable) or None,  # where no file of the user can stand in for a library
        )
    assert _child.stdin is not None
    assert _child.stdout is not None
    try:
        _child.stdin.write(json.dumps(str(path.resolve())) + "\n")
        _child.stdin.flush()
    except OSError:
        stop()
        return None
    # On Windows pipes cannot be waited for; there the answer is waited for without an end.
    if os.name == "posix" and not select.select([_child.stdout], [], [], _PATIENCE)[0]:
        stop()
        raise TraceError(f"this HDF5 file was not read through in {_PATIENCE:.0f} s; it is damaged, or on a slow disk.")
    line = _child.stdout.readline()
    if not line:
        stop()
        return None
    return str(json.loads(line))


def stop() -> None:
    """End the process, if this one has begun it."""
    global _child
    if _child is not None and _owner == os.getpid():
        _child.kill()
        for pipe in (_child.stdin, _child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was left in it cannot be sent any more
                    pipe.close()
        _child.wait()
    _child = None


atexit.register(stop)
