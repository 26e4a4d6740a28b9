"""The likelihood of reads against the dense normal distribution of the same linear model, its gradient against differences."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from spinode import ConfigError, kernels
from spinode.surrogates.synapses import kalman
from spinode.surrogates.synapses.kalman import Noise, Steps

READS, LANES = 9, 5


@pytest.fixture(params=["torch", "auto"], autouse=True)
def path(request):
    """Use the NumPy filter, and the compiled one if it is available."""
    with kernels.use(request.param):
        yield request.param


def example(seed=0, *, reads=READS, lanes=LANES, telegraph=True, memory=True, missing=True):
    """Return a linear model with every kind of noise, slopes from 0.5 to 1.2, and noise that differs from step to step."""
    r = np.random.default_rng(seed)
    seen = r.random((reads, lanes)) > 0.25 if missing else np.ones((reads, lanes), bool)
    seen[0] = True
    filled = r.random((reads, lanes)) > 0.5 if telegraph else np.zeros((reads, lanes), bool)
    steps = Steps(
        np.where(seen, r.normal(size=(reads, lanes)), 0.0), seen, 0.3 * r.normal(size=(reads - 1, lanes)),
        r.uniform(0.5, 1.2, (reads - 1, lanes)), r.normal(size=(reads - 1, lanes)), filled,
    )  # fmt: skip
    noise = Noise(
        r.uniform(0.05, 0.5, (reads - 1, lanes)), r.uniform(0.05, 0.5, (reads, lanes)),
        r.uniform(0.2, 0.6, lanes) if memory else np.zeros(lanes), r.uniform(0.2, 0.95, (reads - 1, lanes)),
        r.normal(size=lanes) if telegraph else np.zeros(lanes), r.uniform(0.1, 0.4, lanes) if telegraph else np.zeros(lanes),
    )  # fmt: skip
    return steps, noise


def dense(steps, noise, lane):
    """Return mean and covariance of all later reads given the first, from a linear map of independent normal numbers.

    The prior of the first state is flat: x0 = y0 - a0 - h0 - e0.
    """
    count = len(steps.reads)
    size = 1 + 2 * count + 2 * (count - 1)  # a0, then e and the captures of each read, then w and v of each step
    unit = np.eye(size)
    memory, spread = noise.memory[lane], noise.depth_variance[lane]

    def error(k):
        return np.sqrt(noise.read[k, lane]) * unit[1 + k]

    def capture(k):
        return noise.depth[lane], np.sqrt(spread) * unit[1 + count + k]

    a = np.sqrt(memory) * unit[0]
    h_mean, h = capture(0) if steps.filled[0, lane] else (0.0, np.zeros(size))
    x_mean, x = steps.reads[0, lane] - h_mean, -a - h - error(0)
    means, rows = [], []
    for k in range(count - 1):
        slope, rho = steps.slope[k, lane], noise.decay[k, lane]
        x_mean = x_mean + steps.drift[k, lane] + (slope - 1) * (x_mean - steps.reference[k, lane])
        x = slope * x + np.sqrt(noise.process[k, lane]) * unit[1 + 2 * count + k]
        a = rho * a + np.sqrt(memory * (1 - rho**2)) * unit[3 * count + k]
        if not steps.filled[k + 1, lane]:
            h_mean, h = 0.0, np.zeros(size)
        elif not steps.filled[k, lane]:
            h_mean, h = capture(k + 1)
        means.append(x_mean + h_mean)
        rows.append(x + a + h + error(k + 1))
    matrix = np.array(rows)
    return np.array(means), matrix @ matrix.T


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "parts", [{}, {"telegraph": False}, {"memory": False}, {"missing": False}, {"telegraph": False, "memory": False}], ids=str
)
def test_the_log_likelihood_is_that_of_the_dense_normal_distribution(seed, parts):
    steps, noise = example(seed, **parts)
    found = kalman.run(steps, noise).loglik
    for lane in range(LANES):
        mean, covariance = dense(steps, noise, lane)
        seen = steps.seen[1:, lane]
        expected = multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)]).logpdf(steps.reads[1:, lane][seen])
        assert found[lane] == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_innovations_whiten_the_reads():
    """The Cholesky factor of the dense covariance gives the same innovations and variances, read by read."""
    steps, noise = example(4, missing=False)
    result = kalman.run(steps, noise)
    for lane in range(LANES):
        mean, covariance = dense(steps, noise, lane)
        factor = np.linalg.cholesky(covariance)
        white = np.linalg.solve(factor, steps.reads[1:, lane] - mean)
        np.testing.assert_allclose(result.variance[1:, lane], np.diag(factor) ** 2, rtol=1e-10)
        np.testing.assert_allclose(result.innovation[1:, lane], white * np.diag(factor), rtol=1e-9, atol=1e-12)


def test_the_filtered_mean_of_the_last_state_is_the_conditional_one():
    """E[x_T | all reads] equals the conditional mean of a further, noiseless read in the dense distribution."""
    steps, noise = example(5, telegraph=False, memory=False)
    seen = steps.seen.copy()
    seen[-2:] = True
    steps = replace(steps, seen=seen)
    result = kalman.run(steps, noise)
    twin = replace(
        steps, reads=np.vstack([steps.reads, steps.reads[-1:]]), seen=np.vstack([seen, seen[-1:]]),
        drift=np.vstack([steps.drift, np.zeros((1, LANES))]), slope=np.vstack([steps.slope, np.ones((1, LANES))]),
        reference=np.vstack([steps.reference, np.zeros((1, LANES))]), filled=np.vstack([steps.filled, steps.filled[-1:]]),
    )  # fmt: skip
    quiet = replace(
        noise, process=np.vstack([noise.process, np.zeros((1, LANES))]), read=np.vstack([noise.read, np.zeros((1, LANES))]),
        decay=np.vstack([noise.decay, np.ones((1, LANES))]),
    )  # fmt: skip
    for lane in range(LANES):
        mean, covariance = dense(twin, quiet, lane)
        seen_later = np.append(seen[1:, lane], False)
        gain = np.linalg.solve(covariance[np.ix_(seen_later, seen_later)], covariance[seen_later, -1])
        expected = mean[-1] + gain @ (twin.reads[1:, lane][seen_later] - mean[seen_later])
        assert result.mean[0, -1, lane] == pytest.approx(expected, rel=1e-10)


def test_the_drift_gradient_is_exact():
    """At fixed gains, the log likelihood is quadratic in the drift, so central differences are exact."""
    steps, noise = example(1)
    gradient = kalman.drift_gradient(steps, noise, kalman.run(steps, noise))
    for k in range(READS - 1):
        shift = np.zeros_like(steps.drift)
        shift[k] = 0.5
        above = kalman.run(replace(steps, drift=steps.drift + shift), noise).loglik
        below = kalman.run(replace(steps, drift=steps.drift - shift), noise).loglik
        np.testing.assert_allclose(gradient[k], above - below, rtol=1e-9, atol=1e-10)


def test_the_gradient_is_zero_after_the_last_read():
    steps, noise = example(2)
    seen = steps.seen.copy()
    seen[5:] = False
    steps = replace(steps, seen=seen)
    gradient = kalman.drift_gradient(steps, noise, kalman.run(steps, noise))
    assert (gradient[4:] == 0).all()
    assert (gradient[0] != 0).any()


def test_information_is_that_of_the_dense_distribution():
    """sum s s^T / S = J^T C^-1 J with J the slopes of the dense mean, by differences; the gradient is -J^T C^-1 (mean - y)."""
    steps, noise = example(3)
    columns = np.random.default_rng(7).normal(size=(3, READS - 1, LANES))
    matrix, vector = kalman.information(steps, noise, kalman.run(steps, noise), columns)
    assert matrix.shape == (LANES, 3, 3)
    for lane in range(LANES):
        seen_later = steps.seen[1:, lane]
        mean, covariance = dense(steps, noise, lane)
        shifted = [dense(replace(steps, drift=steps.drift + column), noise, lane)[0] - mean for column in columns]
        jacobian = np.array(shifted).T[seen_later]  # exact: the mean is linear in the drift
        solved = np.linalg.solve(covariance[np.ix_(seen_later, seen_later)], jacobian)
        np.testing.assert_allclose(matrix[lane], jacobian.T @ solved, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(vector[lane], solved.T @ (steps.reads[1:, lane] - mean)[seen_later], rtol=1e-9, atol=1e-10)


def test_information_does_not_depend_on_block_boundaries():
    """Blocks have 64 steps: 63, 64, 65 and 130 steps agree with the gradient, which is not computed in blocks."""
    for reads in (64, 65, 66, 131):
        steps, noise = example(6, reads=reads)
        columns = np.random.default_rng(8).normal(size=(2, reads - 1, LANES))
        result = kalman.run(steps, noise)
        _, vector = kalman.information(steps, noise, result, columns)
        gradient = kalman.drift_gradient(steps, noise, result)
        np.testing.assert_allclose(vector, np.einsum("pkl,kl->lp", columns, gradient), rtol=1e-9, atol=1e-9)


def test_the_expected_information_is_the_spread_of_the_gradient():
    """For reads sampled from the model, the gradient has mean zero and covariance `information`; 5 standard errors."""
    steps, noise = example(9, lanes=1)
    mean, covariance = dense(steps, noise, 0)
    count = 4000
    drawn = np.random.default_rng(0).multivariate_normal(mean, covariance, size=count).T
    reads = np.concatenate([np.full((1, count), steps.reads[0, 0]), drawn])
    wide = replace(steps.tiled(count), reads=reads)
    many = Noise(*(np.tile(value, count) if value.ndim == 1 else np.tile(value, (1, count)) for value in vars(noise).values()))
    columns = np.ones((1, READS - 1, count))
    matrix, vector = kalman.information(wide, many, kalman.run(wide, many), columns)
    expected = matrix[0, 0, 0]
    assert abs(vector.mean()) < 5 * np.sqrt(expected / count)
    assert abs(vector.var() / expected - 1) < 5 * np.sqrt(2 / count)


def test_lanes_are_independent():
    steps, noise = example(10)
    together = kalman.run(steps, noise)
    gradient = kalman.drift_gradient(steps, noise, together)
    for lane in range(LANES):
        one = [lane]
        part = Steps(*(value[:, one] for value in vars(steps).values()))
        own = Noise(*(value[..., one] for value in vars(noise).values()))
        alone = kalman.run(part, own)
        for name, value in vars(alone).items():
            np.testing.assert_allclose(value, getattr(together, name)[..., one], rtol=1e-12, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(kalman.drift_gradient(part, own, alone), gradient[:, one], rtol=1e-12, atol=1e-12)


def test_tiled_lanes_equal_separate_runs():
    steps, noise = example(11)
    louder = replace(noise, process=2 * noise.process, memory=3 * noise.memory)
    both = Noise(*(np.concatenate(pair, -1) for pair in zip(vars(noise).values(), vars(louder).values(), strict=True)))
    loglik = kalman.run(steps.tiled(2), both).loglik
    expected = [kalman.run(steps, noise).loglik, kalman.run(steps, louder).loglik]
    np.testing.assert_allclose(loglik, np.concatenate(expected), rtol=1e-12)
    assert not np.allclose(*expected)


def test_values_of_missing_reads_do_not_matter():
    steps, noise = example(12)
    extreme = replace(steps, reads=np.where(steps.seen, steps.reads, 1e6))
    assert not steps.seen.all()
    plain, other = kalman.run(steps, noise), kalman.run(extreme, noise)
    for name, value in vars(plain).items():
        np.testing.assert_allclose(getattr(other, name), value, rtol=1e-12, atol=1e-12, err_msg=name)


def test_padding_a_recording_changes_nothing():
    steps, noise = example(13)
    longer = Steps(
        *(
            np.concatenate([value, np.zeros_like(value[:3]) if name != "slope" else value[:3]])
            for name, value in vars(steps).items()
        )
    )
    wide = replace(
        noise, process=np.vstack([noise.process, noise.process[:3]]), read=np.vstack([noise.read, noise.read[:3]]),
        decay=np.vstack([noise.decay, noise.decay[:3]]),
    )  # fmt: skip
    np.testing.assert_allclose(kalman.run(longer, wide).loglik, kalman.run(steps, noise).loglik, rtol=1e-12)


def test_shifting_all_reads_and_the_path_changes_nothing():
    """The prior of the first state is flat, so the likelihood does not depend on the origin."""
    steps, noise = example(14)
    moved = replace(steps, reads=steps.reads + 3.7, reference=steps.reference + 3.7)
    np.testing.assert_allclose(kalman.run(moved, noise).loglik, kalman.run(steps, noise).loglik, rtol=1e-9)


def test_reads_drawn_from_the_model_have_white_innovations():
    """For 2000 recordings, e^2 / S has mean 1 and neighbours are uncorrelated, within 5 standard errors."""
    steps, noise = example(15, lanes=1, missing=False)
    mean, covariance = dense(steps, noise, 0)
    count = 2000
    drawn = np.random.default_rng(1).multivariate_normal(mean, covariance, size=count).T
    wide = replace(steps.tiled(count), reads=np.concatenate([np.full((1, count), steps.reads[0, 0]), drawn]))
    many = Noise(*(np.tile(value, count) if value.ndim == 1 else np.tile(value, (1, count)) for value in vars(noise).values()))
    result = kalman.run(wide, many)
    white = (result.innovation / np.sqrt(result.variance))[1:]
    assert abs((white**2).mean() - 1) < 5 * np.sqrt(2 / white.size)
    assert abs((white[1:] * white[:-1]).mean()) < 5 / np.sqrt(white[1:].size)


def test_arrays_of_wrong_shapes_are_refused(path):
    """The bindings check shapes before the compiled code uses them."""
    if path == "torch" or not kernels.available():
        pytest.skip("the NumPy filter does not check shapes")
    steps, noise = example(16)
    with pytest.raises(ConfigError, match=r"drift has shape \(7, 5\); expected \(8, 5\)"):
        kalman.run(replace(steps, drift=steps.drift[1:]), noise)
