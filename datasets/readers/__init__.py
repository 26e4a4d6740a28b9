"""The formats of measurement files, one file each.

A new format is one new file in this folder that calls `register_reader`; nothing else lists it. What several readers share is
in `parsing/`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from ...errors import TraceError
from ..parsing.reader import ANY_TEXT, Reader, registered_readers
from ..parsing.unsupported import describe_unsupported
from ..plugins import import_modules

_HEAD = 4096


def all_readers() -> list[Reader]:
    """Return the readers of this folder and those of the user, in the order in which they are asked."""
    import_modules(__name__)
    return registered_readers()


def choose_reader(path: Path, name: str | None = None) -> Reader:
    """Return the reader of the given name, or the first that recognises a file.

    Raises:
        TraceError: the file cannot be opened, is empty, or no reader recognises it; or there is no reader of that name.
    """
    head = read_beginning(path)
    readers = all_readers()
    names = ", ".join(reader.name for reader in readers)
    if name is not None:
        chosen = next((reader for reader in readers if reader.name == name), None)
        if chosen is None:
            raise TraceError(f"there is no reader {name!r}; the readers are: {names}.")
        return chosen
    for reader in readers:
        if reader.recognises_path is not None and reader.recognises_path(path):
            return reader
    for reader in readers:
        if reader.priority < ANY_TEXT and reader.sniff(head):
            return reader
    unsupported = describe_unsupported(head)
    if unsupported:
        raise TraceError(f"{path.name} is {unsupported[0]}, which cannot be read. {unsupported[1]}")
    for reader in readers:
        if reader.priority >= ANY_TEXT and reader.sniff(head):
            return reader
    raise TraceError(
        f"the format of {path.name} is not recognised (it is binary); the readers are: {names}. Export it as CSV or as .npz."
    )


def series_reader(paths: list[Path]) -> Reader | None:
    """Return the reader for which all files together are one recording; None if each file is a recording of its own."""
    for reader in all_readers():
        if reader.read_series is not None and paths:
            with contextlib.suppress(TraceError):  # a file that cannot be opened is reported when it is read
                if all(reader.sniff(read_beginning(path)) for path in paths):
                    return reader
    return None


def read_beginning(path: Path) -> bytes:
    """Return the first bytes of a file.

    Raises:
        TraceError: the file cannot be opened, or is empty.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        raise TraceError(f"there is no file {path}.") from None
    except IsADirectoryError:
        raise TraceError(f"{path} is a folder; name a file, or read all files with read_traces.") from None
    except (OSError, ValueError) as error:
        raise TraceError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}.") from None
    if not head.strip():
        raise TraceError(f"{path.name} is empty.")
    return head
