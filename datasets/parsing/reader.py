"""`register_reader`: the registry of the formats that `read_trace` recognises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ...errors import ConfigError
from ...typing import Progress
from .parts import Part
from .table import Table
from .text import Text

Sniff: TypeAlias = Callable[[bytes], bool]
Read: TypeAlias = Callable[[Path, Part, Progress | None], Table]
ReadText: TypeAlias = Callable[[Path, Part], Text]
ReadSeries: TypeAlias = Callable[[Sequence[Path], Progress | None], Table]

#: Priority of a reader that accepts any text: asked after every format that is recognised by its content.
ANY_TEXT = 1000

_READERS: dict[str, Reader] = {}


@dataclass(frozen=True)
class Reader:
    """A file format: its recognition and its reader.

    Attributes:
        name: Name of the format, as `format=` of `read_trace` accepts it.
        sniff: Returns True if the first bytes of a file are those of this format.
        read: Returns the columns of a file; arguments are the path, the part (None if not named) and the progress callback.
            Raises TraceError if the file cannot be read, SeveralParts if it contains several recordings.
        priority: Readers are asked in ascending order; the first whose `sniff` returns True reads the file.
        recognises_path: Returns True for a file that only its name or its neighbours identify; asked before any `sniff`.
        read_text: Returns the rows as lines of delimited text, for formats that are such text: tables of pulses contain words.
        read_series: Returns one recording from a series of files, for formats with one sample per file.
    """

    name: str
    sniff: Sniff
    read: Read
    priority: int = 0
    recognises_path: Callable[[Path], bool] | None = None
    read_text: ReadText | None = None
    read_series: ReadSeries | None = None


def register_reader(
    name: str,
    sniff: Sniff,
    read: Read,
    *,
    priority: int = 0,
    recognises_path: Callable[[Path], bool] | None = None,
    read_text: ReadText | None = None,
    read_series: ReadSeries | None = None,
) -> Reader:
    """Add a file format to those that `read_trace` recognises.

    Args:
        name: Name of the format, as `format=` of `read_trace` accepts it.
        sniff: Returns True if the first bytes of a file are those of this format.
        read: Returns the columns of a file as a `Table`; arguments are the path, the part (None if not named) and the progress
            callback (or None).
        priority: Readers are asked in ascending order; the formats of the package have 10 and more, any text has 1000.
        recognises_path: Returns True for a file that only its name or its neighbours identify.
        read_text: Returns the rows as delimited text.
        read_series: Returns one recording from a series of files.

    Returns:
        The reader.

    Raises:
        ConfigError: there is a reader of that name already.

    Example:
        >>> import tempfile, pathlib, numpy as np
        >>> from spinode.datasets import Table, read_trace, register_reader, unregister_reader
        >>> def read(path, part=None, progress=None):
        ...     values = np.array(path.read_text().split()[1:], dtype=float)
        ...     return Table(("V",), (values,), ("mV",))
        >>> reader = register_reader("acme", lambda head: head.startswith(b"ACME"), read)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "run.dat")
        ...     _ = path.write_text("ACME 1 2 3")
        ...     trace = read_trace(path, time=1e-9)
        >>> trace.output["V"].tolist(), trace.provenance["reader"]
        ([0.001, 0.002, 0.003], 'acme')
        >>> unregister_reader("acme")
    """
    if name in _READERS:
        raise ConfigError(f"there is a reader {name!r} already; choose another name, or unregister_reader({name!r}) first.")
    reader = Reader(name, sniff, read, priority, recognises_path, read_text, read_series)
    _READERS[name] = reader
    return reader


def unregister_reader(name: str) -> None:
    """Remove a format from those that `read_trace` recognises.

    Raises:
        ConfigError: there is no reader of that name.
    """
    if name not in _READERS:
        raise ConfigError(f"there is no reader {name!r}; the readers are: {', '.join(_READERS)}.")
    del _READERS[name]


def registered_readers() -> list[Reader]:
    """Return the readers registered so far, in the order in which they are asked."""
    return sorted(_READERS.values(), key=lambda reader: (reader.priority, reader.name))
