"""Random numbers: Bernoulli events by their gaps have the right law, counter-based numbers are normal and reproducible."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from spinode import ConfigError, FitConfig
from spinode.datasets import PermutedTasks, Subsets, made_digits
from spinode.random import are_exclusive_pairs, bernoulli_indices, counter_normals, make_generator, philox
from spinode.surrogates import DeviceLinear, IdealSynapse, StochasticConfig, SynapseConfig, mask
from spinode.training import OnlineLearner, StreamConfig

FALSE_ALARM = 1e-6  # rate of each statistical test of events


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("trials", "probability"), [(40, 0.03), (300, 0.01), (7, 0.6), (1, 0.25)])
def test_counts_are_binomial(trials, probability):
    generator, calls = seeded(trials), 6000
    counts = np.array([len(bernoulli_indices(trials, probability, generator)) for _ in range(calls)])
    # Tails are pooled, so that at least ten are expected in each class.
    low, high = (int(q) for q in stats.binom.ppf([10 / calls, 1 - 10 / calls], trials, probability))
    observed = np.bincount(np.clip(counts, low, high) - low, minlength=high - low + 1)
    expected = stats.binom.pmf(np.arange(low, high + 1), trials, probability)
    expected[0], expected[-1] = stats.binom.cdf(low, trials, probability), stats.binom.sf(high - 1, trials, probability)
    assert stats.chisquare(observed, expected * calls).pvalue > FALSE_ALARM


def test_count_of_many_trials_is_binomial():
    for seed, probability in enumerate((1e-5, 0.002, 0.3)):
        count = len(bernoulli_indices(3_000_000, probability, seeded(seed)))
        assert stats.binom.ppf(FALSE_ALARM / 2, 3_000_000, probability) <= count
        assert count <= stats.binom.isf(FALSE_ALARM / 2, 3_000_000, probability)


def test_indices_are_uniform_and_ascending():
    """Including the first and the last index, where an off-by-one error would show."""
    trials, probability, generator = 50, 0.04, seeded(1)
    calls = [bernoulli_indices(trials, probability, generator) for _ in range(20_000)]
    assert all(bool((call.diff() > 0).all()) for call in calls)
    indices = torch.cat(calls)
    assert indices.dtype == torch.int64
    observed = np.bincount(indices.numpy(), minlength=trials)
    assert len(observed) == trials
    assert stats.chisquare(observed).pvalue > FALSE_ALARM


def test_trials_are_independent():
    """Two trials at any distance both succeed with probability p^2."""
    trials, probability = 2_000_000, 0.02
    success = torch.zeros(trials, dtype=torch.bool)
    success[bernoulli_indices(trials, probability, seeded(2))] = True
    for lag in (1, 2, 3, 10, 1000):
        both = int((success[lag:] & success[:-lag]).sum())
        mean = (trials - lag) * probability**2
        # Overlapping pairs are slightly correlated, which adds to the variance.
        variance = mean * (1 - probability**2) + 2 * (trials - 2 * lag) * (probability**3 - probability**4)
        assert abs(both - mean) < stats.norm.isf(FALSE_ALARM / 2) * math.sqrt(variance)


def test_thinned_events_have_their_own_probabilities():
    """Indices kept with probability q / p are successes of probability q."""
    trials, largest, generator = 1_000_000, 0.05, seeded(3)
    probabilities = torch.linspace(0, largest, trials, dtype=torch.float64)
    indices = bernoulli_indices(trials, largest, generator)
    kept = indices[torch.rand(len(indices), generator=generator, dtype=torch.float64) * largest < probabilities[indices]]
    observed = np.bincount((kept // (trials // 10)).numpy(), minlength=10)
    for number, expected in zip(observed, probabilities.reshape(10, -1).sum(1).tolist(), strict=True):
        assert abs(number - expected) < stats.norm.isf(FALSE_ALARM / 2) * math.sqrt(expected)


def test_certain_and_impossible_events():
    assert torch.equal(bernoulli_indices(5, 1.0, seeded()), torch.arange(5))
    assert len(bernoulli_indices(5, 0.0, seeded())) == 0
    assert len(bernoulli_indices(0, 0.5, seeded())) == 0
    assert len(bernoulli_indices(10**6, 1e-300, seeded())) == 0


def test_same_seed_gives_the_same_events():
    assert torch.equal(bernoulli_indices(1000, 0.1, seeded(4)), bernoulli_indices(1000, 0.1, seeded(4)))
    assert not torch.equal(bernoulli_indices(1000, 0.1, seeded(4)), bernoulli_indices(1000, 0.1, seeded(5)))


def test_pairs_are_exclusive_if_at_most_one_device_gets_pulses():
    pulses = torch.tensor([[0.0, 3.0, 0.0, 1.0], [2.0, 0.0, 0.0, 0.0]])
    assert are_exclusive_pairs(pulses)
    assert are_exclusive_pairs(torch.zeros(2, 3, 4))
    pulses[1, 3] = 1
    assert not are_exclusive_pairs(pulses)
    assert not are_exclusive_pairs(pulses[0, :2])
    assert not are_exclusive_pairs(torch.zeros(3, 4))


# --- counter-based numbers ---


def test_philox_matches_the_reference_vectors():
    """Published vectors of Philox4x32-10 for counters and keys of zeros and of ones."""
    zero, one = torch.zeros(1, dtype=torch.int64), torch.full((1,), 0xFFFFFFFF)
    assert [int(w) for w in philox((zero,) * 4, 0)] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert [int(w) for w in philox((one,) * 4, 2**64 - 1)] == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


def test_counter_normals_are_normal_and_independent():
    """Kolmogorov-Smirnov and correlations of 240 000 numbers, at false-alarm rates of 1e-4 (3.9 standard errors) each."""
    values = counter_normals(2**61 + 17, 5, 400, 600).double()
    assert stats.kstest(values.flatten().numpy(), "norm").pvalue > 1e-4
    for shifted in (values[:, 1:] * values[:, :-1], values[1:] * values[:-1], values[:, 150:] * values[:, :-150]):
        assert abs(float(shifted.mean())) < 3.9 / shifted.numel() ** 0.5
    square = values.square() - 1
    for shifted in (square[:, 1:] * square[:, :-1], square[:, 150:] * square[:, :-150]):
        assert abs(float(shifted.mean())) < 3.9 * 2 / shifted.numel() ** 0.5


@pytest.mark.parametrize("first", [0, 3, 2**33 - 1])
def test_numbers_depend_only_on_their_position(first):
    together = counter_normals(9, first, 5, 13)
    single = torch.cat([counter_normals(9, first + i, 1, 13) for i in range(5)])
    assert torch.equal(together, single)


# --- seeds ---


def test_generators_from_seeds_and_from_generators():
    def draw(seed):
        return torch.rand(3, generator=make_generator(seed))

    assert torch.equal(draw(3), draw(np.int64(3)))
    assert torch.equal(draw(seeded(1)), draw(seeded(1)))
    source = seeded(1)
    assert not torch.equal(draw(source), draw(source))


@pytest.mark.parametrize("seed", [None, "1", 1.5, True, torch.ones(2)])
def test_invalid_seeds_are_refused(seed):
    with pytest.raises(ConfigError, match=r"seed is .*; expected a whole number or a torch\.Generator"):
        make_generator(seed)


@pytest.mark.parametrize("seed", [-1, 2**32, 2**64, True, None, "x", [1]])
def test_every_seed_is_checked_alike(seed):
    stream = PermutedTasks(made_digits(train=20, test=20), tasks=2)
    for use in (
        made_digits,
        lambda seed: PermutedTasks(stream.images, seed=seed),
        lambda seed: Subsets(stream.images, 2, seed=seed),
        lambda seed: FitConfig(seed=seed),
        lambda seed: SynapseConfig(seed=seed),
        lambda seed: StochasticConfig(seed=seed),
        lambda seed: StreamConfig(seed=seed),
        lambda seed: OnlineLearner(stream, seed=seed),
        lambda seed: mask("binary", 3, seed=seed),
        lambda seed: DeviceLinear(2, 2, IdealSynapse(), seed=seed),
    ):
        with pytest.raises(ConfigError, match=r"seed is .*; expected a whole number"):
            use(seed)
