"""Advice for a user who reads a file of pulses as one recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .columns import role_of
from .delimited import first_header
from .layout import READS
from .polarity import sign_in_name, sign_of

_HEAD = 4096


def pulse_hint(names: Sequence[str]) -> str:
    """Return advice for a file that could not be read as one recording, if its columns are those of pulses; else ""."""
    if is_set_and_reset(names):
        return (
            f" The names {names[0]!r} and {names[1]!r} look like reads after SET and reads after RESET pulses: pass "
            "pulses='up-down' if they are, or pulses=PulseLayout(layout='ramps', polarity='SET') for ramps of one polarity."
        )
    roles = {role_of(name)[0] for name in names}
    curves = {sign_in_name(name) for name in names} >= {1.0, -1.0}  # one column for each polarity
    if not curves and not (roles & set(READS) and roles & {"pulse", "direction"}):
        return ""
    return (
        ' Its columns are those of a memory device read pulse by pulse: pass pulses="auto" (or the layout by name: "long", '
        '"up-down", "ramps") for a TraceSet with one trace for each device and cycle.'
    )


def file_hint(path: Path) -> str:
    """Return `pulse_hint` for a file whose rows could not be read."""
    try:
        with path.open("rb") as file:
            return pulse_hint(first_header(file.read(_HEAD)))
    except OSError:
        return ""


def is_set_and_reset(names: Sequence[str]) -> bool:
    """Return True for two columns that are called like the two polarities."""
    return len(names) == 2 and [sign_of(name) for name in names] in ([1.0, -1.0], [-1.0, 1.0])
