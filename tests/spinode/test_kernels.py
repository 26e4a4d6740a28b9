"""What `spinode.kernels` says about itself, with and without the compiled half."""

import subprocess
import sys

import pytest

from spinode import kernels

KEYS = ["native", "reason", "compiler", "standard", "simd_built", "simd_offered"]


def test_info_says_what_was_built():
    info = kernels.info()
    assert list(info) == KEYS
    if not info["native"]:
        pytest.skip(f"this installation has no compiled kernels: {info['reason']}")
    assert info["reason"] == ""
    assert info["standard"] >= 201703
    assert info["compiler"]


def test_the_machine_offers_what_the_build_needs():
    info = kernels.info()
    assert set(info["simd_built"]) <= set(info["simd_offered"])


def test_without_the_extension_the_package_imports_and_says_why(tmp_path):
    hide = "import sys; sys.modules['spinode.kernels._native'] = None; from spinode import kernels; print(kernels.info())"
    run = subprocess.run([sys.executable, "-c", hide], cwd=tmp_path, capture_output=True, text=True, check=True)
    info = eval(run.stdout)
    assert list(info) == KEYS
    assert info["native"] is False
    assert "spinode.kernels._native" in info["reason"]
    assert info["compiler"] == ""
