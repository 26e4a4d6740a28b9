"""Readouts: ridge regression against least squares, and the regulariser against explicit cross-validation."""

from __future__ import annotations

import math

import pytest
import torch

from spinode.errors import ConfigError
from spinode.surrogates import RidgeStatistics


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_readout_is_the_least_squares_solution():
    source = generator()
    states = torch.randn(300, 6, generator=source, dtype=torch.float64) + 3
    targets = states @ torch.randn(6, 2, generator=source, dtype=torch.float64) + torch.randn(
        300, 2, generator=source, dtype=torch.float64
    )
    sums = RidgeStatistics(6, 2, segment=10)
    for at in (slice(0, 77), slice(77, 300)):
        sums.add(states[at], targets[at])
    found = sums.solve(0.0)
    rows = torch.cat([states, torch.ones(300, 1, dtype=torch.float64)], 1)
    expected = rows @ torch.linalg.lstsq(rows, targets).solution
    torch.testing.assert_close(found(states), expected)
    penalty = 0.1
    centred, centred_targets = states - states.mean(0), targets - targets.mean(0)
    gram = centred.T @ centred
    ridge = torch.linalg.solve(
        gram + penalty * gram.diagonal().mean() * torch.eye(6, dtype=torch.float64), centred.T @ centred_targets
    )
    torch.testing.assert_close(sums.solve(penalty).weight, ridge.T)


def test_the_regulariser_minimises_the_error_of_the_segments_left_out():
    source = generator(1)
    states = torch.randn(120, 60, generator=source, dtype=torch.float64)
    targets = states[:, :1] + torch.randn(120, 1, generator=source, dtype=torch.float64)
    sums = RidgeStatistics(60, folds=4, segment=5)
    sums.add(states, targets)
    chosen = sums.solve()
    folds = torch.arange(120) // 5 % 4

    def error(regulariser):
        total = 0.0
        for fold in range(4):
            part = RidgeStatistics(60)
            part.add(states[folds != fold], targets[folds != fold])
            total += float((part.solve(regulariser)(states[folds == fold]) - targets[folds == fold]).square().sum())
        return total

    assert error(chosen.regulariser) <= min(error(each) for each in (1e-3, 1e-2, 0.1, 1.0, 10.0)) + 1e-9
    spread = float((targets - targets.mean()).square().sum())
    assert float(chosen.validation) == pytest.approx(math.sqrt(error(chosen.regulariser) / spread))


def test_invalid_samples_and_settings_are_refused():
    sums = RidgeStatistics(3)
    with pytest.raises(ConfigError, match="has seen 0 samples"):
        sums.solve()
    with pytest.raises(ConfigError, match=r"expected \(time, 3\)"):
        sums.add(torch.ones(4, 2), torch.ones(4))
    with pytest.raises(ConfigError, match="NaN"):
        sums.add(torch.full((4, 3), math.nan), torch.ones(4))
    sums.add(torch.rand(300, 3), torch.rand(300))
    with pytest.raises(ConfigError, match="regulariser is -1"):
        sums.solve(-1.0)
    with pytest.raises(ConfigError, match="segment is 0; expected a whole number of at least 1"):
        RidgeStatistics(3, segment=0)
