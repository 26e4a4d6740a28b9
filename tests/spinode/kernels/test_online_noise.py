"""The compiled normal numbers are those of `spinode.random.counter_normals`, whatever the instruction set."""

import pytest
import torch

from spinode import ConfigError
from spinode.kernels import native
from spinode.kernels.online import normals
from spinode.random import counter_normals

OFFERED = native.BUILD_INFO["simd_offered"]
pytestmark = pytest.mark.skipif(not native.built, reason=f"this installation has no compiled kernels: {native.reason}")


@pytest.mark.parametrize("simd", ["portable", "avx2", "avx512"])
@pytest.mark.parametrize("count", [1, 3, 4, 17, 63, 64, 65, 127, 128, 129, 600, 2050])
def test_compiled_numbers_equal_those_of_plain_torch(simd, count, monkeypatch):
    if simd not in OFFERED:
        pytest.skip(f"this machine or build has no {simd}")
    monkeypatch.setenv("SPINODE_SIMD", simd)
    position = (2**62 + 3, 2**33 - 2, 4, count)
    torch.testing.assert_close(normals(*position), counter_normals(*position), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("position", [(-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, -1, 1), (0, 0, 1, -1)])
def test_negative_positions_are_refused(position):
    with pytest.raises(ConfigError, match=r"key, first, steps and count are .*; expected none below 0"):
        normals(*position)
