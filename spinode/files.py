"""Atomic writing of files, and the check of a path before a long computation."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from .errors import ConfigError, TraceError


def as_path(path: Any, name: str = "path") -> Path:
    """Return a path given as text or as a `pathlib.Path`.

    Args:
        path: Anything.
        name: Name of the argument in messages.

    Raises:
        ConfigError: another type.

    Example:
        >>> as_path(None, "checkpoint")
        Traceback (most recent call last):
        ...
        spinode.errors.ConfigError: checkpoint is None; expected the path of a file, as text or as a pathlib.Path.
    """
    try:
        return Path(path)
    except TypeError:
        raise ConfigError(f"{name} is {path!r:.80}; expected the path of a file, as text or as a pathlib.Path.") from None


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file atomically: after an error or an interrupt, the old file or none is there, never a part of the new one.

    Args:
        path: Path of the file; an existing file is replaced.
        content: Content of the file.

    Raises:
        TraceError: the path cannot be written.
    """
    target = as_path(path)
    if not target.name:
        raise TraceError(f"cannot write {str(path)!r}: it is not a file name. Choose a path that ends in a file name.")
    _refuse_special(target)
    # In the same folder, because renaming is atomic only within one file system.
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, target)
    except BaseException as error:  # also after an interrupt, remove the partial file
        with contextlib.suppress(OSError, ValueError):
            partial.unlink()
        if not isinstance(error, (OSError, ValueError)):
            raise
        reason = getattr(error, "strerror", None) or error
        raise TraceError(f"cannot write {target}: {reason}. Choose a writable path with free space.") from None


def check_writable(path: str | Path) -> None:
    """Check that a file can be written, before the long computation whose result it will contain.

    Raises:
        TraceError: the folder does not exist or cannot be written, or the path is a folder.
    """
    target = as_path(path)
    try:
        if target.is_dir():  # also for ""
            raise TraceError(f"{target} is a folder; pass the name of a file in it.")
        if not target.parent.is_dir():
            raise TraceError(f"the folder {target.parent} does not exist; create it, or choose another path.")
        _refuse_special(target)
        probe = target.with_name(f".{target.name}.{os.getpid()}.partial")
        probe.write_bytes(b"")
        probe.unlink()
    except (OSError, ValueError) as error:  # a null byte in a path is a ValueError
        if isinstance(error, TraceError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise TraceError(f"cannot write {target}: {reason}. Choose a writable path.") from None


def _refuse_special(target: Path) -> None:
    """Refuse a device, pipe or socket: replacing it by a file would destroy it."""
    try:
        special = target.exists() and not target.is_file() and not target.is_dir()
    except (OSError, ValueError):  # a name that the file system does not accept is reported when it is written
        return
    if special:
        raise TraceError(f"{target} is not a regular file but a device, pipe or socket; choose the path of a file.")
