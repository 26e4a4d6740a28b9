"""Fitted surrogates as driven devices, run block by block as reservoirs do."""

from __future__ import annotations

import pytest
import torch

import spinode
from spinode.contracts.driven_device import DrivenDevice
from spinode.errors import ConfigError, TraceError
from spinode.surrogates import Reservoir


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_fitted_surrogate_is_a_driven_device(duffing, cheap):
    """A run in blocks equals one simulation of the held drive."""
    surrogate = spinode.fit(duffing(1500, hold=10), **cheap, order=2)
    reservoir = Reservoir(surrogate, 4, "uniform", hold=10e-9, scale=0.5)
    x = torch.rand(12, generator=generator(), dtype=torch.float64)
    drive = (0.5 * x[:, None] * reservoir.mask[0].T).flatten().repeat_interleave(10)
    start = surrogate.initial_state(torch.zeros(1, dtype=torch.float64))
    extended = torch.cat([drive, drive[-1:]])[:, None]
    expected = surrogate.simulate(extended, state=start[0])[1:][9::10, 0]
    torch.testing.assert_close(torch.cat(list(reservoir.stream(x, block=5))).flatten(), expected, rtol=0, atol=1e-12)
    assert isinstance(surrogate, DrivenDevice)
    with pytest.raises(TraceError, match="drive has shape"):
        surrogate.step_block(start, torch.ones(5, 3))
    with pytest.raises(ConfigError, match=r"hold is 1\.5e-09 s and the device's interval 1e-09 s"):
        Reservoir(surrogate, 4, hold=1.5e-9)


def test_fitted_delay_embedding_runs_in_blocks_of_any_size(duffing, cheap):
    """Its step needs the drive of the next sample, which a block does not contain."""
    surrogate = spinode.fit(duffing(1500, hold=10), **(cheap | {"embedding": "delay", "order": 2}))
    assert surrogate.embedding.lookahead == 1
    reservoir = Reservoir(surrogate, 4, hold=10e-9, scale=0.5)
    x = torch.rand(12, generator=generator(), dtype=torch.float64)
    small, whole = (torch.cat(list(reservoir.stream(x, block=block))) for block in (5, 12))
    torch.testing.assert_close(small, whole, rtol=0, atol=1e-12)
    assert float(whole.std()) > 0
