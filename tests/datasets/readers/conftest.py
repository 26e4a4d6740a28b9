"""Fixture that writes a sample file."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SAMPLES = runpy.run_path(str(Path(__file__).with_name("sample_files.py")))["SAMPLES"]


@pytest.fixture
def sample(tmp_path):
    """Return a function that writes a sample, or other data under its name, and returns the path."""

    def make(name, data=None):
        path = tmp_path / name
        path.write_bytes(SAMPLES[name] if data is None else data)
        return path

    return make
