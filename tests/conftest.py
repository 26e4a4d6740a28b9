"""Fixtures of the whole suite."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# A deadline per example would fail on a busy machine, not on a slow function.
settings.register_profile("spinode", deadline=None)
settings.load_profile("spinode")

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The nets are small: more threads cost more than they give, and sums keep one order."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout; tests of its layout have nothing to look at where only the wheel is tested."""
    if not (HERE.parent / "datasets" / "__init__.py").exists():
        pytest.skip("these tests were copied away from the checkout")
    return HERE.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real measurement files, which lie beside the checkout (or at $SPINODE_SHARED) and are not part of it."""
    folder = Path(os.environ.get("SPINODE_SHARED") or HERE.parent.parent / "shared")
    if not (folder / "data").is_dir():
        pytest.skip(f"no measurement files at {folder}; set SPINODE_SHARED to the folder that holds data/")
    return folder
