"""Tests of resting states: many at once, in both precisions, stable ones only."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from spinode.dynamics.fixed_points import fixed_points
from spinode.errors import DomainError

GRID = torch.linspace(-2, 2, 81, dtype=torch.float64)[:, None]


def pitchfork(x: Tensor, u: Tensor) -> Tensor:
    """dx/dt = u x - x^3: for u > 0 the stable roots are +-sqrt(u), and 0 is unstable; for u < 0 only 0 is a root."""
    return u * x - x**3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_stable_roots_of_a_pitchfork(dtype: torch.dtype) -> None:
    drives = torch.tensor([[-1.0], [0.25], [1.0], [-0.3]], dtype=dtype)
    roots = fixed_points(pitchfork, GRID.to(dtype), drives, 1)
    expected = torch.tensor([[0.0], [0.5], [1.0], [0.0]], dtype=dtype)
    torch.testing.assert_close(roots.abs(), expected, atol=5 * torch.finfo(dtype).eps ** 0.5, rtol=0)


def test_drives_together_have_the_roots_of_each_alone() -> None:
    """Of two roots, the one that is found does not depend on how many drives there are."""
    drives = torch.linspace(0.1, 1.5, 300, dtype=torch.float64)[:, None]
    candidates = 4 * torch.rand(3000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 2
    together = fixed_points(pitchfork, candidates, drives, 1)
    alone = torch.cat([fixed_points(pitchfork, candidates, drive[None], 1) for drive in drives[::30]])
    torch.testing.assert_close(together[::30], alone, atol=1e-9, rtol=0)


def test_a_state_that_does_not_matter_has_a_singular_jacobian_and_a_root_all_the_same() -> None:
    def half_used(x: Tensor, u: Tensor) -> Tensor:
        return torch.stack([u[..., 0] - x[..., 0], torch.zeros_like(x[..., 1])], -1)

    root = fixed_points(half_used, torch.rand(50, 2, dtype=torch.float64), torch.full((1, 1), 0.4, dtype=torch.float64), 2)
    assert float(root[0, 0]) == pytest.approx(0.4, abs=1e-8)
    assert bool(torch.isfinite(root).all())


def test_one_drive_without_a_root_is_an_error() -> None:
    with pytest.raises(DomainError, match="no stable resting state"):
        fixed_points(lambda x, u: u + x**2, GRID, torch.tensor([[-1.0], [1.0]], dtype=torch.float64), 1)


def test_under_vmap_nan_marks_a_drive_without_a_root() -> None:
    drives = torch.tensor([[[-1.0]], [[1.0]]], dtype=torch.float64)  # the roots of u + x^2 are +-1, of which -1 is stable
    roots = torch.func.vmap(lambda u: fixed_points(lambda x, v: v + x**2, GRID[:30], u, 1))(drives)
    assert float(roots[0]) == pytest.approx(-1.0)
    assert bool(torch.isnan(roots[1]).all())
