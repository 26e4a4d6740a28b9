"""Writing files so that none is ever half there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from .errors import TraceError


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file so that it is either there whole or not at all.

    Raises:
        TraceError: the place cannot be written.
    """
    where = Path(path)
    if not where.name:
        raise TraceError(f"cannot write {str(path)!r}: it names no file. Choose a path that ends in a file's name.")
    # In the same folder, since only there a rename is one step that cannot be half done.
    partial = where.with_name(f".{where.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, where)
    except BaseException as error:  # an interrupt as well must leave nothing behind
        with contextlib.suppress(OSError, ValueError):
            partial.unlink()
        if not isinstance(error, (OSError, ValueError)):
            raise
        why = getattr(error, "strerror", None) or error
        raise TraceError(f"cannot write {where}: {why}. Choose a writable path with free space.") from None


def check_writable(path: str | Path) -> None:
    """Refuse a path before hours of work are spent on what should go there.

    Raises:
        TraceError: the folder does not exist or cannot be written, or the path is a folder.
    """
    where = Path(path)
    try:
        if where.is_dir():  # so is ""
            raise TraceError(f"{where} is a folder; pass the name of a file in it.")
        if not where.parent.is_dir():
            raise TraceError(f"the folder {where.parent} does not exist; create it, or choose another path.")
        probe = where.with_name(f".{where.name}.{os.getpid()}.partial")
        probe.write_bytes(b"")
        probe.unlink()
    except (OSError, ValueError) as error:  # a null byte in a path is a ValueError
        if isinstance(error, TraceError):
            raise
        why = getattr(error, "strerror", None) or error
        raise TraceError(f"cannot write {where}: {why}. Choose a writable path.") from None
