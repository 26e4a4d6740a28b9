"""Baselines of reservoirs: which of them remember the past."""

from __future__ import annotations

import pytest
import torch

from spinode.datasets import narma
from spinode.errors import ConfigError
from spinode.surrogates import EchoState, LinearNodes, RidgeStatistics, TanhNodes


def test_only_the_echo_state_network_has_a_memory():
    u, y = narma(1200, generator=torch.Generator().manual_seed(0))

    def error(network):
        states = network(2 * u)
        sums = RidgeStatistics(network.width)
        sums.add(states[100:800], y[100:800])
        return float((sums.solve()(states[800:])[:, 0] - y[800:]).square().mean() / y[800:].var())

    linear, static, echo = (error(each) for each in (LinearNodes(), TanhNodes(100), EchoState(100, scale=0.3)))
    assert linear > 0.7
    assert static > 0.7  # neither knows the past
    assert echo < 0.5
    assert float(torch.linalg.eigvals(EchoState(50, radius=0.7).weight).abs().max()) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"radius": 3.0}, r"radius is 3\.0; expected a finite number of at least 0 and below 1\.5"),
        ({"leak": 0.0}, "leak is 0.0; expected a finite number above 0 and of at most 1"),
        ({"density": 2}, "density is 2"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        EchoState(5, **settings)
