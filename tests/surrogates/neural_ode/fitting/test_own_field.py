"""Fields of the user's own that cannot be built, called or used: one sentence each, before the fit begins."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import spinode
from spinode.errors import ConfigError


class Field(nn.Module):
    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, state, drive):
        return self.result(state)


def raises(state):
    raise ZeroDivisionError("of mine")


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
