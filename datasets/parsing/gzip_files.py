"""Files packed by gzip: a copy is unpacked for the readers."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from ...errors import TraceError

_GZIP = b"\x1f\x8b"


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Yield the file, or a copy unpacked by gzip with the name that it had before.

    Raises:
        TraceError: the archive is damaged, or unpacks to more than fits on the disk.
    """
    head = b""
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:  # the reader reports a bad path
        head = file.read(len(_GZIP))
    if not head.startswith(_GZIP):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / (path.name.removesuffix(".gz") or "unpacked")
        try:
            with gzip.open(path) as packed, copy.open("wb") as out:
                shutil.copyfileobj(packed, out)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise TraceError(f"{path.name}: the gzip archive is damaged or cut off ({error}); copy the file again.") from None
        except OSError as error:
            raise TraceError(f"{path.name}: the gzip archive cannot be unpacked ({error.strerror or error}).") from None
        yield copy
