"""The delay embedding: forward differences of outputs and drives, and exactly as much lookahead as stated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinode.surrogates.neural_ode.drive_interpolation import settled_drive, stage_drive
from spinode.surrogates.neural_ode.embedding import Embedding
from spinode.surrogates.neural_ode.embeddings.delay import forward_differences, forward_samples
from spinode.surrogates.testing import small_surrogate


def test_blocks_are_forward_differences():
    values = np.random.default_rng(0).normal(size=(50, 2))
    blocks = Embedding("delay", 3).embed(values).values
    assert blocks.shape == (48, 3, 2)
    assert np.array_equal(blocks[:, 0], values[:48])
    assert np.allclose(blocks[:, 1], values[1:49] - values[:48])
    assert np.allclose(blocks[:, 2], values[2:] - 2 * values[1:49] + values[:48])


def test_delay_blocks_and_forward_samples_are_one_state_in_two_bases():
    values = np.random.default_rng(1).normal(size=40)
    blocks = forward_differences(values, 4)
    samples = np.stack([values[j : j + 37] for j in range(4)], -1)
    pascal = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 2, 1, 0], [1, 3, 3, 1]])
    assert np.allclose(blocks @ pascal.T, samples)


def test_noise_of_differences_grows_with_the_binomial_coefficients():
    """Var of the j-th difference of white noise is the sum of the squared binomials: 1, 2, 6, 20."""
    blocks = Embedding("delay", 4).embed(np.random.default_rng(2).normal(size=(4000, 1)))
    assert blocks.recorded_noise == pytest.approx([1], rel=0.05)
    assert blocks.noise[:, 0] ** 2 == pytest.approx([1, 2, 6, 20], rel=0.1)


@pytest.mark.parametrize("degree", range(4))
def test_forward_differences_of_a_polynomial_end_at_its_degree(degree):
    blocks = forward_differences(np.arange(30.0) ** degree, 6)
    assert blocks.shape == (25, 6)
    assert np.allclose(blocks[:, degree], float(np.prod(np.arange(1, degree + 1))))
    assert np.allclose(blocks[:, degree + 1 :], 0)


def test_forward_samples_are_side_by_side():
    stages = stage_drive(torch.arange(8, dtype=torch.float64)[:, None], ("linear",))
    seen = forward_samples(stages, 3)
    assert seen.shape == (7, 3, 3)
    assert seen[2, 0].tolist() == [2, 3, 4]
    assert seen[2, 1].tolist() == [2.5, 3.5, 4.5]
    # Beyond the last sample (7) the drive is held.
    assert seen[6, 0].tolist() == [6, 7, 7]
    assert seen[6, 2].tolist() == [7, 7, 7]


def test_vector_field_sees_exactly_lookahead_samples_ahead():
    embedding = Embedding("delay", 3)
    drive = torch.randn(12, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    changed = drive.clone()
    changed[7] += 1
    one, other = (embedding.field_drive(stage_drive(values, ("linear",))) for values in (drive, changed))
    touched = (one != other).flatten(1).any(1).nonzero()[:, 0]
    # The step before sample 7 ends there; each further sample of lookahead reaches one step further back.
    assert touched.tolist() == list(range(6 - embedding.lookahead, 8))


def test_order_one_needs_no_future_samples():
    stages = torch.randn(2, 5, 3, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(forward_samples(stages, 1), stages)


@pytest.mark.parametrize("interpolation", ["held", "spline"])
def test_drive_enters_the_blocks_by_the_same_differences_as_the_outputs(interpolation):
    """An output that follows the drive at once has no state of its own: all blocks of y - D u vanish."""
    drive = torch.randn(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kinds, embedding = (interpolation,) * 2, Embedding("delay", 4)
    settled = settled_drive(drive, kinds).numpy()
    assert np.array_equal(embedding.drive_blocks(drive, kinds).numpy(), embedding.embed(settled).values)


def test_feedthrough_is_taken_out_of_measured_states():
    device = small_surrogate(kind="delay", order=3)
    with torch.no_grad():
        device.members[0].feedthrough.fill_(0.7)
    generator = torch.Generator().manual_seed(1)
    drive = device.scales.drive_mean + device.scales.drive_scale * torch.randn(30, 1, generator=generator).double()
    output = torch.randn(30, 1, generator=generator).double()
    states = device.state_from(output, drive, interpolation={"u0": "linear"})
    assert torch.allclose(device.read(states, drive[: len(states)]), output[: len(states)], rtol=0, atol=1e-12)
