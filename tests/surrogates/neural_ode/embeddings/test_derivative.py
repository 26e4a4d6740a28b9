"""The derivative embedding: clean outputs are kept, noisy ones smoothed, and no state needs the future."""

from __future__ import annotations

import numpy as np
import pytest

from spinode.surrogates.neural_ode.embedding import Embedding


def test_clean_outputs_are_kept_to_the_last_bit():
    output = np.stack([np.sin(np.arange(300) / 9), np.cos(np.arange(300) / 7)], -1)
    blocks = Embedding("derivative", 3).embed(output)
    assert blocks.values.shape == (300, 3, 2)
    assert blocks.noise.shape == (3, 2)
    assert np.array_equal(blocks.values[:, 0], output)


def test_noisy_outputs_are_smoothed():
    clean = np.sin(np.arange(800) / 15)
    noisy = clean + 0.05 * np.random.default_rng(0).normal(size=800)
    smooth = Embedding("derivative", 2).embed(noisy[:, None]).values[:, 0, 0]
    assert np.std(smooth - clean) < 0.5 * np.std(noisy - clean)


def test_noise_of_kept_samples_is_not_lowered():
    noisy = np.sin(np.arange(800) / 15) + 1e-4 * np.random.default_rng(0).normal(size=800)
    blocks = Embedding("derivative", 2).embed(noisy[:, None])
    assert np.array_equal(blocks.values[:, 0, 0], noisy)
    assert blocks.noise[0] == pytest.approx([1e-4], rel=0.1)


def test_state_depends_on_half_a_window_around_its_instant_only():
    times = np.arange(300.0)
    output = np.sin(times / 9)[:, None]
    changed = output + np.where(times > 200, 1e-3 * ((times - 200) / 100) ** 4, 0)[:, None]
    one, other = (Embedding("derivative", 2).embed(values).values for values in (output, changed))
    assert np.array_equal(one[:197], other[:197])
    assert not np.allclose(one[210:], other[210:], rtol=0, atol=1e-8)
