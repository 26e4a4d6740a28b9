"""Qucs data sets (.dat): `<indep time 101>` and `<dep V.Vt time>`, each followed by its values; complex ones as `1+j2`.

Variables over the same independent one are a recording. A sweep over two variables repeats the inner one.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ...errors import TraceError
from ...typing import Progress
from ..parsing.arrays import NamedArray, table_from_arrays
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.table import Table
from ..parsing.text import read_text

_HEAD = re.compile(rb"(?:\xef\xbb\xbf)?\s*<Qucs(?:Studio)? Dataset", re.IGNORECASE)
_BLOCK = re.compile(r"<(?P<kind>indep|dep)\s+(?P<name>\S+)(?P<rest>[^>]*)>(?P<values>.*?)</(?P=kind)>", re.DOTALL)
_COMPLEX = re.compile(r"(?P<real>[+-]?[\d.]+(?:[eE][+-]?\d+)?)?(?P<sign>[+-])j(?P<imaginary>[\d.]+(?:[eE][+-]?\d+)?)")
# Endings of the names that Qucs gives to node voltages and probe currents.
_UNITS = {"Vt": "V", "It": "A", "V": "V", "I": "A", "v": "V", "i": "A", "Vb": "V", "Ib": "A"}


def sniff(head: bytes) -> bool:
    """Return True if the file begins with the name of the format."""
    return bool(_HEAD.match(head))


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read the variables over an independent one.

    Raises:
        SeveralParts: several independent variables, and no `part`.
        TraceError: no values, or one that is not a number.
    """
    text = "\n".join(read_text(path).lines)
    blocks = list(_BLOCK.finditer(text))
    values = {block["name"]: _values(block["values"], block["name"]) for block in blocks}
    arrays: list[NamedArray] = []
    independent = {block["name"] for block in blocks if block["kind"] == "indep"}
    for block in blocks:
        name = block["name"]
        if block["kind"] == "indep":
            continue
        axes = [axis for axis in block["rest"].split() if axis in independent]
        group = " ".join(axes)
        if axes and not any(each.group == group for each in arrays):
            arrays += _axes(group, axes, values, len(values[name]))
        arrays.append(NamedArray(group, name, values[name], _UNITS.get(name.rpartition(".")[2])))
    if not arrays:
        raise TraceError("the data set has no dependent variables; was the file cut off?")
    return table_from_arrays(arrays, part, {}, time="time" if "time" in independent else None)


def _axes(group: str, axes: list[str], values: dict[str, np.ndarray], rows: int) -> list[NamedArray]:
    """Return the independent variables, repeated over the others; the first changes fastest."""
    found, inner = [], 1
    for axis in axes:
        column = np.repeat(values[axis], inner)
        repeats = rows // len(column) if len(column) else 0
        if repeats * len(column) != rows:
            raise TraceError(f"the variable {axis!r} has {len(values[axis])} values, which do not fit {rows} results.")
        unit = "s" if axis == "time" else "Hz" if axis in ("frequency", "acfrequency") else None
        found.append(NamedArray(group, axis, np.tile(column, repeats), unit))
        inner *= len(values[axis])
    return found


def _values(text: str, name: str) -> np.ndarray:
    words = text.split()
    try:
        return np.array([float(word) for word in words])
    except ValueError:
        pass
    values = []
    for word in words:
        match = _COMPLEX.fullmatch(word)
        try:
            imaginary = float(match["sign"] + match["imaginary"]) if match else 0.0
            values.append(complex(float(match["real"] or 0.0) if match else float(word), imaginary))
        except ValueError:
            raise TraceError(f"the value {word!r} of {name!r} is not a number.") from None
    return np.array(values)


register_reader("qucs", sniff, read, priority=73)
