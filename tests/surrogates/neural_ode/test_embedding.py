"""Embeddings: derivative estimates, drives between samples, and who may see whose future."""

import numpy as np
import pytest
import torch

from spinode.errors import ConfigError, TraceError
from spinode.surrogates.neural_ode.embedding import (
    DEGREE,
    Embedding,
    delayed,
    drive_blocks,
    embed,
    forward_differences,
    local_polynomial,
    settled_drive,
    stage_drive,
)


def polynomial(degree: int, length: int = 60):
    """Values and derivatives of a polynomial with random coefficients, per-sample units."""
    coefficients = np.random.default_rng(degree).normal(size=degree + 1)
    made = np.polynomial.Polynomial(coefficients, domain=[0, length], window=[-1, 1])
    times = np.arange(length, dtype=float)
    return lambda shift=0.0, order=0: (made.deriv(order) if order else made)(times + shift)


# Derivatives


@pytest.mark.parametrize("degree", range(DEGREE + 1))
def test_derivatives_of_polynomials_are_exact(degree):
    values = polynomial(degree)
    estimate, noise, _ = local_polynomial(values(), 5)
    for order in range(5):
        scale = max(1e-3, np.max(np.abs(values(order=order))))
        assert np.max(np.abs(estimate[:, order] - values(order=order))) < 1e-7 * scale, order
    assert noise[0] < 1e-12


def test_derivatives_of_a_clean_sine_need_no_smoothing():
    times, rate = np.arange(400.0), 2 * np.pi / 25
    estimate, _, _ = local_polynomial(np.sin(rate * times), 3)
    inside = slice(10, -10)
    assert np.max(np.abs(estimate[inside, 1] - rate * np.cos(rate * times)[inside])) < 2e-3 * rate
    assert np.max(np.abs(estimate[inside, 2] + rate**2 * np.sin(rate * times)[inside])) < 2e-2 * rate**2


@pytest.mark.parametrize("deviation", [0.003, 0.03, 0.3])
def test_noise_of_a_noisy_sine_is_found(deviation):
    """Ten recordings: the mean estimate within a tenth of the truth, each within a quarter."""
    times = np.arange(600.0)
    found = np.array(
        [
            local_polynomial(np.sin(times / 8) + deviation * np.random.default_rng(seed).normal(size=600), 1)[2]
            for seed in range(10)
        ]
    )
    assert np.mean(found) == pytest.approx(deviation, rel=0.1)
    assert found / deviation == pytest.approx(np.ones(10), rel=0.25)


def test_noise_of_white_noise_is_all_of_it():
    noise = np.random.default_rng(0).normal(size=4000)
    assert local_polynomial(noise, 1)[2] == pytest.approx(1, rel=0.05)


def test_stated_noise_of_each_derivative_is_the_error_it_makes():
    """The stated deviation is that of the noise that passes the smoother; what the smoother bends adds a little."""
    clean = [np.sin(np.arange(3000) / 12 + order * np.pi / 2) / 12**order for order in range(3)]
    estimate, noise, recorded = local_polynomial(clean[0] + 0.01 * np.random.default_rng(3).normal(size=3000), 3)
    errors = [np.sqrt(np.mean((estimate[100:-100, order] - clean[order][100:-100]) ** 2)) for order in range(3)]
    assert errors / noise == pytest.approx(np.ones(3), rel=0.3)
    assert noise[0] < 0.6 * recorded


def test_smoothed_derivative_beats_differences_on_noise():
    times, rate = np.arange(1000.0), 1 / 10
    noisy = np.sin(rate * times) + 0.02 * np.random.default_rng(1).normal(size=1000)
    truth = rate * np.cos(rate * times)
    ours = local_polynomial(noisy, 2)[0][:, 1]
    naive = np.gradient(noisy)
    rms = lambda error: np.sqrt(np.mean(error[20:-20] ** 2))  # noqa: E731
    assert rms(ours - truth) < 0.2 * rms(naive - truth)


def test_too_short_for_derivatives_is_said():
    with pytest.raises(TraceError, match="has 6 samples; at least 8 are needed"):
        local_polynomial(np.arange(6.0), 2)


# Embedded outputs


def test_clean_outputs_are_kept_to_the_last_bit():
    output = np.stack([np.sin(np.arange(300) / 9), np.cos(np.arange(300) / 7)], -1)
    blocks = embed(Embedding("derivative", 3), output)
    assert blocks.values.shape == (300, 3, 2)
    assert blocks.noise.shape == (3, 2)
    assert np.array_equal(blocks.values[:, 0], output)


def test_noisy_outputs_are_smoothed():
    clean = np.sin(np.arange(800) / 15)
    noisy = clean + 0.05 * np.random.default_rng(0).normal(size=800)
    smooth = embed(Embedding("derivative", 2), noisy[:, None]).values[:, 0, 0]
    assert np.std(smooth - clean) < 0.5 * np.std(noisy - clean)


def test_noise_of_kept_samples_is_not_lowered():
    noisy = np.sin(np.arange(800) / 15) + 1e-4 * np.random.default_rng(0).normal(size=800)
    blocks = embed(Embedding("derivative", 2), noisy[:, None])
    assert np.array_equal(blocks.values[:, 0, 0], noisy)
    assert blocks.noise[0] == pytest.approx([1e-4], rel=0.1)


def test_state_of_an_instant_depends_on_its_neighbourhood_only():
    """The derivative embedding looks half a window around, not further."""
    times = np.arange(300.0)
    output = np.sin(times / 9)[:, None]
    changed = output + np.where(times > 200, 1e-3 * ((times - 200) / 100) ** 4, 0)[:, None]
    one, other = (embed(Embedding("derivative", 2), values).values for values in (output, changed))
    assert np.array_equal(one[:197], other[:197])
    assert not np.allclose(one[210:], other[210:], rtol=0, atol=1e-8)


def test_delay_embedding_holds_forward_differences():
    values = np.random.default_rng(0).normal(size=(50, 2))
    blocks = embed(Embedding("delay", 3), values).values
    assert blocks.shape == (48, 3, 2)
    assert np.array_equal(blocks[:, 0], values[:48])
    assert np.allclose(blocks[:, 1], values[1:49] - values[:48])
    assert np.allclose(blocks[:, 2], values[2:] - 2 * values[1:49] + values[:48])


def test_delay_blocks_and_forward_samples_are_one_state_in_two_bases():
    values = np.random.default_rng(1).normal(size=40)
    blocks = forward_differences(values, 4)
    samples = np.stack([values[j : j + 37] for j in range(4)], -1)
    pascal = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 2, 1, 0], [1, 3, 3, 1]])
    assert np.allclose(blocks @ pascal.T, samples)


def test_noise_of_differences_grows_as_the_binomials():
    """Var of the j-th difference of white noise is the sum of the squared binomials: 1, 2, 6, 20."""
    blocks = embed(Embedding("delay", 4), np.random.default_rng(2).normal(size=(4000, 1)))
    assert blocks.recorded_noise == pytest.approx([1], rel=0.05)
    assert blocks.noise[:, 0] ** 2 == pytest.approx([1, 2, 6, 20], rel=0.1)


@pytest.mark.parametrize("degree", range(4))
def test_forward_differences_of_a_polynomial_end_at_its_degree(degree):
    blocks = forward_differences(np.arange(30.0) ** degree, 6)
    assert blocks.shape == (25, 6)
    assert np.allclose(blocks[:, degree], float(np.prod(np.arange(1, degree + 1))))
    assert np.allclose(blocks[:, degree + 1 :], 0)


@pytest.mark.parametrize(("kind", "size", "lookahead"), [("derivative", 2, 0), ("delay", 6, 2)])
def test_sizes(kind, size, lookahead):
    embedding = Embedding(kind, 3)
    assert (embedding.drive_size(2), embedding.lookahead) == (size, lookahead)


@pytest.mark.parametrize("order", [0, 7, 2.0])
def test_order_outside_its_range_is_refused(order):
    with pytest.raises(ConfigError, match=f"order is {order!r}; expected a whole number from 1 to 6"):
        Embedding("derivative", order)


def test_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="embedding 'fourier' is unknown; expected one of derivative, delay"):
        Embedding("fourier")


# Drives between samples


@pytest.mark.parametrize("degree", range(6))
def test_spline_stages_are_exact_for_polynomials(degree):
    """To the fifth degree inside, to the third in the two steps next to each end."""
    values = polynomial(degree, 30)
    stages = stage_drive(torch.as_tensor(values())[:, None], ("spline",))[..., 0].numpy()
    assert np.array_equal(stages[:, 0], values()[:-1])
    assert np.array_equal(stages[:, 2], values()[1:])
    exact = slice(None) if degree <= 3 else slice(2, -2)
    assert np.allclose(stages[exact, 1], values(0.5)[:-1][exact], rtol=0, atol=1e-12)


def test_spline_error_falls_as_the_sixth_power_inside():
    errors = []
    for step in (0.4, 0.2, 0.1):
        times = torch.arange(60, dtype=torch.float64) * step
        middle = stage_drive(torch.sin(times)[:, None], ("spline",))[2:-2, 1, 0]
        errors.append(float((middle - torch.sin(times[2:-3] + step / 2)).abs().max()))
    assert np.diff(np.log2(errors)) == pytest.approx([-6, -6], abs=0.2)


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 5, 6])
def test_few_samples_still_have_stages(samples):
    drive = torch.arange(samples, dtype=torch.float64)[:, None]
    stages = stage_drive(drive, ("spline",))
    assert stages.shape == (samples - 1, 3, 1)
    assert torch.allclose(stages[..., 0], drive[:-1] + torch.tensor([0.0, 0.5, 1.0]))


def test_held_and_linear_stages():
    drive = torch.tensor([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0]], dtype=torch.float64)
    stages = stage_drive(drive, ("held", "linear"))
    assert stages[..., 0].tolist() == [[1, 1, 1], [3, 3, 3]]
    assert stages[..., 1].tolist() == [[1, 2, 3], [3, 2.5, 2]]


def test_channels_keep_their_own_kind_and_batches_their_own_drive():
    drive = torch.randn(2, 5, 12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kinds = ("spline", "held", "linear")
    together = stage_drive(drive, kinds)
    assert together.shape == (2, 5, 11, 3, 3)
    for channel, kind in enumerate(kinds):
        alone = stage_drive(drive[1, 3, :, channel : channel + 1], (kind,))
        assert torch.equal(together[1, 3, :, :, channel : channel + 1], alone)


def test_stages_are_differentiable():
    drive = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u: stage_drive(u, ("spline", "held", "linear")), [drive])


def test_a_sample_has_answered_to_the_held_value_before_it():
    drive = torch.tensor([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0]], dtype=torch.float64)
    settled = settled_drive(drive, ("held", "spline"))
    assert settled[:, 0].tolist() == [1, 1, 3]
    assert settled[:, 1].tolist() == [1, 3, 2]
    # At each sample after the first this is the last stage of the step that ends there.
    assert torch.equal(settled[1:], stage_drive(drive, ("held", "spline"))[:, 2])


# Drives in the state


@pytest.mark.parametrize("degree", range(5))
def test_drive_blocks_are_derivatives(degree):
    """Central differences of five points: exact to the fourth degree, away from the ends."""
    values = polynomial(degree, 40)
    blocks = drive_blocks(torch.as_tensor(values())[:, None], ("spline",), 4)[..., 0].numpy()
    assert blocks.shape == (40, 4)
    for order in range(4):
        inside = slice(3 * order, 40 - 3 * order)
        assert np.allclose(blocks[inside, order], values(order=order)[inside], rtol=0, atol=1e-11), order


def test_held_drives_have_no_derivative_inside_a_step():
    drive = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    blocks = drive_blocks(drive, ("held", "spline"), 3)
    assert torch.equal(blocks[:, 0], settled_drive(drive, ("held", "spline")))
    assert not blocks[:, 1:, 0].any()
    assert blocks[:, 1:, 1].any()


@pytest.mark.parametrize("samples", [1, 2, 3, 5])
def test_short_drives_have_blocks(samples):
    blocks = drive_blocks(torch.arange(samples, dtype=torch.float64)[:, None], ("linear",), 2)
    assert torch.allclose(blocks[:, 1, 0], torch.full((samples,), float(samples > 1), dtype=torch.float64))


def test_delayed_places_forward_samples_side_by_side():
    stages = stage_drive(torch.arange(8, dtype=torch.float64)[:, None], ("linear",))
    seen = delayed(stages, 3)
    assert seen.shape == (7, 3, 3)
    assert seen[2, 0].tolist() == [2, 3, 4]
    assert seen[2, 1].tolist() == [2.5, 3.5, 4.5]
    # Beyond the last sample (7) the drive is held.
    assert seen[6, 0].tolist() == [6, 7, 7]
    assert seen[6, 2].tolist() == [7, 7, 7]


def test_delayed_looks_exactly_as_far_ahead_as_the_embedding_says():
    embedding = Embedding("delay", 3)
    drive = torch.randn(12, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    changed = drive.clone()
    changed[7] += 1
    one, other = (delayed(stage_drive(values, ("linear",)), embedding.order) for values in (drive, changed))
    touched = (one != other).flatten(1).any(1).nonzero()[:, 0]
    # The step before sample 7 ends there; each further sample of lookahead reaches one step further back.
    assert touched.tolist() == list(range(6 - embedding.lookahead, 8))


def test_order_one_sees_no_future():
    stages = torch.randn(2, 5, 3, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(delayed(stages, 1), stages)
