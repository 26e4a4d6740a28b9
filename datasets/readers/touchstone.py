"""Touchstone S-parameters (.s1p, .s2p, ...), by scikit-rf (extra `touchstone`): real and imaginary parts over the frequency.

A sweep of frequency has no time; its samples are numbered, and the frequency [Hz] is the first column.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import TraceError
from ...typing import Progress
from ..parsing.libraries import import_library, translated_errors
from ..parsing.parts import Part
from ..parsing.reader import register_reader
from ..parsing.table import Table
from ..parsing.text import read_text

_HEAD = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s*![^\r\n]*[\r\n]|\s*[\r\n])*\s*(?:\[Version\]|# *[kMG]?Hz +[SYZGH] +(?:RI|MA|DB))", re.IGNORECASE
)
_PORTS = re.compile(r"\.s(\d+)p$", re.IGNORECASE)


def sniff(head: bytes) -> bool:
    """Return True if the first line that is not a comment is a line of options."""
    return bool(_HEAD.match(head))


def read(path: Path, part: Part = None, progress: Progress | None = None) -> Table:
    """Read frequency and S-parameters.

    Raises:
        TraceError: scikit-rf is not installed, or the file is damaged.
    """
    skrf = import_library("skrf", "touchstone", "a Touchstone file")
    ports = _PORTS.search(path.name)
    with tempfile.TemporaryDirectory() as folder, translated_errors("Touchstone file"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The library finds the number of ports in the file name, and accepts neither byte-order marks nor carriage returns.
        lines = read_text(path).lines
        copy = Path(folder) / f"network.s{ports[1] if ports else _count_ports(lines)}p"
        copy.write_text("\n".join(lines) + "\n", encoding="utf-8")
        network = skrf.Network(str(copy))
        frequency, s = np.asarray(network.f, dtype=np.float64), np.asarray(network.s)
        impedance = float(np.real(network.z0.reshape(-1)[0]))
        comments = str(network.comments or "")
    if not len(frequency) or not np.isfinite(s).all():
        raise TraceError("there are no S-parameters in this file.")
    columns, names = [frequency], ["frequency"]
    for i, j in np.ndindex(s.shape[1:]):
        columns += [s[:, i, j].real, s[:, i, j].imag]
        names += [f"S{i + 1}{j + 1}.re", f"S{i + 1}{j + 1}.im"]
    units = ("Hz", *[""] * (len(names) - 1))
    return Table(tuple(names), tuple(columns), units, metadata={"impedance": impedance, "comments": comments[:2000]})


def _count_ports(lines: Sequence[str]) -> int:
    """Return the number of ports n, from the 2 n^2 + 1 cells of the first row."""
    for line in lines:
        cells = line.partition("!")[0].split()
        if cells and not cells[0].startswith(("#", "[")):
            return {3: 1, 9: 2, 7: 3}.get(len(cells), 2)
    return 1


register_reader("touchstone", sniff, read, priority=140)
