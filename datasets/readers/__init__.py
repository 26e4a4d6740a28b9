"""The readers of measurement files: one small file per format, asked in the order of this list.

A reader is a module with `NAME`, `sniff(head) -> bool` and `read(path) -> Table`. To add a format, add its file and a
line below; the first whose `sniff` knows the beginning of a file reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from . import delimited, mumax, npz
from .table import Table as Table


class Reader(Protocol):
    """What a reader module offers."""

    NAME: str

    def sniff(self, head: bytes) -> bool:
        """Whether the first bytes of a file are those of this format."""

    def read(self, path: Path) -> Table:
        """The columns of the file; TraceError where it cannot be read."""


READERS: tuple[Reader, ...] = (
    npz,
    mumax,
    # Any text at all: keep it last.
    delimited,
)
