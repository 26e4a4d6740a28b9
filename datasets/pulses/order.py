"""The order that brings the reads of each recording together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...typing import Array
from .reads import Index, Mask
from .table import PulseTable


@dataclass(frozen=True, eq=False)
class RecordingOrder:
    """The rows of a table sorted by recording.

    Attributes:
        table: The rows as the file has them.
        rows: Row of the file at each position of the order, shape (rows,).
        edges: Positions at which the recordings begin and end, shape (recordings + 1,).
        is_first: True at the first position of each recording, shape (rows,).
        starts: First position of the recording at each position, shape (rows,).
    """

    table: PulseTable
    rows: Index
    edges: Index
    is_first: Mask
    starts: Index

    @classmethod
    def by(cls, table: PulseTable, recording: Index, times: Array | None) -> RecordingOrder:
        """Sort by recording (numbered from 0), then by time, then as the file has the rows."""
        rows = np.argsort(recording, kind="stable") if times is None else np.lexsort((times, recording))
        is_first = np.diff(recording[rows], prepend=-1) != 0
        first = np.flatnonzero(is_first)
        edges = np.append(first, len(recording))
        return cls(table, rows, edges, is_first, np.repeat(first, np.diff(edges)))

    def where(self, bad: Mask) -> str:
        """Return the name of the first bad row of the file, for a message."""
        return self.table.where(int(self.rows[bad].min()))

    def last_valid(self, valid: Mask) -> Index:
        """Return for each position the last valid one of its recording up to it, -1 where there is none."""
        latest = np.maximum.accumulate(np.where(valid, np.arange(len(valid)), -1))
        return np.where(latest >= self.starts, latest, -1)


def fill_missing(values: Array, valid: Mask, order: RecordingOrder) -> Array:
    """Replace missing amplitudes, which belong to reads without pulses, by those of a neighbouring read.

    The last valid value of the recording is taken, else its next one, else any of the file.
    """
    if valid.all():
        return values
    last = order.last_valid(valid)
    following = np.minimum.accumulate(np.where(valid, np.arange(len(valid)), len(valid))[::-1])[::-1]
    following = np.where(following < len(valid), following, np.flatnonzero(valid)[-1])
    return np.asarray(values[np.where(last >= 0, last, following)])
