"""`read_traces`: the files of a folder or a pattern as a `TraceSet`, with parameters from their names."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TraceError, UnitError
from ..traces.trace import Trace, TraceSet
from ..units import parse_unit
from .read import read_trace
from .readers import ovf
from .readers.grid import number
from .readers.table import Part, Progress, SeveralParts

_FIELD = re.compile(r"\{(?P<name>[^{}:]*)(?::(?P<unit>[^{}]*))?\}|(?P<any>\*)")
_NUMBER = r"[+-]?(?:\d+(?:[.p]\d+)?|[.p]\d+)(?:[eE][+-]?\d+)?"


def read_traces(
    paths: str | Path | Sequence[str | Path],
    *,
    pattern: str | None = None,
    parameters: Mapping[str, float] | None = None,
    part: Part = None,
    progress: Progress = None,
    **options: Any,
) -> TraceSet:
    """The recordings of several files: one for each device, drive level or repeat.

    Args:
        paths: A folder, a pattern such as "run*.csv", one file, or a list of any of these. Files are taken in the order of
            their names, numbers in them by size; hidden ones are left out.
        pattern: What the names of the files say: "device{device}_{amplitude:mV}.csv" reads the numbers in the places of the
            fields as parameters, in SI where a unit is given, which may follow the number in the name. A "p" between digits is
            a decimal point, "*" stands for anything. It is held against the end of the path, folders included.
        parameters: Constants of all recordings in SI; those of the names go first.
        part: Which recording of each file. Without it, all those of a file that holds several are taken; the provenance of
            each says which.
        progress: Takes a line about how far the reading is.
        **options: Those of `read_trace`.

    Returns:
        The set. A series of vector fields (OVF) of one folder or pattern is a single recording.

    Raises:
        TraceError: no file, a name that does not fit the pattern, recordings with different channels, or what `read_trace`
            raises.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if pattern is not None and not isinstance(pattern, str):
        raise TraceError(
            f"pattern is a {type(pattern).__name__}; expected text such as 'device{{device}}_{{amplitude:mV}}.csv'."
        )
    traces: list[Trace] = []
    for place in given:
        files = files_of(place)
        if pattern is None and is_many(place) and all(_is_field(file) for file in files):
            traces.append(read_trace(place, parameters=parameters, progress=progress, **options))
            continue
        for count, file in enumerate(files, start=1):
            named = {**(parameters or {}), **(_from_name(file, pattern) if pattern else {})}
            if progress:
                progress(f"reading {file.name} ({count} of {len(files)})")
            try:
                traces += _all_of(file, part, parameters=named, progress=progress, **options)
            except TraceError as error:
                if isinstance(error, SeveralParts) or not Path(place).is_dir():
                    raise
                raise TraceError(
                    f"{error} If this file does not belong to the set, name the others: '{place}/*.csv'."
                ) from None
    for trace in traces:
        if list(trace.channels) != list(traces[0].channels):
            first, other = traces[0].provenance.get("file"), trace.provenance.get("file")
            raise TraceError(
                f"{other} has the columns {', '.join(trace.channels)}, and {first} has {', '.join(traces[0].channels)}; "
                "name the "
                "columns of all with drive= and output=, or leave the file out."
            )
    return TraceSet(traces)


def _all_of(file: Path, part: Part, **options: Any) -> list[Trace]:
    try:
        return [read_trace(file, part=part, **options)]
    except SeveralParts as error:
        several = error
    traces = [read_trace(file, part=name, **options) for name in several.parts]
    if any(list(trace.channels) != list(traces[0].channels) for trace in traces):
        raise several  # no repeats of one measurement
    named = zip(traces, several.parts, strict=True)
    return [replace(trace, provenance={**trace.provenance, "part": name}) for trace, name in named]


def is_many(path: str | Path) -> bool:
    """Whether this is a folder or a pattern, and no file."""
    try:
        place = Path(path)
        return place.is_dir() or (not place.exists() and any(mark in str(path) for mark in "*?["))
    except (OSError, ValueError):
        return False


def files_of(path: str | Path) -> list[Path]:
    """The files of a folder or a pattern in the order of their names; the path itself if it is neither.

    Raises:
        TraceError: there is none.
    """
    if not is_many(path):
        return [Path(path)]
    place = Path(path)
    found = place.iterdir() if place.is_dir() else map(Path, glob.glob(str(path), recursive=True))
    files = sorted((each for each in found if each.is_file() and not each.name.startswith(".")), key=_natural)
    if not files:
        raise TraceError(f"{'the folder' if place.is_dir() else 'the pattern'} {path} holds no file; look at the path.")
    return files


def _natural(path: Path) -> list[tuple[int, float, str]]:
    """Such that run2 stands before run10."""
    pieces = re.split(r"(\d+)", str(path))
    return [(0, float(piece), "") if piece.isdigit() else (1, 0.0, piece) for piece in pieces if piece]


def _is_field(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return ovf.sniff(file.read(200))
    except OSError:
        return False


def _from_name(path: Path, pattern: str) -> dict[str, float]:
    """Parameters in SI that the name of a file holds."""
    fields = [found for found in _FIELD.finditer(pattern) if not found["any"]]
    if not fields or any(not found["name"] for found in fields):
        raise TraceError(
            f"the pattern {pattern!r} names no parameter; write each in braces: 'device{{device}}_{{amplitude:mV}}.csv'."
        )
    pieces, end = [], 0
    for found in _FIELD.finditer(pattern):
        unit = f"(?:{re.escape(found['unit'])})?" if found["unit"] else ""  # which the name may hold as well
        pieces += [re.escape(pattern[end : found.start()]), ".*?" if found["any"] else f"({_NUMBER}){unit}"]
        end = found.end()
    expression = "".join(pieces) + re.escape(pattern[end:])
    matched = re.search(f"(?:^|/){expression}$", path.as_posix())
    if matched is None:
        raise TraceError(f"the name {path.name} does not fit the pattern {pattern!r}; a field in braces stands for a number.")
    values = {}
    for found, text in zip(fields, matched.groups(), strict=True):
        value = number(text.replace("p", "."))
        assert value is not None  # by the expression
        try:
            values[found["name"]] = float(parse_unit(found["unit"] or "").to_si(np.float64(value)))
        except UnitError as error:
            raise UnitError(f"the pattern {pattern!r}: {error}") from None
    return values
