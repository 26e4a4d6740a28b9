"""The order that brings the reads of each recording together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...typing import Array
from .reads import Index, Mask
from .table import PulseTable


@dataclass(frozen=True, eq=False)
class Order:
    """The rows of a table by recording, and what needs to know where one begins.

    Attributes:
        table: The rows as the file has them.
        rows: Row of the file at each place of the order, shape (rows,).
        edges: Where the recordings begin and end in the order, shape (recordings + 1,).
        heads: Whether a place is the first of its recording.
        starts: Place where the recording of each place begins.
    """

    table: PulseTable
    rows: Index
    edges: Index
    heads: Mask
    starts: Index

    @classmethod
    def by(cls, table: PulseTable, key: Index, instants: Array | None) -> Order:
        """The order by recording (`key`, from 0), then by time, then as the file has the rows."""
        rows = np.argsort(key, kind="stable") if instants is None else np.lexsort((instants, key))
        heads = np.diff(key[rows], prepend=-1) != 0
        first = np.flatnonzero(heads)
        edges = np.append(first, len(key))
        return cls(table, rows, edges, heads, np.repeat(first, np.diff(edges)))

    def where(self, bad: Mask) -> str:
        """Name of the first bad row of the file."""
        return self.table.where(int(self.rows[bad].min()))

    def last(self, valid: Mask) -> Index:
        """For each row the last valid one of its recording up to it, -1 where there is none."""
        latest = np.maximum.accumulate(np.where(valid, np.arange(len(valid)), -1))
        return np.where(latest >= self.starts, latest, -1)


def filled(values: Array, valid: Mask, order: Order) -> Array:
    """Values with those of another read of the recording where there is none; no pulse ever has the latter."""
    if valid.all():
        return values
    last = order.last(valid)
    # Before the first valid value of a recording: the first one; and where a recording has none at all, any of the file.
    following = np.minimum.accumulate(np.where(valid, np.arange(len(valid)), len(valid))[::-1])[::-1]
    following = np.where(following < len(valid), following, np.flatnonzero(valid)[-1])
    return np.asarray(values[np.where(last >= 0, last, following)])
