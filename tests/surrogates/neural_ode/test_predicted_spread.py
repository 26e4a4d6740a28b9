"""The predicted spread: its curve over time, its factor of the distance, and its files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinode.surrogates.artifacts import save
from spinode.surrogates.neural_ode.predicted_spread import MAX_FACTOR, SpreadModel, distance_factor, distances
from spinode.surrogates.neural_ode.serialization import pack, unpack
from spinode.surrogates.neural_ode.surrogate import Surrogate
from spinode.surrogates.testing import resonator


def test_factor_is_one_at_the_usual_distance_and_never_falls_with_it():
    assert distance_factor(np.full(5, 0.2), 0.2, 10.0, radius=1.0) == pytest.approx(np.ones(5))
    factors = [float(distance_factor(np.array([d]), 0.2, 10.0, radius=1.0)[0]) for d in np.linspace(0, 5, 60)]
    assert np.all(np.diff(factors) >= 0)
    assert factors[-1] <= MAX_FACTOR
    assert distance_factor(np.array([1e30]), 0.2, 10.0, radius=1.0)[0] == MAX_FACTOR


def test_distance_is_remembered_for_the_memory_of_the_device():
    """After one step far away, the remembered distance decays by e in `memory` steps: 2, 2 / e, 2 / e^2 usual distances."""
    distance = np.zeros(41)
    distance[0] = 2.0
    factor = distance_factor(distance, 1.0, 20.0, radius=0.0)
    expected = [np.sqrt((1 + (2 * np.exp(-k)) ** 3) / 2) for k in range(3)]
    assert factor[[0, 20, 40]] == pytest.approx(expected)


@pytest.mark.parametrize("width", [2, 9])
def test_distance_is_that_of_the_nearest_point(width):
    generator = torch.Generator().manual_seed(0)
    points, fitted = (torch.randn(n, width, generator=generator, dtype=torch.float64) for n in (50, 30))
    brute = (points[:, None] - fitted).norm(dim=-1).amin(-1).numpy()
    assert distances(points, fitted) == pytest.approx(brute)


def test_file_keeps_the_spread_and_an_older_one_has_a_constant_spread(tmp_path):
    surrogate = resonator(noise=0.1)
    one = torch.ones(1, dtype=torch.float64)
    surrogate.spread = SpreadModel(
        torch.tensor([0.0, 8.0]).double(), torch.tensor([[0.1], [0.2]]).double(), 0.3, 7.0, 0.4 * one
    )
    save(surrogate, tmp_path / "new.safetensors")
    loaded = Surrogate.load(tmp_path / "new.safetensors")
    for name, value in surrogate.spread.state_dict().items():
        assert torch.equal(loaded.spread.state_dict()[name], value)
    meta, tensors = pack(surrogate)
    older = unpack(meta, {name: value for name, value in tensors.items() if not name.startswith("spread.")})
    assert older.spread(np.ones(5), radius=1.0, other_drive=True).abs().max() == 0
    assert torch.equal(older.spread_floor, surrogate.spread_floor)


@pytest.mark.parametrize(
    ("name", "value"), [("curve", [[-1.0], [1.0]]), ("steps", [3.0, 3.0]), ("memory", -1.0), ("curve", [[1.0, 1.0]])]
)
def test_impossible_spread_in_a_file_is_refused(name, value):
    surrogate = resonator()
    surrogate.spread = SpreadModel.none(1, knots=2)
    meta, tensors = pack(surrogate)
    with pytest.raises(ValueError, match="spread"):
        unpack(meta, {**tensors, f"spread.{name}": torch.tensor(value, dtype=torch.float64)})
