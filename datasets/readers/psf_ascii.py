"""Results of Spectre in PSF ASCII: sections HEADER, TYPE, SWEEP, TRACE, VALUE; in VALUE a line `"name" value` a variable.

Complex values are in brackets. Units are those of the types; binary PSF is refused by its name.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ...errors import TraceError
from ...typing import Progress
from ..parsing.arrays import NamedArray, table_from_arrays
from ..parsing.grid import parse_number
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.table import Table
from ..parsing.text import read_text

_HEAD = re.compile(rb'(?:\xef\xbb\xbf)?\s*HEADER\s*[\r\n]+\s*"')
_VALUE = re.compile(r'"(?P<name>[^"]+)"\s+(?P<value>\([^)]*\)|[^\s"()]+)')
_NAME = re.compile(r'^"(?P<name>[^"]+)"\s+"(?P<type>[^"]+)"', re.MULTILINE)
_TYPE_UNIT = re.compile(r'"(?P<type>[^"]+)"\s+(?:FLOAT|COMPLEX)[^()]*?PROP\((?P<properties>[^)]*)\)', re.DOTALL)
_UNIT = re.compile(r'"units"\s+"(?P<unit>[^"]*)"')


def sniff(head: bytes) -> bool:
    """Return True if the file begins with the section HEADER."""
    return bool(_HEAD.match(head))


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the sweep variable and the traces.

    Raises:
        TraceError: no section VALUE, a value that is not a number, or traces of several lengths.
    """
    text = "\n".join(read_text(path).lines)
    begin = re.search(r"^VALUE\s*$", text, re.MULTILINE)
    if begin is None:
        raise TraceError("the file has no section VALUE; was it cut off?")
    head, body = text[: begin.start()], re.split(r"^END\s*$", text[begin.end() :], maxsplit=1, flags=re.MULTILINE)[0]
    unit_of_type = {
        match["type"]: found["unit"] for match in _TYPE_UNIT.finditer(head) if (found := _UNIT.search(match["properties"]))
    }
    unit_of = {match["name"]: unit_of_type.get(match["type"]) for match in _NAME.finditer(head)}
    columns: dict[str, list[complex]] = {}
    for match in _VALUE.finditer(body):
        parts = [parse_number(word) for word in match["value"].strip("()").split()]
        if not 1 <= len(parts) <= 2 or any(value is None for value in parts):
            raise TraceError(f"the value {match['value'][:40]!r} of {match['name']!r} is not a number.")
        columns.setdefault(match["name"], []).append(complex(parts[0] or 0.0, (parts[1] if len(parts) == 2 else 0.0) or 0.0))
    arrays = []
    for name, values in columns.items():
        array = np.array(values)
        arrays.append(NamedArray("", name, array if np.any(array.imag != 0) else array.real, unit_of.get(name)))
    if not arrays:
        raise TraceError("the section VALUE contains no values; was the file cut off?")
    return table_from_arrays(arrays, part, {}, time="time" if "time" in columns else None)


register_reader("psf-ascii", sniff, read, priority=74)
