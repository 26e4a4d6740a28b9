"""Formats that are recognised but not read: they are refused by name instead of being read as something else."""

from __future__ import annotations

import re

_SIGNATURES: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), name, remedy)
    for pattern, name, remedy in (
        (rb"\s*<\?xml|\s*<!DOCTYPE|\s*<html", "an XML or HTML file", ""),
        (rb"\s*[{\[]\s*(?:\"|[{\[\]}]|$)", "a JSON file", ""),
        (rb"\x1f\x8b", "a gzip archive", "Unpack it first."),
        (rb"\x93NUMPY", "a single NumPy array (.npy)", "Save the named columns with numpy.savez(path, t=..., V=...)."),
        (rb"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)", "Save it as .xlsx or as CSV."),
        (rb"PK\x03\x04", "a ZIP archive", "Unpack it."),
        (rb"(?:\x0f\x0f|\xf0\xf0):WFM#", "a Tektronix binary waveform (.wfm)", "Export it as CSV or .isf."),
        (
            rb"SQLite format 3\x00",
            "an SQLite database (of QCoDeS?)",
            "Export the run as netCDF or CSV: dataset.export('netcdf').",
        ),
        (
            rb"(?-i:PAR1)[\x00-\x08\x0e-\x1f]",
            "a Parquet file",
            "Read it with pandas.read_parquet and pass the frame to read_trace.",
        ),
        (
            rb"(?-i:ARROW1\x00|FEA1[\x00-\x08])",
            "a Feather file",
            "Read it with pandas.read_feather and pass the frame to read_trace.",
        ),
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
