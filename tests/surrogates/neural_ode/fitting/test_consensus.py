"""The choice among restarts: equally valid ones by their agreement, the others behind."""

from __future__ import annotations

import pytest
import torch

from spinode.surrogates.neural_ode.fitting.consensus import EQUAL, choose


def probes(*offsets):
    """One run per restart, each this far from a common one."""
    common = torch.randn(1, 4, 50, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return common + torch.tensor(offsets, dtype=torch.float64)[:, None, None, None]


def test_the_one_that_disagrees_goes_behind_its_equals_although_it_validates_best():
    ranking = choose([0.010, 0.011, 0.012, 0.0105], probes(2.0, 0.0, 0.1, -0.1))
    assert ranking.order[-1] == 0
    assert ranking.order[0] == 1
    assert ranking.disagreement[0] == pytest.approx(2.0, abs=0.11)


def test_worse_validation_goes_behind_however_well_it_agrees():
    ranking = choose([0.010, 0.010, 0.010, 0.010 * EQUAL * 1.01], probes(0.3, -0.5, 0.0, 0.0))
    assert ranking.order[-1] == 3
    assert choose([0.03, 0.01, 0.02], probes(0.0, 0.0, 0.0)).order == [1, 2, 0]


def test_two_equals_cannot_outvote_each_other():
    assert choose([0.011, 0.010], probes(0.0, 5.0)).order == [1, 0]


def test_one_restart_has_nobody_to_disagree_with():
    ranking = choose([0.5], probes(0.0))
    assert (ranking.order, ranking.disagreement) == ([0], [0.0])


def test_failed_restarts_come_last():
    ranking = choose([float("inf"), 0.01, float("nan"), 0.012], probes(0.0, 0.0, 0.0, 0.0))
    assert ranking.order[:2] == [1, 3]
    assert sorted(ranking.order) == [0, 1, 2, 3]
    assert sorted(choose([float("inf"), float("nan")], probes(0.0, 0.0)).order) == [0, 1]
