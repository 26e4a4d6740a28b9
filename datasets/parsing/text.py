"""Decoding of text files of unknown encoding into lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import TraceError

_CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\r\f\x1a")) + b"\x7f"
# Share of letters of Latin-1 in a text of UTF-16 without a mark.
_MOSTLY = 0.9
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Text:
    """The lines of a text file.

    Attributes:
        lines: The lines without their line breaks; line n of the file is `lines[n - 1]`.
        encoding: Encoding by which the bytes were decoded.
        complete: True if the last line ends in a line break; an interrupted writer leaves it out.
    """

    lines: list[str]
    encoding: str
    complete: bool


def is_text(head: bytes) -> bool:
    """Return True if the first bytes of a file can be text: UTF-16, or no control characters."""
    return head.startswith(_UTF_16_MARKS) or head.translate(None, _CONTROL_BYTES) == head or _unmarked(head) is not None


def _unmarked(data: bytes) -> str | None:
    """Return the encoding of UTF-16 without a byte-order mark: every other byte is zero; None for anything else."""
    if len(data) < 8 or b"\0" not in data[:8]:
        return None
    data = data[: len(data) // 2 * 2]
    for encoding, zeros, others in (("utf-16-le", data[1::2], data[::2]), ("utf-16-be", data[::2], data[1::2])):
        mostly_latin = zeros.count(0) > _MOSTLY * len(zeros) and not others.count(0)
        if mostly_latin and others.translate(None, _CONTROL_BYTES) == others:
            return encoding
    return None


def read_text(path: Path, data: bytes | None = None) -> Text:
    """Decode a text file, or some bytes of it, as UTF-8, UTF-16 with or without a byte-order mark, or else Latin-1.

    Typographic minus signs become plain ones: word processors and some instruments write them into numbers.

    Raises:
        TraceError: the file is not text.
    """
    data = path.read_bytes() if data is None else data
    if not is_text(data):
        raise TraceError(f"{path.name} is not text: it contains control characters; is it a binary file, or damaged?")
    encoding = "utf-16" if data.startswith(_UTF_16_MARKS) else _unmarked(data) or "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        # Every byte is a letter of Latin-1, and the numbers are ASCII in either encoding.
        encoding = "latin-1"
        text = data.decode(encoding)
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2212", "-").rstrip("\x1a")
    # Not splitlines(): that also cuts at form feeds and at exotic separators inside names.
    lines = text.split("\n")
    complete = not lines[-1]
    return Text(lines[:-1] if complete else lines, encoding.removesuffix("-sig"), complete)
