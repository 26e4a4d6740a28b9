"""Information-processing capacity against delay lines and a linear memory, whose capacities are known in closed form."""

from __future__ import annotations

import pytest
import torch

from spinode.errors import ConfigError
from spinode.surrogates import effective_rank, information_capacity


def inputs(count=4000, seed=0):
    return 2 * torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1


def line(x, length):
    return torch.stack([x.roll(k) for k in range(length)], 1)


def test_a_delay_line_has_one_unit_of_linear_capacity_for_each_delay():
    x = inputs()
    found = information_capacity(line(x, 7), x, delays=(20, 6), washout=20)
    assert found.linear == pytest.approx(7, rel=0.02)
    assert found.nonlinear + found.cross == pytest.approx(0, abs=0.02)
    assert found.rank == found.states == 7


def test_a_linear_memory_forgets_geometrically():
    x, keep = inputs(8000), 0.7
    state, states = torch.zeros(()).double(), []
    for value in x:
        state = keep * state + value
        states.append(state)
    found = information_capacity(torch.stack(states)[:, None], x, delays=(30,), washout=100)
    expected = (1 - keep**2) * keep ** (2 * torch.arange(4, dtype=torch.float64))
    torch.testing.assert_close(found.values[:4], expected, rtol=0.05, atol=0.01)
    assert found.total == pytest.approx(1, rel=0.02)


def test_squares_and_products_are_nonlinear_and_cross_terms():
    x = inputs()
    states = torch.stack([x.roll(1) ** 2, x * x.roll(2), x.roll(1) * x.roll(3)], 1)
    found = information_capacity(states, x, delays=(5, 5), washout=5)
    assert found.nonlinear == pytest.approx(1, rel=0.02)
    assert found.cross == pytest.approx(2, rel=0.02)
    assert found.linear == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_the_total_is_at_most_the_number_of_states(seed):
    x = inputs(700, seed)
    weights = torch.randn(6, 40, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    states = torch.tanh(2 * line(x, 6) @ weights)
    found = information_capacity(states, x, delays=(10, 8, 6), washout=10, false_alarm=0.5)
    assert found.total <= found.rank + 1e-9 <= 40 + 1e-9


def test_unrelated_states_have_capacity_at_the_stated_rate_of_false_alarms():
    x = inputs(2000)
    noise = torch.randn(2000, 5, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    found = information_capacity(noise, x, delays=(300, 20), washout=300, false_alarm=0.05)
    share = float((found.values > 0).double().mean())
    assert abs(share - 0.05) < 4 * (0.05 * 0.95 / len(found.terms)) ** 0.5


def test_binary_inputs_have_no_powers_and_scaled_states_the_same_capacity():
    bits = (inputs() > 0).double()
    found = information_capacity(1e-9 * line(bits, 3) + 5, bits, delays=(5, 4), washout=5)
    assert all(len(set(term)) == len(term) for term in found.terms)
    assert found.linear == pytest.approx(3, rel=0.02)
    assert "3 states" in found.summary()


def test_the_effective_rank_counts_independent_directions():
    x = inputs()
    assert effective_rank(line(x, 4) @ torch.rand(4, 9, generator=torch.Generator().manual_seed(1)).double()) <= 4
    assert effective_rank(torch.eye(5)) == 5


def test_refusals():
    x = inputs(400)
    with pytest.raises(ConfigError, match="expected \\(time, states\\)"):
        information_capacity(x, x)
    with pytest.raises(ConfigError, match="Record longer"):
        information_capacity(line(x, 3), x, delays=(300,))
    with pytest.raises(ConfigError, match="independent random"):
        information_capacity(line(x, 3), torch.arange(400.0).sin(), delays=(5,))
    with pytest.raises(ConfigError, match="constant"):
        information_capacity(torch.ones(400, 3), x, delays=(5,))
    with pytest.raises(ConfigError, match="delays"):
        information_capacity(line(x, 3), x, delays="ab")
