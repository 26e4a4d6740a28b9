"""Targets that outputs define, and the classes of outputs."""

from __future__ import annotations

import pytest
import torch

from spinode.errors import ConfigError
from spinode.training import SelfTarget
from spinode.training.rules.association import associate, class_means, class_scores


def test_target_and_handicap_equal_the_written_rule():
    source = torch.Generator().manual_seed(0)
    rule = SelfTarget(7, winners=2, homeostasis=0.4, smoothing=0.3, activity=0.25)
    handicap = torch.zeros(7)
    for _ in range(4):
        mask = (torch.rand(5, 7, generator=source) < 0.8).float()
        outputs = torch.rand(5, 7, generator=source) * mask
        expected = torch.zeros(5, 7)
        for row in range(5):
            order = sorted(range(7), key=lambda unit, row=row: -float(outputs[row, unit] - handicap[unit]))
            expected[row, order[:2]] = 1.0
        expected = (0.7 * expected + 0.3 * 2 / 7) * mask
        handicap = handicap + 0.4 * (expected.mean(0) - 0.25)
        torch.testing.assert_close(rule.target(outputs, mask), expected)
        torch.testing.assert_close(rule.handicap, handicap)
    rule.reset()
    assert not rule.handicap.any()


def test_homeostasis_spreads_the_wins_of_equal_inputs():
    outputs = torch.tensor([[0.9, 0.8, 0.1, 0.0]])
    wins = {share: torch.zeros(4) for share in (0.0, 0.5)}
    for share, count in wins.items():
        rule = SelfTarget(4, winners=1, homeostasis=share)
        for _ in range(40):
            count += rule.target(outputs)[0]
    assert wins[0.0].tolist() == [40, 0, 0, 0]
    assert wins[0.5].min() >= 8  # a quarter each, to within the transient


def test_single_samples_have_a_moving_average():
    rule = SelfTarget(2, winners=1, homeostasis=1.0, rate=0.6)
    rule.target(torch.tensor([[1.0, 0.0]]), sequential=True)
    torch.testing.assert_close(rule.handicap, torch.tensor([0.6 - 0.5, 0.0 - 0.5]))


def test_more_winners_than_outputs_are_refused():
    with pytest.raises(ConfigError, match="there are 4 winners among 3 outputs"):
        SelfTarget(3, winners=4)


def test_association_and_scores():
    outputs, labels = torch.tensor([[1.0, 0.0, 0.0, 0.2], [0.0, 0.6, 0.0, 0.4], [0.0, 0.2, 0.0, 0.8]]), torch.tensor([0, 1, 1])
    means, counts = class_means(outputs, labels, 3)
    torch.testing.assert_close(means[1], torch.tensor([0.0, 0.4, 0.0, 0.6]))
    assert counts.tolist() == [1, 2, 0]
    association = associate(means)
    assert association.tolist() == [0, 1, -1, 1]  # the third output never responds
    sample = torch.tensor([[0.3, 0.1, 0.9, 0.4]])
    torch.testing.assert_close(class_scores(sample, association, 3), torch.tensor([[0.3, 0.25, -1.0]]))
    torch.testing.assert_close(class_scores(sample, association, 3, by="maximum"), torch.tensor([[0.3, 0.4, -1.0]]))
