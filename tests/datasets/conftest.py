"""Fixtures that write a file and read it."""

from __future__ import annotations

import pytest

from spinode.datasets import read_trace


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write_file(content, name="file.dat", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write_file


@pytest.fixture
def read(write):
    """Return a function that writes a file and reads it."""
    return lambda content, encoding="utf-8", **options: read_trace(write(content, encoding=encoding), **options)
