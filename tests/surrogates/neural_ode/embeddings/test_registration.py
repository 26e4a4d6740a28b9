"""A new embedding is one file that registers itself; it is then fitted, simulated, saved and loaded like the others."""

from __future__ import annotations

import importlib
import sys
import textwrap

import numpy as np
import pytest
import torch

import spinode
from spinode.dynamics.field import ChainField
from spinode.errors import ConfigError
from spinode.surrogates.neural_ode import embeddings
from spinode.surrogates.neural_ode.embedding import Embedding
from spinode.surrogates.neural_ode.embeddings import base
from spinode.surrogates.testing import small_surrogate

#: An embedding by differences of neighbouring samples on both sides; all rates are learned.
CENTRAL = """
    import numpy as np
    import torch

    from .base import Blocks, EmbeddingKind, register


    class CentralEmbedding(EmbeddingKind):
        name = "central"
        max_order = 3

        def embed(self, outputs, order):
            blocks = [outputs]
            for _ in range(1, order):
                blocks.append(np.gradient(blocks[-1], axis=0))
            noise = np.full(outputs.shape[1], 1e-3)
            return Blocks(np.stack(blocks, 1), np.tile(noise, (order, 1)), noise)

        def drive_blocks(self, drive, interpolation, order):
            blocks = [drive]
            for _ in range(1, order):
                blocks.append(torch.gradient(blocks[-1], dim=0)[0])
            return torch.stack(blocks, -2)


    register(CentralEmbedding())
"""


@pytest.fixture
def central(tmp_path, monkeypatch):
    """A folder of embeddings with one file more, for one test."""
    (tmp_path / "central.py").write_text(textwrap.dedent(CENTRAL))
    monkeypatch.setattr(base, "_KINDS", dict(base._KINDS))
    monkeypatch.setattr(embeddings, "__path__", [*embeddings.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    embeddings.discover()
    yield "central"
    sys.modules.pop(f"{embeddings.__name__}.central")


def test_new_file_is_fitted_simulated_saved_and_loaded(central, duffing, cheap, tmp_path):
    trace = duffing()
    fitted = spinode.fit(trace, **(cheap | {"embedding": central, "order": 2, "iterations": 12}))
    assert fitted.embedding == Embedding(central, 2)
    assert not isinstance(fitted.members[0].field, ChainField)
    assert spinode.evaluate(fitted, trace).nrmse < 0.3
    drive = torch.as_tensor(np.array(trace.drive["u"]))[:50, None]
    response = fitted.simulate(drive, state=torch.zeros(2))
    assert response.shape == (50, 1)
    fitted.save(tmp_path / "x")
    assert torch.equal(spinode.load(tmp_path / "x").simulate(drive, state=torch.zeros(2)), response)


def test_order_of_a_new_kind_is_bounded_by_its_own(central):
    with pytest.raises(ConfigError, match="order is 4; expected a whole number from 1 to 3"):
        spinode.FitConfig(embedding=central, order=4)


def test_file_with_an_unregistered_embedding_says_so(central, tmp_path):
    device = small_surrogate(kind=central)
    device.save(tmp_path / "x")
    del base._KINDS[central]
    with pytest.raises(ConfigError, match=r"uses the embedding 'central', which is not registered.*delay, derivative"):
        spinode.load(tmp_path / "x")


def test_name_of_another_class_cannot_be_taken():
    class Other(type(base.embedding_kind("delay"))):
        pass

    assert base.register(base.embedding_kind("delay")) is base.embedding_kind("delay")
    with pytest.raises(ConfigError, match="the embedding name 'delay' belongs to DelayEmbedding; choose another one"):
        base.register(Other())


@pytest.mark.parametrize(("kind", "size", "lookahead"), [("derivative", 2, 0), ("delay", 6, 2)])
def test_sizes(kind, size, lookahead):
    embedding = Embedding(kind, 3)
    assert (embedding.drive_size(2), embedding.lookahead) == (size, lookahead)


@pytest.mark.parametrize("order", [0, 7, 2.0])
def test_order_outside_its_range_is_refused(order):
    with pytest.raises(ConfigError, match=f"embedding order is {order!r}; expected a whole number from 1 to 6"):
        Embedding("derivative", order)


def test_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="embedding is 'fourier'; expected one of delay, derivative"):
        Embedding("fourier")
