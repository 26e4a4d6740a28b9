"""Fields of the user's own that cannot be built, called or used: one sentence each, before the fit begins."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import spinode
from spinode import FitConfig, TraceSet
from spinode.errors import ConfigError
from spinode.surrogates.neural_ode.embedding import Embedding
from spinode.surrogates.neural_ode.fitting.prepare import on_common_grid, prepare
from spinode.surrogates.neural_ode.fitting.stages import new_member


class Field(nn.Module):
    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, state, drive):
        return self.result(state)


def raises(state):
    raise ZeroDivisionError("of mine")


class Chain(nn.Module):
    """Two layers and a weight without use, whose gradients a function may stop on the way."""

    def __init__(self, stop):
        super().__init__()
        self.first, self.last, self.stop = nn.Linear(3, 4), nn.Linear(4, 1), stop
        self.unused = nn.Parameter(torch.ones(1))

    def forward(self, state, drive):
        return self.stop(self.last, torch.tanh(self.first(torch.cat([state, drive], -1))))


def without_gradients(layer, hidden):
    with torch.no_grad():
        return layer(hidden)


@pytest.mark.parametrize(
    ("stop", "name"),
    [
        (lambda layer, hidden: layer(hidden).detach(), "the weight 'first.weight'"),
        (without_gradients, "the weight 'first.weight'"),
        (lambda layer, hidden: layer(hidden.detach()), "the weight 'first.weight'"),
        (lambda layer, hidden: hidden @ layer.weight.data.T, "the weight 'last.weight'"),
        (lambda layer, hidden: nn.functional.dropout(layer(hidden)), None),
    ],
)
def test_fields_that_stop_gradients_are_refused(duffing, stop, name):
    config = FitConfig(embedding="derivative", order=2)
    prepared = prepare(on_common_grid(TraceSet([duffing(300)]), config), Embedding("derivative", 2), config)
    if name is None:
        new_member(prepared, lambda *sizes: Chain(stop), 0)
        return
    with pytest.raises(ConfigError, match=f"depend on {name}, but without a gradient"):
        new_member(prepared, lambda *sizes: Chain(stop), 0)


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (5, "vector_field is a whole number|vector_field is an? int"),
        (lambda: None, "the builder in vector_field raised TypeError"),
        (lambda *sizes: None, r"the builder in vector_field returned .*; expected a function"),
        (lambda *sizes: 1 / 0, "the builder in vector_field raised ZeroDivisionError"),
        (lambda *sizes: Field(raises), "the vector field raised ZeroDivisionError: of mine; expected a tensor"),
        (lambda *sizes: Field(lambda state: None), "the vector field returned"),
        (lambda *sizes: Field(lambda state: state.sum()), r"the vector field returned a tensor of shape \(\)"),
        (lambda *sizes: Field(lambda state: state[:, :1] * torch.nan), "returned NaN or infinite rates"),
    ],
)
@pytest.mark.parametrize("method", ["gauss-newton", "adam"])
def test_fields_that_cannot_be_used_are_refused(duffing, builder, message, method):
    with pytest.raises(ConfigError, match=message):
        spinode.fit(duffing(300), vector_field=builder, method=method, order=2, restarts=1, iterations=2, epochs=1)
