"""Folders and patterns of files: their files in order, and the parameters in the names of files."""

from __future__ import annotations

import glob
import re
from pathlib import Path

import numpy as np

from ...errors import TraceError, UnitError
from ...units import parse_unit
from ..parsing.grid import parse_number

_FIELD = re.compile(r"\{(?P<name>[^{}:]*)(?::(?P<unit>[^{}]*))?\}|(?P<any>\*)")
_NUMBER = r"[+-]?(?:\d+(?:[.p]\d+)?|[.p]\d+)(?:[eE][+-]?\d+)?"


def is_set_of_files(path: str | Path) -> bool:
    """Return True for a folder or a pattern, False for the name of a file."""
    try:
        location = Path(path)
        return location.is_dir() or (not location.exists() and any(mark in str(path) for mark in "*?["))
    except (OSError, ValueError):
        return False


def files_of(path: str | Path) -> list[Path]:
    """Return the files of a folder or a pattern in the order of their names; the path itself if it is neither.

    Raises:
        TraceError: there is none.
    """
    if not is_set_of_files(path):
        return [Path(path)]
    location = Path(path)
    paths = location.iterdir() if location.is_dir() else map(Path, glob.glob(str(path), recursive=True))
    files = sorted((each for each in paths if each.is_file() and not each.name.startswith(".")), key=_natural_order)
    if not files:
        raise TraceError(f"{'the folder' if location.is_dir() else 'the pattern'} {path} contains no file; check the path.")
    return files


def _natural_order(path: Path) -> list[tuple[int, float, str]]:
    """Return a sort key by which run2 comes before run10."""
    pieces = re.split(r"(\d+)", str(path))
    return [(0, float(piece), "") if piece.isdigit() else (1, 0.0, piece) for piece in pieces if piece]


def parameters_from_name(path: Path, pattern: str) -> dict[str, float]:
    """Return the parameters in the name of a file, in SI.

    Args:
        path: The file; its end is compared with the pattern, folders included.
        pattern: Text with the parameters in braces, such as "device{device}_{amplitude:mV}.csv"; see `read_traces`.

    Raises:
        TraceError: the name does not fit the pattern, or the pattern names no parameter.
        UnitError: a unit of the pattern is not known.

    Example:
        >>> parameters_from_name(Path("run/device3_0p5mV.csv"), "device{device}_{amplitude:mV}.csv")
        {'device': 3.0, 'amplitude': 0.0005}
    """
    if not isinstance(pattern, str):
        raise TraceError(
            f"pattern is of type {type(pattern).__name__}; expected text such as 'device{{device}}_{{amplitude:mV}}.csv'."
        )
    fields = [match for match in _FIELD.finditer(pattern) if not match["any"]]
    if not fields or any(not match["name"] for match in fields):
        raise TraceError(
            f"the pattern {pattern!r} names no parameter; write each in braces: 'device{{device}}_{{amplitude:mV}}.csv'."
        )
    matched = re.search(f"(?:^|/){_expression(pattern)}$", path.as_posix())
    if matched is None:
        raise TraceError(f"the name {path.name} does not fit the pattern {pattern!r}; a field in braces stands for a number.")
    values = {}
    for match, text in zip(fields, matched.groups(), strict=True):
        value = parse_number(text.replace("p", "."))
        assert value is not None  # by the expression
        try:
            values[match["name"]] = float(parse_unit(match["unit"] or "").to_si(np.float64(value)))
        except UnitError as error:
            raise UnitError(f"the pattern {pattern!r}: {error}") from None
    return values


def _expression(pattern: str) -> str:
    """Return the regular expression of a pattern, with a group for each field."""
    pieces, end = [], 0
    for match in _FIELD.finditer(pattern):
        unit = f"(?:{re.escape(match['unit'])})?" if match["unit"] else ""  # which the name may contain as well
        pieces += [re.escape(pattern[end : match.start()]), ".*?" if match["any"] else f"({_NUMBER}){unit}"]
        end = match.end()
    return "".join(pieces) + re.escape(pattern[end:])
