"""The most likely split of a sequence of block statistics into two levels, for both detectors of a change of regime."""

from __future__ import annotations

import numpy as np

from ..typing import Array

#: Smallest scatter of a feature; a strictly periodic signal has none, but no instrument is more reproducible than this.
MIN_SCATTER = 1e-2


def two_level_split(features: Array, margin: int = 1) -> int:
    """Return the split that best separates a sequence into two levels.

    For Gaussian features with a common scatter matrix S on both sides of the split, the likelihood ratio of two levels
    to one grows with Hotelling's statistic

        T2(k) = k (B - k) / B * d(k)' S(k)^-1 d(k),    d(k) = mean after - mean before,

    and the split k with the largest value is returned. With a single feature it is the split with the least scatter about
    the two means.

    Args:
        features: One row per block, shape (blocks, features).
        margin: Minimum number of blocks on either side.

    Returns:
        Number of blocks before the split.

    Example:
        >>> two_level_split(np.array([[0.0], [0.1], [0.0], [2.0], [2.1]]))
        3
    """
    candidates = range(margin, len(features) - margin + 1)
    return max(candidates, key=lambda split: _separation(features, split))


def _separation(features: Array, split: int) -> float:
    """Return Hotelling's statistic of the two sides of a split."""
    blocks = len(features)
    before, after = features[:split], features[split:]
    difference = after.mean(axis=0) - before.mean(axis=0)
    residuals = np.concatenate([side - side.mean(axis=0) for side in (before, after)])
    scatter = residuals.T @ residuals / (blocks - 2) + MIN_SCATTER**2 * np.eye(features.shape[1])
    return float(split * (blocks - split) / blocks * difference @ np.linalg.solve(scatter, difference))
