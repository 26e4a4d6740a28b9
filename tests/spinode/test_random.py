"""Rare events by their gaps are those of a draw for each trial: counts, places, independence; and who takes turns."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from spinode.random import are_exclusive_pairs, bernoulli_indices

FALSE_ALARM = 1e-6  # of each statistical test here


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("trials", "probability"), [(40, 0.03), (300, 0.01), (7, 0.6), (1, 0.25)])
def test_counts_are_binomial(trials, probability):
    generator, calls = seeded(trials), 6000
    counts = np.array([len(bernoulli_indices(trials, probability, generator)) for _ in range(calls)])
    # Tails are pooled, so that each class expects ten.
    low, high = (int(q) for q in stats.binom.ppf([10 / calls, 1 - 10 / calls], trials, probability))
    observed = np.bincount(np.clip(counts, low, high) - low, minlength=high - low + 1)
    expected = stats.binom.pmf(np.arange(low, high + 1), trials, probability)
    expected[0], expected[-1] = stats.binom.cdf(low, trials, probability), stats.binom.sf(high - 1, trials, probability)
    assert stats.chisquare(observed, expected * calls).pvalue > FALSE_ALARM


def test_the_count_of_very_many_trials_is_binomial():
    for seed, probability in enumerate((1e-5, 0.002, 0.3)):
        found = len(bernoulli_indices(3_000_000, probability, seeded(seed)))
        assert stats.binom.ppf(FALSE_ALARM / 2, 3_000_000, probability) <= found
        assert found <= stats.binom.isf(FALSE_ALARM / 2, 3_000_000, probability)


def test_places_are_uniform_and_ascend():
    """Also the first and the last place, where an error by one would show."""
    trials, probability, generator = 50, 0.04, seeded(1)
    calls = [bernoulli_indices(trials, probability, generator) for _ in range(20_000)]
    assert all(bool((each.diff() > 0).all()) for each in calls)
    places = torch.cat(calls)
    assert places.dtype == torch.int64
    observed = np.bincount(places.numpy(), minlength=trials)
    assert len(observed) == trials
    assert stats.chisquare(observed).pvalue > FALSE_ALARM


def test_trials_are_independent():
    """Pairs of trials at each distance succeed together as often as p^2 says."""
    trials, probability = 2_000_000, 0.02
    happened = torch.zeros(trials, dtype=torch.bool)
    happened[bernoulli_indices(trials, probability, seeded(2))] = True
    for lag in (1, 2, 3, 10, 1000):
        both = int((happened[lag:] & happened[:-lag]).sum())
        mean = (trials - lag) * probability**2
        # Overlapping pairs are correlated a little: the variance is that of their sum.
        variance = mean * (1 - probability**2) + 2 * (trials - 2 * lag) * (probability**3 - probability**4)
        assert abs(both - mean) < stats.norm.isf(FALSE_ALARM / 2) * math.sqrt(variance)


def test_thinned_events_have_their_own_probabilities():
    """Kept with q / p, as the docstring says: each trial succeeds with its q."""
    trials, most, generator = 1_000_000, 0.05, seeded(3)
    own = torch.linspace(0, most, trials, dtype=torch.float64)
    places = bernoulli_indices(trials, most, generator)
    kept = places[torch.rand(len(places), generator=generator, dtype=torch.float64) * most < own[places]]
    observed = np.bincount((kept // (trials // 10)).numpy(), minlength=10)
    for number, expected in zip(observed, own.reshape(10, -1).sum(1).tolist(), strict=True):
        assert abs(number - expected) < stats.norm.isf(FALSE_ALARM / 2) * math.sqrt(expected)


def test_certain_and_impossible_events():
    assert torch.equal(bernoulli_indices(5, 1.0, seeded()), torch.arange(5))
    assert len(bernoulli_indices(5, 0.0, seeded())) == 0
    assert len(bernoulli_indices(0, 0.5, seeded())) == 0
    assert len(bernoulli_indices(10**6, 1e-300, seeded())) == 0


def test_the_same_seed_gives_the_same_events():
    assert torch.equal(bernoulli_indices(1000, 0.1, seeded(4)), bernoulli_indices(1000, 0.1, seeded(4)))
    assert not torch.equal(bernoulli_indices(1000, 0.1, seeded(4)), bernoulli_indices(1000, 0.1, seeded(5)))


def test_pairs_take_turns_where_never_both_get_pulses():
    pulses = torch.tensor([[0.0, 3.0, 0.0, 1.0], [2.0, 0.0, 0.0, 0.0]])
    assert are_exclusive_pairs(pulses)
    assert are_exclusive_pairs(torch.zeros(2, 3, 4))
    pulses[1, 3] = 1
    assert not are_exclusive_pairs(pulses)
    assert not are_exclusive_pairs(pulses[0, :2])
    assert not are_exclusive_pairs(torch.zeros(3, 4))
