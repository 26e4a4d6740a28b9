"""`read_lookup_tables`: read measured distributions of steps from files in the format of CrossSim."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ...errors import ConfigError, TraceError
from ...typing import Array
from .lookup import LookUpTable

PathLike = str | Path
_Table = tuple[Array, Array, Array]  # bins, points, steps


def read_lookup_tables(
    increasing: PathLike | Sequence[PathLike], decreasing: PathLike | Sequence[PathLike], *, start: float = 0.0
) -> LookUpTable:
    """Read look-up tables in the format of CrossSim and return them as a synapse.

    A table is text, gzipped or not: a comment line, the conductances G [S] of the bins, the points of the cumulative
    probability, and then for each point a line of steps dG [S], one for each bin. Numbers are separated by commas, tabs or
    spaces.

    Args:
        increasing: File of SET pulses, or one file for each of several devices.
        decreasing: File of RESET pulses, or those of the same devices in the same order.
        start: Conductance of a fresh device, see `LookUpTable`.

    Raises:
        TraceError: a file that cannot be read, is damaged, or does not match the others; the message names the line.
    """
    ups, downs = ([each] if isinstance(each, (str, Path)) else list(each) for each in (increasing, decreasing))
    if len(ups) != len(downs) or not ups:
        raise TraceError(f"there are {len(ups)} tables of SET and {len(downs)} of RESET; expected one of each for each device.")
    tables = [(_read_table(Path(up)), _read_table(Path(down))) for up, down in zip(ups, downs, strict=True)]
    for (up, down), up_path, down_path in zip(tables, ups, downs, strict=True):
        _check_same_grid(tables[0][0], up, Path(up_path).name)
        _check_same_grid(up, down, Path(down_path).name)
        if not np.allclose(up[0], down[0], rtol=1e-6, atol=0):
            raise TraceError(f"{Path(down_path).name}, line 2: its bins differ from those of {Path(up_path).name}.")
    bins, steps_up, steps_down = (
        torch.from_numpy(np.stack(rows))
        for rows in ([up[0] for up, _ in tables], [up[2] for up, _ in tables], [down[2] for _, down in tables])
    )
    try:
        return LookUpTable(bins, torch.from_numpy(tables[0][0][1]), steps_up, steps_down, start=start)
    except ConfigError as error:
        raise TraceError(f"the tables {', '.join(Path(each).name for each in (*ups, *downs))}: {error}") from None


def _check_same_grid(first: _Table, other: _Table, name: str) -> None:
    if first[0].shape != other[0].shape:
        raise TraceError(f"{name}, line 2: {len(other[0])} bins, where the others have {len(first[0])}.")
    if first[1].shape != other[1].shape or not np.allclose(first[1], other[1], rtol=0, atol=1e-9):
        raise TraceError(f"{name}, line 3: its points of the cumulative probability differ from the others'.")


def _read_table(path: Path) -> _Table:
    """Return bins, points and steps of one file."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (EOFError, zlib.error, UnicodeDecodeError) as error:
        raise TraceError(f"{path.name} is not a look-up table, or is damaged: {error}.") from None
    rows = [(number, line) for number, line in enumerate(text.splitlines()[1:], 2) if line.strip()]
    if len(rows) < 4:
        raise TraceError(
            f"{path.name} has {len(rows)} lines of numbers after its comment; expected the bins, the points of the cumulative "
            "probability, and a line of steps for each of them."
        )
    numbers = [_numbers(path.name, number, line) for number, line in rows]
    bins, points, steps = numbers[0], numbers[1], numbers[2:]
    for what, values, (number, _) in (("conductances", bins, rows[0]), ("probabilities", points, rows[1])):
        if len(values) < 2 or not bool((np.diff(values) > 0).all()):
            raise TraceError(f"{path.name}, line {number}: expected at least 2 {what}, increasing.")
    if points[0] < 0 or points[-1] > 1:
        raise TraceError(
            f"{path.name}, line {rows[1][0]}: cumulative probabilities from {points[0]:g} to {points[-1]:g}; expected 0 .. 1."
        )
    for values, (number, _) in zip(steps, rows[2:], strict=True):
        if len(values) != len(bins):
            raise TraceError(f"{path.name}, line {number}: {len(values)} steps; expected {len(bins)}, one for each bin.")
    if len(steps) != len(points):
        raise TraceError(
            f"{path.name}, line {rows[-1][0]}: the file ends after {len(steps)} lines of steps; expected {len(points)}, one "
            "for each point of the cumulative probability."
        )
    return bins, points, np.stack(steps)


def _numbers(name: str, number: int, line: str) -> Array:
    """Return the numbers of a line; a separator at its end is allowed."""
    words = [word.strip() for word in line.replace("\t", ",").split(",")] if "," in line else line.split()
    words = [word for word in words if word]
    try:
        values = np.array([float(word) for word in words])
    except ValueError as error:
        raise TraceError(f"{name}, line {number}: {error}; expected numbers separated by commas, tabs or spaces.") from None
    if not bool(np.isfinite(values).all()):
        raise TraceError(f"{name}, line {number}: value {1 + int((~np.isfinite(values)).argmax())} is not finite.")
    return values
