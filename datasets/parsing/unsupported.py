"""Formats that are recognised but not read: they are refused by name instead of being read as something else."""

from __future__ import annotations

import re

_SIGNATURES: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), name, remedy)
    for pattern, name, remedy in (
        (rb"\s*<\?xml|\s*<!DOCTYPE|\s*<html", "an XML or HTML file", ""),
        (rb"\s*[{\[]\s*(?:\"|[{\[\]}]|$)", "a JSON file", ""),
        (rb"PK\x03\x04", "a ZIP archive", "Unpack it."),
        (rb"(?:\x0f\x0f|\xf0\xf0):WFM#", "a Tektronix binary waveform (.wfm)", "Export it as CSV or .isf."),
        (
            rb"(?-i:FEA1[\x00-\x08])",
            "a Feather file of the first version",
            "Read it with pandas and pass the frame to read_trace.",
        ),
        (rb"BIO-LOGIC MODULAR FILE", "a binary file of EC-Lab (.mpr)", "Export it as text (.mpt)."),
        (rb"\x00\x00\x04\x00\x00\x00", "a binary PSF file of Spectre", "Write PSF ASCII: format=psfascii."),
        (rb"BZh[1-9]|\xfd7zXZ|7z\xbc\xaf|Rar!", "a compressed archive", "Unpack it, or pack the file by gzip."),
        (rb"%PDF|\{\\\\rtf", "a document", "Export the numbers as CSV."),
        (rb"\$FL2|RData|RDX[23]", "a file of a statistics program", ""),
        (rb"OggS|fLaC|ID3", "a compressed sound", "Convert it to .wav."),
        (rb"\x80[\x02-\x05]", "a Python pickle, which could run code when it is loaded", "Save the numbers as .npz."),
        (rb"(?-i:AG[0-9]{2})[\x00-\xff]{0,8}\x00", "a Keysight binary waveform (.bin)", "Export it as CSV or HDF5."),
    )
)


def describe_unsupported(head: bytes) -> tuple[str, str] | None:
    """Return the name of the unsupported format that starts like this, and a remedy; None if it is not in the list."""
    for pattern, name, remedy in _SIGNATURES:
        if pattern.match(head):
            return name, remedy or "Export it as CSV or as .npz."
    return None
