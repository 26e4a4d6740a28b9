"""Fixtures that write a file of pulses and read it."""

from __future__ import annotations

import pytest

from spinode.datasets import read_trace


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write_file(content, name="pulses.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


@pytest.fixture
def read(write):
    """Return a function that writes a file and reads it as pulses."""
    return lambda content, pulses="long", **options: read_trace(write(content), pulses=pulses, **options)
