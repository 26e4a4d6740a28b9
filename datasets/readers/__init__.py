"""The readers of measurement files: one small file per format, asked in the order of this list.

A reader is a module with `NAME`, `sniff(head) -> bool` and `read(path, part, progress) -> Table`. To add a format, add its file
and a line below; the first whose `sniff` knows the beginning of a file reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from . import (
    delimited,
    easyexpert,
    excel,
    hdf5,
    isf,
    lvm,
    mat,
    mumax,
    netcdf,
    npz,
    odt,
    ovf,
    rigol,
    rohde_schwarz,
    tdms,
    tektronix,
    touchstone,
    trc,
)
from .table import Part, Progress, Table as Table


class Reader(Protocol):
    """What a reader module offers."""

    NAME: str

    def sniff(self, head: bytes) -> bool:
        """Whether the first bytes of a file are those of this format."""

    def read(self, path: Path, part: Part = None, progress: Progress = None) -> Table:
        """The columns of the file; TraceError where it cannot be read, SeveralParts where it holds several recordings."""


READERS: tuple[Reader, ...] = (
    npz,
    hdf5,
    mat,
    netcdf,
    tdms,
    trc,
    isf,
    excel,
    mumax,
    odt,
    ovf,
    lvm,
    easyexpert,
    touchstone,
    rohde_schwarz,
    tektronix,
    rigol,
    # Any text at all: keep it last.
    delimited,
)
