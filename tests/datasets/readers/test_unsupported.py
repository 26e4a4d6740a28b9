"""Files that cannot be read are refused with their name and a remedy."""

from __future__ import annotations

import pytest

from spinode.datasets import read_trace
from spinode.errors import TraceError


def test_paths_that_cannot_be_opened(tmp_path):
    with pytest.raises(TraceError, match="there is no file"):
        read_trace(tmp_path / "absent.txt")
    with pytest.raises(TraceError, match="contains no file"):
        read_trace(tmp_path)
    with pytest.raises(TraceError, match="cannot be opened"):
        read_trace(tmp_path / ("x" * 5000))
    with pytest.raises(TraceError, match="cannot be opened"):
        read_trace("nul\0byte")


@pytest.mark.parametrize("content", [b"", b"\n\n  \n"])
def test_empty_files(read, content):
    with pytest.raises(TraceError, match="is empty"):
        read(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(range(256)) * 4, "the format of file.dat is not recognised"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5 file is damaged"),
        (b"\x1f\x8b\x08" + bytes(40), "gzip archive is damaged"),
        (b"\x93NUMPY\x01\x00" + bytes(40), "NumPy array is damaged"),
        (b"PK\x03\x04" + b"xl/workbook.xml" + bytes(40), "Excel workbook is damaged"),
        (b"PK\x03\x04" + b"photo.jpg" + bytes(40), "ZIP archive.*Unpack it"),
        (b"\x80\x04\x95" + bytes(40), "Python pickle, which could run code"),
        (b"# ODT 1.0\n# Table Start\n1 2\n", "no line of names"),
        (b"# OOMMF OVF 2.0\n1\n2\n", "no line '# Begin: Data"),
        (b"t,V\n0,1\n" + b"1,2\n" * 2000 + b"\x00\x01\x02", "contains control characters"),
    ],
)
def test_unsupported_and_damaged_files_are_refused_by_name(read, content, message):
    with pytest.raises(TraceError, match=message):
        read(content)
