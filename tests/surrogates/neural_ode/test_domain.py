"""The domain of validity: false alarms at the stated rate, and every far point is outside."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinode.surrogates.neural_ode.domain import MAX_POINTS, Domain


def cloud(count, seed, width=3):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("quantile", [0.9, 0.99])
def test_false_alarms_come_at_the_stated_rate(quantile):
    """Share of 20 000 fresh points of the same regime, radius from 2000 unseen ones.

    The share has a standard error of sqrt(p (1 - p) / 2000) from the radius: 4 of them fail in 6e-5 of seeds (it is fixed).
    """
    domain = Domain.around(cloud(2000, 0), cloud(2000, 1), quantile=quantile)
    share = float(domain.outside(cloud(20_000, 2)).double().mean())
    p = 1 - quantile
    assert share == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 2000))


@pytest.mark.parametrize("width", [1, 3, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_points_at_once_give_the_result_of_each_alone(width, dtype):
    domain = Domain.around(cloud(500, 0, width), cloud(100, 1, width)).to(dtype)
    points = 1.5 * cloud(20_000, 2, width).to(dtype)
    points[7], points[8] = 1e30, -1e30
    expected = domain.distance(points) > domain.radius
    assert 0.02 < float(expected.double().mean()) < 0.98
    assert torch.equal(domain.outside(points.reshape(20, 1000, width)), expected.reshape(20, 1000))


def test_far_points_are_outside_and_fitted_ones_are_inside():
    fitted = cloud(2000, 0)
    domain = Domain.around(fitted, cloud(500, 1))
    directions = torch.nn.functional.normalize(cloud(1000, 2), dim=-1)
    assert bool(domain.outside(8 * directions).all())
    assert not bool(domain.outside(fitted).any())


def test_hole_in_the_middle_is_outside():
    """A ring, as the orbit of an oscillator: its centre lies in its hull and far from every sample."""
    angle = torch.linspace(0, 6.3, 400, dtype=torch.float64)
    ring = torch.stack([angle.cos(), angle.sin()], -1)
    domain = Domain.around(ring[::2], ring[1::2])
    assert bool(domain.outside(torch.zeros(2, dtype=torch.float64)))
    assert not bool(domain.outside(ring).any())


def test_distance_is_that_of_the_nearest_point_for_any_shape():
    points = cloud(50, 0)
    requested = cloud(3000, 1).reshape(3, 1000, 3)
    brute = (requested[..., None, :] - points).norm(dim=-1).amin(-1)
    assert torch.allclose(Domain(points, 1.0).distance(requested), brute)
    assert Domain(points, 1.0).distance(requested[0, :0]).shape == (0,)


def test_seed_chooses_among_many_points():
    fitted = cloud(2 * MAX_POINTS, 0)
    first, again, other = (Domain.around(fitted, fitted[:100], seed=seed) for seed in (1, 1, 2))
    assert first.points.shape == (MAX_POINTS, 3)
    assert torch.equal(first.points, again.points)
    assert not torch.equal(first.points, other.points)


def test_distance_has_no_gradient():
    requested = cloud(5, 0).requires_grad_()
    assert not Domain(cloud(10, 1), 1.0).distance(requested).requires_grad


def test_constant_beyond_the_fitted_ones_is_outside_however_near():
    points = cloud(400, 3)
    points[:, -1] = points[:, -1].sign()
    inside = Domain(points, 5.0, 1)
    requested = points[:3].clone()
    requested[:, -1] = torch.tensor([0.0, 1.05, 1.5])
    assert inside.outside(requested).tolist() == [False, False, True]
    assert Domain(points, 5.0).outside(requested).tolist() == [False, False, False]
