"""Formats that are known by sight but not read: they are refused by name instead of being taken for something else."""

from __future__ import annotations

import re

_SIGNATURES: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), name, remedy)
    for pattern, name, remedy in (
        (rb"\x89HDF\r\n", "an HDF5 (or MATLAB 7.3) file", ""),
        (rb"MATLAB [57]\.[03] MAT-file", "a MATLAB .mat file", ""),
        (rb"TDSm", "a LabVIEW TDMS file", ""),
        (rb"LabVIEW Measurement", "a LabVIEW .lvm file", ""),
        (rb".{0,16}WAVEDESC", "a LeCroy .trc waveform", ""),
        (rb":(?:WFMP?R?E?|CURVE?):", "a Tektronix .isf waveform", ""),
        (rb"\s*#+ *ODT ", "an OOMMF data table (.odt)", ""),
        (rb"\s*#+ *OOMMF", "a vector field (OVF)", ""),
        (rb"(?:\s*!.*\n)*\s*# *[kMG]?Hz +[SYZGH] +(?:RI|MA|DB)", "a Touchstone file", ""),
        (rb"(?:\xef\xbb\xbf)?\s*SetupTitle *,", "a Keysight EasyEXPERT file", ""),
        (rb"\s*<\?xml|\s*<!DOCTYPE|\s*<html", "an XML or HTML file", ""),
        (rb"\s*[{\[]\s*(?:\"|[{\[\]}]|$)", "a JSON file", ""),
        (rb"\x1f\x8b", "a gzip archive", "Unpack it first."),
        (rb"\x93NUMPY", "a single NumPy array (.npy)", "Save the named columns with numpy.savez(path, t=..., V=...)."),
        (rb"\xd0\xcf\x11\xe0", "an Excel workbook", "Save the sheet as CSV."),
        (rb"PK\x03\x04", "a ZIP archive (perhaps an Excel workbook)", "Unpack it, or save the sheet as CSV."),
    )
)


def describe(head: bytes) -> tuple[str, str] | None:
    """Name of the format that starts like this and what to do about it; None if it is no format of the list."""
    for pattern, name, remedy in _SIGNATURES:
        if pattern.match(head):
            return name, remedy or "Export it as CSV or as .npz."
    return None
