"""The split of a sequence into two levels."""

import numpy as np
import pytest

from spinode.traces.two_levels import two_level_split


@pytest.mark.parametrize("split", [1, 5, 19])
def test_step_is_found_in_noise(split):
    levels = np.where(np.arange(20) < split, 0.0, 1.0) + 0.05 * np.random.default_rng(split).standard_normal(20)
    assert two_level_split(levels[:, None]) == split


def test_single_feature_is_split_with_the_least_scatter_about_two_means():
    levels = np.random.default_rng(0).standard_normal((200, 30))
    for row in levels:
        scatter = [sum(np.sum((side - side.mean()) ** 2) for side in (row[:k], row[k:])) for k in range(1, 30)]
        assert two_level_split(row[:, None]) == 1 + int(np.argmin(scatter))


def test_step_in_any_feature_counts():
    features = 0.1 * np.random.default_rng(0).standard_normal((40, 2))
    features[25:, 1] += 1.0
    assert two_level_split(features) == 25


def test_both_sides_have_at_least_the_margin():
    levels = np.zeros((20, 1))
    levels[19] = 1.0
    assert two_level_split(levels) == 19
    assert 4 <= two_level_split(levels, margin=4) <= 16
