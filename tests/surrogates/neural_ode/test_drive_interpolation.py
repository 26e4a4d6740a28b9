"""Drives between their samples: order of accuracy, held channels, derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinode.surrogates.neural_ode.drive_interpolation import drive_derivatives, settled_drive, stage_drive


def polynomial(degree: int, length: int = 60):
    """Return a function of (shift, derivative) for a polynomial with random coefficients, in units per sample."""
    coefficients = np.random.default_rng(degree).normal(size=degree + 1)
    exact = np.polynomial.Polynomial(coefficients, domain=[0, length], window=[-1, 1])
    times = np.arange(length, dtype=float)
    return lambda shift=0.0, order=0: (exact.deriv(order) if order else exact)(times + shift)


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
def test_short_drives_have_stages(samples):
    drive = torch.arange(samples, dtype=torch.float64)[:, None]
    stages = stage_drive(drive, ("spline",))
    assert stages.shape == (samples - 1, 3, 1)
    assert torch.allclose(stages[..., 0], drive[:-1] + torch.tensor([0.0, 0.5, 1.0]))


def test_held_and_linear_stages():
    drive = torch.tensor([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0]], dtype=torch.float64)
    stages = stage_drive(drive, ("held", "linear"))
    assert stages[..., 0].tolist() == [[1, 1, 1], [3, 3, 3]]
    assert stages[..., 1].tolist() == [[1, 2, 3], [3, 2.5, 2]]


def test_channels_and_batches_are_interpolated_independently():
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


def test_sample_has_responded_to_the_held_value_before_it():
    drive = torch.tensor([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0]], dtype=torch.float64)
    settled = settled_drive(drive, ("held", "spline"))
    assert settled[:, 0].tolist() == [1, 1, 3]
    assert settled[:, 1].tolist() == [1, 3, 2]
    # At each sample after the first this is the last stage of the step that ends there.
    assert torch.equal(settled[1:], stage_drive(drive, ("held", "spline"))[:, 2])


@pytest.mark.parametrize("degree", range(5))
def test_drive_derivatives_are_exact_for_polynomials(degree):
    """Central differences of five points: exact to the fourth degree, away from the ends."""
    values = polynomial(degree, 40)
    blocks = drive_derivatives(torch.as_tensor(values())[:, None], ("spline",), 4)[..., 0].numpy()
    assert blocks.shape == (40, 4)
    for order in range(4):
        inside = slice(3 * order, 40 - 3 * order)
        assert np.allclose(blocks[inside, order], values(order=order)[inside], rtol=0, atol=1e-11), order


def test_held_drives_have_no_derivative_inside_a_step():
    drive = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    blocks = drive_derivatives(drive, ("held", "spline"), 3)
    assert torch.equal(blocks[:, 0], settled_drive(drive, ("held", "spline")))
    assert not blocks[:, 1:, 0].any()
    assert blocks[:, 1:, 1].any()


@pytest.mark.parametrize("samples", [1, 2, 3, 5])
def test_short_drives_have_derivatives(samples):
    blocks = drive_derivatives(torch.arange(samples, dtype=torch.float64)[:, None], ("linear",), 2)
    assert torch.allclose(blocks[:, 1, 0], torch.full((samples,), float(samples > 1), dtype=torch.float64))
