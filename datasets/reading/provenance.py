"""Provenance of a trace: the file, its hash, the reader, and the metadata of the file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ..parsing.blocks import LARGE
from .channels import SourceColumns
from .time_column import Times

_END = 1 << 20


def provenance_of(path: Path | None, reader: str, columns: SourceColumns, times: Times) -> dict[str, Any]:
    """Return the provenance of a recording.

    Args:
        path: The file; None for data in memory.
        reader: Name of the reader.
        columns: The columns of the file.
        times: The times of the recording.
    """
    table = columns.table
    before = table.metadata.get("provenance")
    return {
        **(before if isinstance(before, dict) else {}),
        "file": columns.source,
        "reader": reader,
        **(_digest(path) if path is not None and path.is_file() else {}),
        "rows": table.rows,
        "time": times.column,
        **({"sampled_by": "sample number"} if times.are_sample_numbers else {}),
        **({"left_out": dict(table.left_out)} if table.left_out else {}),
        **({"notes": list(notes)} if (notes := [*table.notes, *times.notes]) else {}),
        "raw_units": {name: columns.unit(name) for name in (*table.names, *table.parameters)},
        "metadata": {key: value for key, value in table.metadata.items() if key != "provenance"},
    }


def _digest(path: Path) -> dict[str, Any]:
    """Return size and SHA-256 of a file, of a large one the SHA-256 of its first and last megabyte."""
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if size <= LARGE:
            digest.update(file.read())
            return {"bytes": size, "sha256": digest.hexdigest()}
        digest.update(file.read(_END))
        file.seek(-_END, 2)
        digest.update(file.read(_END))
    return {"bytes": size, "sha256_of_ends": digest.hexdigest()}
