"""The choice among restarts: equally valid ones by their agreement, all others behind them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from spinode import FitConfig, TraceSet
from spinode.surrogates.neural_ode.embedding import Embedding
from spinode.surrogates.neural_ode.fitting.consensus import EQUALLY_VALID, diverges, probe_runs, rank_restarts, tolerances
from spinode.surrogates.neural_ode.fitting.prepare import on_common_grid, prepare
from spinode.surrogates.neural_ode.fitting.stages import new_member


def probes(*offsets):
    """One run per restart, offset from a common one."""
    common = torch.randn(1, 4, 50, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return common + torch.tensor(offsets, dtype=torch.float64)[:, None, None, None]


def test_restart_that_disagrees_comes_last_of_its_equals_although_it_validates_best():
    ranking = rank_restarts([0.010, 0.011, 0.012, 0.0105], probes(2.0, 0.0, 0.1, -0.11))
    assert ranking.order == [1, 2, 3, 0]
    assert ranking.disagreement[0] == pytest.approx(2.0, abs=0.11)
    assert ranking.reason.startswith("of 4 equally valid restarts it disagrees least with the others (0.1000 deviations)")


@pytest.mark.parametrize("swapped", [False, True])
def test_of_restarts_that_disagree_equally_the_one_that_validates_better_comes_first(swapped):
    """The two that are nearest to each other disagree equally, always: their distance is the disagreement of both."""
    errors = [0.012, 0.011, 0.010]
    ranking = rank_restarts(errors[1::-1] + errors[2:] if swapped else errors, probes(0.0, 0.1, 2.0))
    first, second = (0, 1) if swapped else (1, 0)
    assert ranking.disagreement[0] == ranking.disagreement[1]
    assert ranking.order == [first, second, 2]
    assert ranking.reason.endswith(f"as much as restart {second + 1}, and validates better (0.0110 against 0.0120)")


def test_worse_validation_comes_behind_however_well_it_agrees():
    ranking = rank_restarts([0.010, 0.010, 0.010, 0.010 * EQUALLY_VALID * 1.01], probes(0.3, -0.5, 0.0, 0.0))
    assert ranking.order[-1] == 3
    assert rank_restarts([0.03, 0.01, 0.02], probes(0.0, 0.0, 0.0)).order == [1, 2, 0]


def test_two_equally_valid_restarts_cannot_outvote_each_other():
    ranking = rank_restarts([0.011, 0.010], probes(0.0, 5.0))
    assert ranking.order == [1, 0]
    assert ranking.reason == "its validation error is the lowest"


def test_single_restart_disagrees_with_nobody():
    ranking = rank_restarts([0.5], probes(0.0))
    assert (ranking.order, ranking.disagreement) == ([0], [0.0])


def test_failed_restarts_come_last():
    ranking = rank_restarts([float("inf"), 0.01, float("nan"), 0.012], probes(0.0, 0.0, 0.0, 0.0))
    assert ranking.order[:2] == [1, 3]
    assert sorted(ranking.order) == [0, 1, 2, 3]
    assert sorted(rank_restarts([float("inf"), float("nan")], probes(0.0, 0.0)).order) == [0, 1]


def stretches(error, scatter, seed):
    """Mean squared errors in the stretches of one split, of a restart of a known error."""
    factors = np.exp(scatter * np.random.default_rng(seed).standard_normal(8))
    return [list(error**2 * factors / factors.mean())]


def test_agreement_decides_only_within_the_uncertainty_of_the_validation_error():
    errors = [0.36, 0.475, 0.37, 0.40]
    for scatter, order in ((0.0, [0, 2, 3, 1]), (2.0, [3, 1, 2, 0])):
        factors = tolerances([stretches(error, scatter, seed) for seed, error in enumerate(errors)])
        ranking = rank_restarts(errors, probes(0.3, 0.0, 0.1, -0.09), tolerance=factors)
        assert ranking.order == order
    assert "less than restart 1, whose error of 0.3600 is lower by no more than its uncertainty" in ranking.reason


def test_tolerance_is_the_standard_error_of_the_difference():
    """A stretch that is hard for both restarts does not make their difference uncertain; few stretches do."""
    hard = np.array([1.0, 1.0, 50.0, 1.0, 1.0, 1.0, 9.0, 1.0])
    assert tolerances([[list(hard)], [list(1.2 * hard)]]) == pytest.approx([1.0, 1.0])
    generator = np.random.default_rng(0)
    logs = [
        [
            np.log(max(each))
            for each in (tolerances([[list(a)], [list(b)]]) for a, b in generator.gamma(4.0, size=(40, 2, count)))
        ]
        for count in (8, 32)
    ]
    # The logarithm of a mean of n gamma variables of shape 4 has the variance 1 / (4 n); half of the difference of two counts.
    assert np.mean(logs, 1) == pytest.approx([0.5 * np.sqrt(2 / (4 * 8)), 0.5 * np.sqrt(2 / (4 * 32))], rel=0.3)


def test_a_restart_that_runs_away_or_stands_alone_is_passed_although_it_validates_better():
    exact = [1.0] * 4
    ranking = rank_restarts([0.010, 0.011, 0.012, 0.013], probes(2.0, 0.0, 0.1, -0.1), tolerance=exact)
    assert ranking.order == [1, 0, 2, 3]
    assert "lowest of the others; restart 1 with 0.0100 stands alone under a probe drive" in ranking.reason
    ranking = rank_restarts([0.010, 0.011, 0.012], probes(0.0, 0.0, 0.1), tolerance=exact, diverged=[True, False, False])
    assert ranking.order == [1, 2, 0]
    assert ranking.reason == "its validation error is the lowest of the others; restart 1 with 0.0100 runs away"
    assert rank_restarts([0.010, 0.011], probes(100.0, 0.0)).order == [1, 0]


class RunsAway(nn.Module):
    """x' = -x / 10, and x / 10 while the drive is beyond a limit."""

    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def forward(self, state, drive):
        return torch.where(drive.abs() > self.limit, 0.1, -0.1) * state


@pytest.mark.parametrize("limit", [0.8, 100.0])
def test_a_fit_that_runs_away_only_along_drives_like_the_recorded_one_diverges(duffing, limit):
    """The random steps stay within 0.6 deviations; the recorded drive is a square wave of one."""
    config = FitConfig(embedding="derivative", order=1, feedthrough=False)
    trace = replace(duffing(600), drive={"u": np.where(np.arange(600) % 100 < 50, 1.0, -1.0)})
    prepared = prepare(on_common_grid(TraceSet([trace]), config), Embedding("derivative", 1), config)
    member = new_member(prepared, lambda *sizes: RunsAway(limit), 0)
    assert float(probe_runs([member], prepared, seed=0).abs().max()) < 10
    assert diverges(member, prepared, seed=0) == (limit < 1)
