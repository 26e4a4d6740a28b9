"""The check of arguments that are tensors or arrays, and the digest of files."""

import numpy as np
import pytest
import torch

from spinode import ConfigError, TraceError
from spinode.digest import content_digest
from spinode.tensors import real_tensor


@pytest.mark.parametrize("value", [np.ones(2), [1.0, 1.0], torch.ones(2), np.ones(2, dtype=int)])
def test_real_numbers_of_all_libraries_become_tensors(value):
    assert real_tensor("x", value).tolist() == [1.0, 1.0]


def test_tensor_keeps_its_graph():
    weight = torch.ones(2, requires_grad=True)
    assert real_tensor("x", weight) is weight


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "x is None; expected a tensor"),
        ("x", "x is a str; expected a tensor"),
        (np.array([object()]), "x is an array of object; expected a tensor"),
        (1j * torch.ones(2), "x is a tensor of torch.complex64 .*; expected a dense tensor of real numbers"),
        (torch.ones(2, device="meta"), "on the device meta; expected a dense tensor"),
        (torch.ones(2).to_sparse(), "layout torch.sparse_coo .*; expected a dense tensor"),
    ],
)
def test_everything_else_is_refused(value, message):
    for error in (ConfigError, TraceError):
        with pytest.raises(error, match=message):
            real_tensor("x", value, error)


def test_digest_depends_on_text_names_shapes_types_and_bits():
    tensors = {"a": torch.zeros(2)}
    others = [
        content_digest("{}", {"b": torch.zeros(2)}),
        content_digest("{}", {"a": torch.zeros(1, 2)}),
        content_digest("{}", {"a": torch.zeros(2, dtype=torch.int32)}),
        content_digest("{}", {"a": -torch.zeros(2)}),
        content_digest("[]", tensors),
    ]
    assert len({content_digest("{}", tensors), *others}) == 6


def test_digest_of_a_view_is_that_of_its_values():
    for view in (
        torch.arange(6.0).reshape(2, 3).T,
        torch.zeros(()).expand(1),
        torch.ones(1, 1).expand(2, 3),
        torch.zeros(0, 2),
    ):
        copy = torch.tensor(view.tolist()).reshape(view.shape)
        assert content_digest("", {"a": view}) == content_digest("", {"a": copy})
    assert content_digest("", {"a": torch.zeros(2, dtype=torch.bfloat16)})
