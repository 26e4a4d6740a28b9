"""SQLite databases, by Python's own library: runs of QCoDeS with names and units, or any tables of numbers.

A run is a recording; where its parameters were measured over different set points, each group of them is one. Arrays that
QCoDeS stores in a cell are read element by element. The database is opened without writing to it; where its newest rows are
still in the write-ahead log beside it (`-wal`), as while QCoDeS measures, a copy of both is read.

Source: QCoDeS documentation, "DataSet Design"; tables runs, layouts and results-1-1.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ...errors import TraceError
from ...typing import Array, Progress
from ..parsing.libraries import translated_errors
from ..parsing.messages import counted
from ..parsing.parts import Part, choose_part
from ..parsing.reader import register_reader
from ..parsing.table import Table

_MAX_ROWS = 20_000_000


@dataclass
class _Recording:
    names: list[str]
    columns: list[Array]
    units: list[str | None]
    metadata: dict[str, Any]

    def describe(self) -> str:
        return f"{counted(len(self.columns[0]), 'row')} of {', '.join(self.names)}"


def sniff(head: bytes) -> bool:
    """Return True for the signature of SQLite."""
    return head.startswith(b"SQLite format 3\0")


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the columns of a run, or of a table.

    Raises:
        SeveralParts: several runs or tables, and no `part`.
        TraceError: the database is damaged, or has no rows of numbers.
    """
    with translated_errors("SQLite database"), _opened(path) as connection:
        connection.text_factory = lambda data: data.decode("utf-8", errors="replace")
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY rowid")]
        recordings = _runs(connection) if {"runs", "layouts"} <= set(names) else {}
        if not recordings:
            tables = {name: _recording(connection, name, {}) for name in names if not name.startswith("sqlite_")}
            recordings = {name: each for name, found in tables.items() for each in found[:1]}
    if not recordings:
        raise TraceError("the database has no table with rows of numbers.")
    chosen = choose_part(recordings, part, _Recording.describe)
    return Table(tuple(chosen.names), tuple(chosen.columns), tuple(chosen.units), metadata=chosen.metadata)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection to the database, or to a copy of it with the rows of its write-ahead log."""
    log = path.with_name(f"{path.name}-wal")
    if not log.is_file() or not log.stat().st_size:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)) as connection:
            yield connection
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(path, folder))
        shutil.copy(log, folder)
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            yield connection


def _runs(connection: sqlite3.Connection) -> dict[str, _Recording]:
    """Return the runs of a QCoDeS database by name."""
    recordings: dict[str, _Recording] = {}
    for run, name, table in connection.execute("SELECT run_id, name, result_table_name FROM runs ORDER BY run_id").fetchall():
        layout = connection.execute("SELECT parameter, label, unit FROM layouts WHERE run_id=?", (run,)).fetchall()
        units = {str(parameter): None if unit is None else str(unit) for parameter, _, unit in layout}
        labels = {str(parameter): str(label) for parameter, label, _ in layout}
        found = _recording(connection, str(table), units)
        for each in found:
            each.metadata |= {"run": int(run), "name": str(name), "labels": labels}
            title = f"run {run}" if len(found) == 1 else f"run {run}: {each.names[-1]}"
            recordings[title] = each
    return recordings


def _recording(connection: sqlite3.Connection, table: str, units: dict[str, str | None]) -> list[_Recording]:
    """Return the rows of a table by the columns that are filled together."""
    escaped = table.replace('"', '""')
    cursor = connection.execute(f'SELECT * FROM "{escaped}" LIMIT {_MAX_ROWS}')
    names = [item[0] for item in cursor.description]
    rows = cursor.fetchall()
    groups: dict[tuple[int, ...], list[Sequence[Any]]] = {}
    numeric = [k for k, name in enumerate(names) if not (name == "id" and units) and any(_is_number(row[k]) for row in rows)]
    for row in rows:
        filled = tuple(k for k in numeric if _is_number(row[k]))
        if filled:
            groups.setdefault(filled, []).append(row)
    found = []
    for filled, members in groups.items():
        columns = [np.concatenate([_values(row[k]) for row in members]) for k in filled]
        if len({len(column) for column in columns}) == 1 and len(columns[0]) > 0:
            own = [names[k] for k in filled]
            found.append(_Recording(own, columns, [units.get(name) for name in own], {"table": table}))
    return _joined(found)


def _joined(recordings: list[_Recording]) -> list[_Recording]:
    """Join recordings that share all columns but the last, with equal values: parameters measured at the same set points."""
    joined: list[_Recording] = []
    for each in recordings:
        for other in joined:
            shared = [name for name in each.names if name in other.names]
            same = shared == each.names[: len(shared)] and len(shared) == len(each.names) - 1 and len(shared) > 0
            if same and all(
                np.array_equal(each.columns[each.names.index(n)], other.columns[other.names.index(n)], equal_nan=True)
                for n in shared
            ):
                other.names.append(each.names[-1])
                other.columns.append(each.columns[-1])
                other.units.append(each.units[-1])
                break
        else:
            joined.append(each)
    return joined


def _is_number(cell: Any) -> bool:
    return (isinstance(cell, int | float) and not isinstance(cell, bool)) or (
        isinstance(cell, bytes) and cell.startswith(b"\x93NUMPY")
    )


def _values(cell: Any) -> Array:
    if isinstance(cell, bytes):
        array = np.load(io.BytesIO(cell), allow_pickle=False)
        return np.asarray(array, dtype=np.float64).reshape(-1)
    return np.array([cell], dtype=np.float64)


register_reader("sqlite", sniff, read, priority=47)
