"""The two-state chain of random telegraph noise against the powers of its transition matrix."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from spinode.telegraph import TelegraphChain

CHAIN = TelegraphChain(fill=0.01, leave=0.02)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_transitions_are_the_power_of_the_matrix(count):
    single = np.array([[1 - CHAIN.fill, CHAIN.fill], [CHAIN.leave, 1 - CHAIN.leave]])
    expected = np.linalg.matrix_power(single, count)
    np.testing.assert_allclose(CHAIN.transitions(np.array([float(count)]))[..., 0], expected, rtol=1e-12, atol=1e-15)


def test_the_occupancy_is_the_stationary_distribution():
    settled = CHAIN.transitions(np.array(1e5))
    np.testing.assert_allclose(settled, [[1 - CHAIN.occupancy, CHAIN.occupancy]] * 2, rtol=1e-12)
    assert CHAIN.occupancy == pytest.approx(1 / 3)


def test_forgetting_is_accurate_for_small_rates():
    """1 - lambda^n by expm1 keeps its digits where lambda is nearly one."""
    chain = TelegraphChain(1e-12, 2e-12)
    found = chain.forgetting(torch.tensor([0.0, 1.0, 1000.0], dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor([0.0, 3e-12, 3e-9], dtype=torch.float64), rtol=1e-6, atol=0)


def test_stationary_samples_have_the_occupancy():
    """The number of filled traps is binomial, at a false-alarm rate of 1e-6."""
    filled = int(CHAIN.sample_stationary((100_000,), seeded(), torch.float32).sum())
    assert stats.binomtest(filled, 100_000, CHAIN.occupancy).pvalue > 1e-6


@pytest.mark.parametrize("sparse_below", [0.0, 1.0])
def test_candidates_change_with_the_probability_of_their_own_pulses(sparse_below):
    """Devices with 0, 1, 5 and 20 pulses in one call; the number of changes is binomial, at a false-alarm rate of 1e-6."""
    size = 200_000
    pulses = torch.tensor([0.0, 1.0, 5.0, 20.0]).repeat(size)
    index, u, own = CHAIN.candidates(pulses, seeded(), sparse_below=sparse_below)
    torch.testing.assert_close(own, pulses[index])
    emptied = -torch.expm1(own * math.log1p(-CHAIN.leave))
    changes = torch.bincount(index[u < emptied] % 4, minlength=4)
    assert changes[0] == 0
    for k, count in enumerate((0, 1, 5, 20)):
        if count:
            assert stats.binomtest(int(changes[k]), size, 1 - (1 - CHAIN.leave) ** count).pvalue > 1e-6


def test_the_number_of_candidates_follows_the_number_of_changes():
    pulses = torch.ones(100_000)
    index, _, _ = CHAIN.candidates(pulses, seeded())
    assert len(index) < 2 * 0.02 * 100_000
    assert len(CHAIN.candidates(pulses, seeded(), sparse_below=0.0)[0]) == 100_000


def test_a_known_maximum_gives_the_same_candidates():
    pulses = torch.arange(1000.0) % 7
    for first, second in zip(
        CHAIN.candidates(pulses, seeded()), CHAIN.candidates(pulses, seeded(), max_pulses=6.0), strict=True
    ):
        torch.testing.assert_close(first, second, rtol=0, atol=0)
