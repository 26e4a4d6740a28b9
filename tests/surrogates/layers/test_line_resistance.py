"""Line resistance against a nodal analysis that is written here independently, with all node voltages as unknowns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

from spinode import ConfigError
from spinode.surrogates.layers.line_resistance import effective_conductance, tiled


def nodal_currents(conductance: np.ndarray, resistance: float) -> np.ndarray:
    """Return the currents of all bit lines for one volt at each word line in turn, shape (rows, columns)."""
    rows, columns = conductance.shape
    wire, size = 1 / resistance, rows * columns
    cells = np.arange(size).reshape(rows, columns)
    word, bit = cells, cells + size
    branches = [(word, bit, conductance)]
    branches += [(word[:, :-1], word[:, 1:], wire), (bit[:-1], bit[1:], wire)]
    entries: list[tuple[int, int, float]] = []
    for first, second, value in branches:
        for a, b, g in zip(*(x.ravel() for x in np.broadcast_arrays(first, second, value)), strict=True):
            entries += [(a, a, g), (b, b, g), (a, b, -g), (b, a, -g)]
    entries += [(node, node, wire) for node in (*word[:, 0], *bit[-1])]
    i, j, g = zip(*entries, strict=True)
    sources = np.zeros((2 * size, rows))
    sources[word[:, 0], np.arange(rows)] = wire
    voltages = spsolve(coo_matrix((g, (i, j)), shape=(2 * size, 2 * size)).tocsc(), sources)
    return wire * np.asarray(voltages).reshape(2 * size, rows)[bit[-1]].T


@pytest.mark.parametrize("shape", [(2, 2), (9, 5), (4, 12)])
@pytest.mark.parametrize("resistance", [0.1, 5.0, 500.0])
def test_currents_are_those_of_the_nodal_analysis(shape, resistance):
    conductance = np.random.default_rng(0).uniform(1e-6, 1e-4, shape)
    expected = nodal_currents(conductance, resistance)
    found = effective_conductance(torch.from_numpy(conductance), resistance).numpy()
    assert np.abs(found - expected).max() <= 1e-9 * expected.max()


def test_cells_without_conductance_carry_only_detours():
    conductance = torch.tensor([[1e-4, 0.0], [0.0, 1e-4]], dtype=torch.float64)
    effective = effective_conductance(conductance, 10.0)
    assert np.allclose(effective.numpy(), nodal_currents(conductance.numpy() + 1e-30, 10.0), rtol=1e-9, atol=1e-18)
    assert float(effective[0, 0]) < 1e-4


def test_zero_resistance_is_exact_and_small_ones_converge_to_it():
    conductance = torch.rand(3, 8, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 1e-4
    assert torch.equal(effective_conductance(conductance, 0.0), conductance)
    losses = [float((conductance - effective_conductance(conductance, r)).abs().max()) for r in (1e-3, 1e-2, 1e-1)]
    assert losses[1] / losses[0] == pytest.approx(10, rel=1e-3)
    assert losses[2] / losses[1] == pytest.approx(10, rel=1e-2)


def test_a_batch_is_solved_like_its_members_and_tiles_like_separate_crossbars():
    conductance = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 1e-4
    together = effective_conductance(conductance, 20.0)
    for one, alone in zip(together, conductance, strict=True):
        torch.testing.assert_close(one, effective_conductance(alone, 20.0), rtol=1e-12, atol=0)
    parts = tiled(conductance, 3, 4, 20.0)
    torch.testing.assert_close(parts[:, 3:, 4:], effective_conductance(conductance[:, 3:, 4:], 20.0), rtol=1e-12, atol=0)


def test_invalid_arguments_are_refused():
    with pytest.raises(ConfigError, match="negative"):
        effective_conductance(torch.tensor([[-1.0]]), 1.0)
    with pytest.raises(ConfigError, match="line resistance"):
        effective_conductance(torch.ones(1, 1), -1.0)
