"""Memory capacity and parity check."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinode.datasets import capacity, delayed, parity, random_bits
from spinode.errors import ConfigError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_capacity_is_one_for_known_targets_and_zero_for_noise():
    u = random_bits(2000, generator=generator())
    past, odd = delayed(u, np.int64(3)), parity(u, 3)
    assert past[10].tolist() == [u[9], u[8], u[7]]
    assert odd[10].tolist() == [(u[10] + u[9]) % 2, (u[10] + u[9] + u[8]) % 2, u[7:11].sum() % 2]
    torch.testing.assert_close(capacity(past, past), torch.ones(3, dtype=torch.float64))
    noise = torch.randn(2000, 3, generator=generator(), dtype=torch.float64)
    assert float(capacity(noise, past).max()) < 0.02


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda: delayed(torch.ones(5), 5), "max_delay is 5; expected a whole number from 1 to 4"),
        (lambda: delayed(torch.ones(5, 2), 1), r"the input has shape \(5, 2\)"),
        (lambda: parity(torch.full((9,), 0.5), 2), "has values other than 0 and 1"),
    ],
)
def test_invalid_arguments_are_refused(compute, message):
    with pytest.raises(ConfigError, match=message):
        compute()
