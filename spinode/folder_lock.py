"""`folder_lock`: one run at a time writes into a folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import ConfigError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def folder_lock(folder: Path | None) -> Iterator[bool]:
    """Lock a folder within the block; the system releases the lock of a process that is killed.

    No file is written. Where folders cannot be locked, as on some network file systems and on Windows, this does nothing.

    Args:
        folder: An existing folder; None for none.

    Yields:
        True if the folder is locked.

    Raises:
        ConfigError: it is locked already, by this process or another one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name, folder_lock(Path(name)):
        ...     os.listdir(name)
        []
    """
    descriptor, is_locked = None, False
    if folder is not None and fcntl is not None:
        with suppress(OSError):  # a folder that can be written but not listed
            descriptor = os.open(folder, os.O_RDONLY)
    try:
        if descriptor is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_locked = True
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    raise ConfigError(
                        f"another run is writing into {folder}; wait until it has ended, or pass another folder."
                    ) from None
        yield is_locked
    finally:
        if descriptor is not None:
            if is_locked:
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # also for processes that inherited it
            os.close(descriptor)
