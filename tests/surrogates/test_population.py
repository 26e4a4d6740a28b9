"""Populations: deconvolution of blurred devices, the number of components, and draws within what was seen."""

import numpy as np
import pytest
import torch

from spinode.surrogates.population import Population, mixture


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def blurred(count, seed=0, *, blur=0.8):
    """True mean and covariance, devices blurred each in its own way, and the covariances of the blur."""
    r = np.random.default_rng(seed)
    mean, covariance = np.array([0.5, -1.0]), np.array([[1.0, 0.3], [0.3, 0.25]])
    factors = blur * r.uniform(0.5, 1.5, (count, 1, 1)) * np.array([[1.0, 0.0], [0.5, 0.7]])
    noise = factors @ factors.transpose(0, 2, 1)
    points = r.multivariate_normal(mean, covariance, count) + (factors @ r.normal(size=(count, 2, 1)))[..., 0]
    return mean, covariance, points, noise


def test_the_covariance_is_that_before_the_blur():
    """Over 30 samples of 200 devices the mean estimate is within 5 of its standard errors of the truth; the raw one is not."""
    found, raw, centres = [], [], []
    for seed in range(30):
        mean, covariance, points, noise = blurred(200, seed)
        fit = mixture(points, noise, most=1)
        found.append(fit.covariances[0])
        centres.append(fit.means[0])
        raw.append(np.cov(points.T))
    error = np.std(found, 0, ddof=1) / np.sqrt(len(found))
    # Maximum likelihood divides by n, not n - 1, and the prior counts a hundredth of a device.
    assert (np.abs(np.mean(found, 0) - covariance) < 5 * error + 0.01 * np.abs(covariance)).all()
    assert (np.diag(np.mean(raw, 0) - covariance) > 10 * np.diag(error)).all()
    assert (np.abs(np.mean(centres, 0) - mean) < 5 * np.std(centres, 0, ddof=1) / np.sqrt(len(centres))).all()


def test_without_blur_it_is_the_sample_covariance():
    _, _, points, noise = blurred(500, 1)
    fit = mixture(points, np.zeros_like(noise), most=1)
    np.testing.assert_allclose(fit.means[0], points.mean(0), rtol=1e-6)
    np.testing.assert_allclose(fit.covariances[0], np.cov(points.T, bias=True), rtol=1e-3, atol=1e-4)
    assert fit.free == 5


def test_devices_that_are_all_alike_have_no_spread():
    """What scatters is the blur alone: the deviation of the population is far below it."""
    r = np.random.default_rng(2)
    points = r.normal(size=(400, 1))
    fit = mixture(points, np.ones((400, 1, 1)), most=1)
    # The sample variance of 400 has a deviation of sqrt(2 / 400) = 0.07; three of them.
    assert fit.covariances[0, 0, 0] < 0.21


def test_two_kinds_of_devices_make_two_components_and_one_kind_makes_one():
    sizes = []
    for seed in range(3):
        r = np.random.default_rng(seed)
        blur = np.tile(0.1 * np.eye(2), (75, 1, 1))
        one = r.normal(size=(75, 2))
        two = np.where(np.arange(75)[:, None] % 3 > 0, one + 4, one - 4)
        sizes.append([len(mixture(points, blur, most=3).weights) for points in (one, two)])
        fit = mixture(two, blur, most=2)
        if len(fit.weights) == 2:
            np.testing.assert_allclose(sorted(fit.weights), [0.33, 0.67], atol=0.02)
    # Six parameters more must gain 14 in log likelihood by chance: once in three is already much.
    assert sum(size == 1 for size, _ in sizes) >= 2
    assert sum(size == 2 for _, size in sizes) >= 2


def test_few_devices_make_one_component():
    r = np.random.default_rng(0)
    points = np.concatenate([r.normal(size=(20, 1)), 20 + r.normal(size=(20, 1))])
    assert len(mixture(points, np.full((40, 1, 1), 0.01)).weights) == 1


def test_the_fit_does_not_depend_on_where_zero_is():
    _, _, points, noise = blurred(100, 3)
    fit, moved = mixture(points, noise, most=2), mixture(points + 100, noise, most=2)
    np.testing.assert_allclose(moved.means, fit.means + 100, rtol=1e-6)
    np.testing.assert_allclose(moved.covariances, fit.covariances, rtol=1e-4, atol=1e-6)


def test_a_weight_of_two_is_the_device_twice():
    _, _, points, noise = blurred(60, 4)
    counts = np.ones(60)
    counts[:20] = 2
    weighted = mixture(points, noise, most=1, counts=counts)
    twice = mixture(np.concatenate([points, points[:20]]), np.concatenate([noise, noise[:20]]), most=1)
    np.testing.assert_allclose(weighted.means, twice.means, rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(weighted.covariances, twice.covariances, rtol=2e-2, atol=1e-3)


def test_resampled_devices_spread_as_the_mean_does():
    """Exponential weights (a Bayesian bootstrap): the mean's deviation is sd / sqrt(n), within 5 standard errors."""
    r = np.random.default_rng(5)
    points = r.normal(size=(100, 1))
    means = []
    for _ in range(200):
        counts = r.exponential(size=100)
        means.append(mixture(points, np.zeros((100, 1, 1)), most=1, counts=counts * 100 / counts.sum()).means[0, 0])
    assert abs(np.std(means) / (points.std() / 10) - 1) < 5 / np.sqrt(2 * 200)


# --- draws -----------------------------------------------------------------------------------------------------------


def normal(low=-50.0, high=50.0):
    mean, covariance = np.array([[1.0, -2.0]]), np.array([[[1.0, 0.6], [0.6, 2.0]]])
    return Population(np.ones(1), mean, covariance, np.full(2, low), np.full(2, high)), mean[0], covariance[0]


def test_draws_have_the_moments_of_the_mixture():
    population, mean, covariance = normal()
    drawn = population.draw(40_000, seeded()).numpy()
    assert drawn.shape == (40_000, 2)
    assert (np.abs(drawn.mean(0) - mean) < 5 * np.sqrt(np.diag(covariance) / 40_000)).all()
    variance = np.diag(covariance)
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / 40_000)
    assert (np.abs(np.cov(drawn.T) - covariance) < 5 * error).all()


def test_components_are_drawn_by_their_weights():
    population = Population(
        np.array([0.2, 0.8]), np.array([[-10.0], [10.0]]), np.ones((2, 1, 1)), np.array([-99.0]), np.array([99.0])
    )
    drawn = population.draw(10_000, seeded())
    assert abs(float((drawn > 0).double().mean()) - 0.8) < 5 * 0.4 / 100
    assert float(population.typical[0]) == pytest.approx(6.0)


def test_draws_stay_within_what_was_seen():
    """And are truncated, not clamped: no draw on the edge; the mean is that of the truncated normal distribution."""
    population = Population(np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)), np.array([0.0]), np.array([1.0]))
    drawn = population.draw(20_000, seeded()).numpy()
    assert drawn.min() > 0
    assert drawn.max() < 1
    density = np.exp(-0.5 * np.array([0.0, 1.0]) ** 2) / np.sqrt(2 * np.pi)
    expected = (density[0] - density[1]) / 0.3413447460685429
    assert abs(drawn.mean() - expected) < 5 * drawn.std() / np.sqrt(20_000)


def test_a_window_that_the_mixture_hardly_reaches_is_still_served():
    """A flat parameter is seen within a hair while its population is wide: rejection would try a billion times for a draw.

    The others then follow their distribution given that one.
    """
    covariance = np.array([[1.0, 0.6], [0.6, 1.0]])
    low, high = np.array([2.0 - 1e-9, -9.0]), np.array([2.0 + 1e-9, 9.0])
    population = Population(np.ones(1), np.zeros((1, 2)), covariance[None], low, high)
    drawn = population.draw(4000, seeded())
    assert bool(((drawn >= population.low) & (drawn <= population.high)).all())
    assert abs(float(drawn[:, 1].mean()) - 1.2) < 5 * 0.8 / np.sqrt(4000)
    assert abs(float(drawn[:, 1].std()) / 0.8 - 1) < 5 / np.sqrt(2 * 4000)


def test_a_window_far_out_is_still_served():
    population = Population(np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)), np.array([50.0]), np.array([51.0]))
    drawn = population.draw(100, seeded())
    assert bool(((drawn >= 50) & (drawn <= 51)).all())


def test_the_same_seed_draws_the_same_devices():
    population, _, _ = normal(-3.0, 4.0)
    torch.testing.assert_close(population.draw(50, seeded(3)), population.draw(50, seeded(3)), rtol=0, atol=0)
    assert not torch.equal(population.draw(50, seeded(3)), population.draw(50, seeded(4)))
