"""Populations: moments of draws, latents given first states, and one-sided posteriors against numerical integration."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from spinode.surrogates.synapses.drift import Drift, Latents
from spinode.surrogates.synapses.noise import NoiseModel
from spinode.surrogates.synapses.population import BLUR, Population, resample
from spinode.surrogates.synapses.population_fit import fit_population
from spinode.surrogates.synapses.pulse_data import pulse_data
from spinode.surrogates.synapses.state_space_fit import StateFit
from spinode.traces.trace import Trace


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def samples(devices=60, copies=8, seed=0):
    """Return samples of correlated parameters, with a different uncertainty for each device."""
    r = np.random.default_rng(seed)
    root = np.array([[1.0, 0.0, 0.0], [0.6, 1.0, 0.0], [-0.3, 0.2, 0.4]])
    centres = np.array([1.0, -2.0, 0.5]) + r.normal(size=(devices, 1, 3)) @ root.T
    return centres + r.uniform(0.1, 0.8, (devices, 1, 1)) * r.normal(size=(devices, copies, 3))


def moments(values, weights=None):
    """Return mean and covariance over devices and copies."""
    flat = values.reshape(-1, values.shape[-1])
    share = np.full(len(values), 1 / len(values)) if weights is None else weights / weights.sum()
    return flat.mean(0) if weights is None else np.einsum("d,dcp->p", share, values) / values.shape[1], np.cov(
        flat.T, aweights=np.repeat(share, values.shape[1]), ddof=0
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_draws_have_the_moments_of_the_samples(weighted):
    """Mean and covariance of a million draws lie within 5 standard errors, which are below the 1 % that the blur adds."""
    values, count = samples(), 1_000_000
    weights = np.random.default_rng(1).exponential(size=len(values)) if weighted else None
    mean, covariance = moments(values, weights)
    population = Population(values, None if weights is None else torch.from_numpy(weights))
    drawn = population.draw(count, seeded()).numpy()
    assert drawn.shape == (count, 3)
    assert (np.abs(drawn.mean(0) - mean) < 5 * np.sqrt(np.diag(covariance) / count)).all()
    products = np.einsum("ni,nj->nij", drawn - mean, drawn - mean)
    error = products.std(0) / math.sqrt(count)
    assert (np.abs(products.mean(0) - covariance) < 5 * error).all()
    assert (5 * np.diag(error) < BLUR**2 * np.diag(covariance)).all()
    np.testing.assert_allclose(population.typical, mean, rtol=1e-12)
    np.testing.assert_allclose(population.deviation, np.sqrt(np.diag(covariance)), rtol=1e-12)


def test_devices_are_drawn_with_their_weights():
    values = np.repeat([[-10.0], [10.0]], 4, 1)[..., None]
    population = Population(values, torch.tensor([1.0, 4.0]))
    drawn = population.draw(10_000, seeded())
    assert abs(float((drawn > 0).double().mean()) - 0.8) < 5 * 0.4 / 100
    assert float(population.typical[0]) == pytest.approx(6.0)


def test_no_draw_is_a_copy_of_a_measured_device():
    values = samples()
    drawn = Population(values).draw(500, seeded()).numpy()
    nearest = np.abs(drawn[:, None] - values.reshape(1, -1, 3)).max(2).min(1)
    assert np.mean(nearest < 1e-6) == 0
    # The deviation of the blur in the smallest direction is a tenth of that of the population.
    assert np.median(nearest) < BLUR * moments(values)[1].diagonal().max() ** 0.5


def test_draws_lie_within_the_range_of_the_samples():
    """Includes a parameter with two values, for which all samples are at the edges."""
    values = samples()
    values[:, :, 2] = np.where(values[:, :, 2] > 0.5, 3.0, 1.0)
    drawn = Population(values).draw(5000, seeded()).numpy()
    flat = values.reshape(-1, 3)
    assert (drawn.min(0) >= flat.min(0)).all()
    assert (drawn.max(0) <= flat.max(0)).all()
    assert drawn[:, 2].min() == 1.0
    assert drawn[:, 2].max() == 3.0


def test_a_parameter_that_is_equal_for_all_devices_has_no_spread():
    values = samples()
    values[:, :, 1] = 0.25
    np.testing.assert_allclose(Population(values).draw(100, seeded())[:, 1], 0.25, rtol=1e-12)


def test_the_same_seed_draws_the_same_devices():
    population, first = Population(samples()), torch.linspace(-1, 3, 50)
    for sample in (lambda seed: population.draw(50, seeded(seed)), lambda seed: population.given(first, seeded(seed))):
        torch.testing.assert_close(sample(3), sample(3), rtol=0, atol=0)
        assert not torch.equal(sample(3), sample(4))


def test_the_samples_are_a_copy():
    values = samples()
    population, before = Population(values), samples()
    values += 100
    np.testing.assert_array_equal(population.samples, before)


# --- devices whose first state is known ------------------------------------------------------------------------------


def graded(devices=100, copies=4):
    """Return devices with first states x evenly on 0 .. 1 and two latents: 10 x + 3 with small scatter, and noise."""
    r = np.random.default_rng(2)
    first = np.linspace(0, 1, devices)
    latent = 10 * first[:, None] + 3 + 0.01 * r.normal(size=(devices, copies))
    first = np.repeat(first[:, None], copies, 1)
    return np.stack([first, latent, r.normal(size=latent.shape)], 2)


def test_latents_are_those_of_devices_with_similar_first_states():
    """The kernel is normal; its width covers ten of a hundred devices, 0.05 to either side."""
    population = Population(graded())
    for at in (0.3, 0.5, 0.7):
        found = population.given(torch.full((4000,), at), seeded()).numpy()
        assert found.shape == (4000, 2)
        distance = (found[:, 0] - 3) / 10 - at
        assert abs(distance.mean()) < 5 * 0.05 / math.sqrt(4000) + 0.005  # the distance of devices is 0.01
        assert distance.std() == pytest.approx(0.05, rel=0.1)


def test_latents_depend_on_the_first_state_of_each_device():
    first = torch.tensor([0.1, 0.9, 0.5])
    found = Population(graded()).given(first.repeat(200), seeded())[:, 0].reshape(200, 3)
    assert bool(((found - 10 * first - 3).abs() < 10 * 5 * 0.06).all())
    assert bool((found[:, 0] < found[:, 2]).all())


def test_latents_without_a_generator_are_the_mean_of_the_sampled_ones():
    population, first = Population(graded()), torch.tensor([0.3, 0.5, 0.7])
    mean = population.given(first)
    torch.testing.assert_close(mean, population.given(first), rtol=0, atol=0)
    for at, expected in zip(first, mean, strict=True):
        drawn = population.given(torch.full((20_000,), float(at)), seeded())
        error = drawn.std(0) / math.sqrt(20_000)
        assert bool(((drawn.mean(0) - expected).abs() < 5 * error).all())


def test_latents_are_finite_for_first_states_far_from_all_devices():
    """If all devices have the same first state, they have equal weights."""
    found = Population(graded()).given(torch.tensor([50.0, -50.0]))
    assert bool(torch.isfinite(found).all())
    # At this distance, the kernel covers most of the devices.
    assert float(found[0, 0]) > float(found[1, 0])
    values = samples()
    values[:, :, 0] = 0.7
    population = Population(values)
    torch.testing.assert_close(population.given(torch.tensor([0.7]))[0], population.typical[1:])


def test_devices_of_zero_weight_are_not_used():
    values = graded()
    weights = torch.ones(100)
    weights[::2] = 0
    values[::2, :, 1] = 1e6
    found = Population(values, weights).given(torch.linspace(0, 1, 500), seeded())
    assert float(found[:, 0].max()) < 20


# --- samples of the devices ------------------------------------------------------------------------------------------


def test_resampled_populations_have_the_standard_error_of_the_mean():
    """For exponential weights (a Bayesian bootstrap), the mean has the standard deviation sd / sqrt(n); 5 standard errors."""
    population, generator, count = Population(samples(devices=100)), seeded(), 400
    means = torch.stack([population.resampled(generator).typical for _ in range(count)])
    centres = population.samples.mean(1)
    # Dirichlet weights of n devices have n + 1 in place of n.
    expected = centres.std(0, correction=0) / math.sqrt(101)
    assert bool(((means.std(0) / expected - 1).abs() < 5 / math.sqrt(2 * count)).all())
    assert bool(((means.mean(0) - population.typical).abs() < 5 * expected / math.sqrt(count)).all())
    again = population.resampled(seeded(1))
    torch.testing.assert_close(again.samples, population.samples, rtol=0, atol=0)
    torch.testing.assert_close(again.weights, population.resampled(seeded(1)).weights, rtol=0, atol=0)


# --- importance resampling -------------------------------------------------------------------------------------------


def test_resampling_selects_proposals_by_their_weights():
    """Systematic: each is selected n w times, rounded up or down, and n w times on average, for each device."""
    r = np.random.default_rng(0)
    logs = r.normal(size=(20, 3)) - 1000.0
    share = np.exp(logs - logs.max(0))
    share /= share.sum(0)
    proposals = np.arange(60.0).reshape(20, 3, 1)
    counts = np.zeros((2000, 20, 3))
    for index in range(len(counts)):
        kept = resample(proposals, logs, 8, r)
        assert kept.shape == (3, 8, 1)
        for device in range(3):
            assert (kept[device, :, 0] % 3 == device).all()
            counts[index, :, device] = np.bincount((kept[device, :, 0] // 3).astype(int), minlength=20)
    assert (counts >= np.floor(8 * share)).all()
    assert (counts <= np.ceil(8 * share)).all()
    error = np.sqrt((8 * share % 1) * (1 - 8 * share % 1) / len(counts))
    assert (np.abs(counts.mean(0) - 8 * share) < 5 * error + 1e-9).all()


def test_resampling_does_not_depend_on_the_normalisation_of_weights():
    proposals, logs = np.random.default_rng(1).normal(size=(2, 30, 4))
    found = [resample(proposals[..., None], logs + shift, 8, np.random.default_rng(2)) for shift in (0.0, 1e4, -1e4)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


# --- one-sided posteriors -------------------------------------------------------------------------------------------

PULSES, STEP, READ, ACCUMULATING, PRIOR = 40, 0.02, 0.05, 0.002, 1.5


def slow_devices(devices=400):
    """Return a fit of devices that hardly change, and their reads.

    The reads bound the log rate r from above; from below, only its prior N(0, PRIOR^2) does. The drift STEP exp(r) per pulse
    does not depend on the state, so that the filter is exact.
    """
    r = np.random.default_rng(0)
    rates = -2.0 + 0.7 * r.normal(size=devices)
    path = np.cumsum(STEP * np.exp(rates) + ACCUMULATING * r.normal(size=(PULSES, devices)), 0)
    reads = np.concatenate([np.zeros((1, devices)), path]) + READ * r.normal(size=(PULSES + 1, devices))
    drive = {"SET": np.ones(PULSES + 1), "RESET": np.zeros(PULSES + 1)}
    traces = [
        Trace(np.arange(PULSES + 1.0), drive, {"conductance": column}, {"device": float(k)}, {"conductance": "S"})
        for k, column in enumerate(reads.T)
    ]
    data = pulse_data(traces, scale="linear")
    spread = data.scale.spread
    drift = Drift(Latents(("SET",), False, 0, window=False), 0, STEP / spread, hidden=(2,))
    with torch.no_grad():
        for weight in drift.field.parameters():
            weight.zero_()
        drift.field.out.bias.fill_(math.asinh(1.0))
    model = NoiseModel(("SET",))
    noise = np.array([math.log(ACCUMULATING / spread), 0.0, 0.0, math.log(READ / spread), 0.0])
    fit = StateFit(
        data, drift, np.zeros((devices, 1)), np.array([PRIOR]), model, noise, data.reads.copy(), np.zeros_like(data.seen)
    )
    fit.improve_latents(20)
    return fit, reads


def exact(reads, grid):
    """Return posterior distribution functions and log densities of r by numerical integration, shape (grid, devices).

    Increments of the reads are normal with mean STEP exp(r) and covariance q 1 + READ^2 (2 on, -1 next to the diagonal).
    """
    steps = np.diff(reads, axis=0)
    near = 2 * np.eye(PULSES) - np.eye(PULSES, k=1) - np.eye(PULSES, k=-1)
    inverse = np.linalg.inv(ACCUMULATING**2 * np.eye(PULSES) + READ**2 * near)
    one, own = inverse.sum(), inverse.sum(0) @ steps
    move = STEP * np.exp(grid)[:, None]
    log = move * own - 0.5 * move**2 * one - 0.5 * (grid[:, None] / PRIOR) ** 2
    density = np.exp(log - log.max(0))
    cumulated = np.cumsum(0.5 * (density[1:] + density[:-1]), 0)
    return np.concatenate([np.zeros((1, reads.shape[1])), cumulated / cumulated[-1]]), log


@pytest.fixture(scope="module")
def one_sided():
    """Return a fit, exact log posteriors, and ranks of importance-resampled and of normal samples within them."""
    fit, reads = slow_devices()
    grid = np.linspace(-9, 3, 2401)
    distribution, log = exact(reads, grid)
    drawn = fit_population(fit, 0).samples[:, :, 1].numpy()
    normal = np.random.default_rng(5).normal(size=drawn.shape)
    laplace = fit.latents + np.sqrt(fit.covariance[:, :, 0]) * normal

    def ranks(values):
        return np.stack([np.interp(row, grid, distribution[:, k]) for k, row in enumerate(values)])

    return fit, grid, log, ranks(drawn), ranks(laplace)


def excess(ranks):
    """Return the errors of the shares of ranks below some levels, in standard errors over devices."""
    levels = np.arange(0.1, 1.0, 0.1)
    below = (ranks[None] < levels[:, None, None]).mean(2)
    return np.abs(below.mean(1) - levels) / (below.std(1, ddof=1) / math.sqrt(below.shape[1]))


def test_the_log_posterior_equals_the_exact_one(one_sided):
    """Up to a constant for each device, over six units of the log rate."""
    fit, grid, log, _, _ = one_sided
    at = [600, 1000, 1400, 1800]  # -6 .. 0
    found = np.stack([fit.log_posterior(np.full_like(fit.latents, grid[index])) for index in at])
    # The filter starts from the first read and includes its error in the path: the same distribution.
    np.testing.assert_allclose(found - found[0], log[at] - log[at[0]], atol=1e-3)


def test_importance_resampling_agrees_with_numerical_integration(one_sided):
    """Ranks of samples in the exact posteriors of 400 devices are uniform, within 5 standard errors at nine levels."""
    _, _, _, ranks, _ = one_sided
    assert excess(ranks).max() < 5


def test_the_normal_approximation_does_not_agree(one_sided):
    _, _, _, _, ranks = one_sided
    assert excess(ranks).max() > 5
    assert stats.kstest(ranks[:, 0], "uniform").pvalue < 1e-4
