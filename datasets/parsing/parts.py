"""Files that contain several recordings, and the choice of one by name or number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from ...errors import TraceError

T = TypeVar("T")
#: Which recording of a file that contains several, by name or number.
Part: TypeAlias = str | int | None

_MAX_LISTED = 12


class SeveralParts(TraceError):
    """A file contains several recordings, and none of them was requested.

    Attributes:
        description: What the file contains; the first sentence of the message.
        parts: Their names, as `part=` accepts them.
        same_channels: False if their channels differ.
    """

    def __init__(self, description: str, parts: Sequence[str], *, same_channels: bool = True) -> None:
        together = ", or read all with read_traces" if same_channels else "; their channels differ, so they are separate traces"
        super().__init__(f"{description} Choose one with part={parts[0]!r}, or by number{together}.")
        self.description = description
        self.parts = tuple(parts)
        self.same_channels = same_channels

    def in_file(self, name: str) -> SeveralParts:
        """Return the error with the name of the file in front of it."""
        return SeveralParts(f"{name}: {self.description}", self.parts, same_channels=self.same_channels)


def choose_part(parts: Mapping[str, T], part: Part, describe: Callable[[T], str]) -> T:
    """Return the only recording of a file, or the one of the given name or number.

    Args:
        parts: Recordings by name, in the order of the file.
        part: Name, or number counted from 1 as in the listed order; None for the only one.
        describe: Returns a few words about a recording, for the message.

    Raises:
        SeveralParts: there are several, and none was named.
        TraceError: there is none of that name.
    """
    if part is None and len(parts) == 1:
        return next(iter(parts.values()))
    listed = "; ".join(f"{name!r} ({describe(each)})" for name, each in [*parts.items()][:_MAX_LISTED])
    listed += f"; and {len(parts) - _MAX_LISTED} more" if len(parts) > _MAX_LISTED else ""
    if part is None:
        raise SeveralParts(f"the file contains {len(parts)} recordings: {listed}.", list(parts))
    if isinstance(part, str) and part in parts:
        return parts[part]
    if str(part).isdigit() and 0 < int(part) <= len(parts):
        return [*parts.values()][int(part) - 1]
    raise TraceError(f"there is no part {part!r} in this file; it has: {listed}.")
