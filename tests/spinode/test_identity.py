"""What identifies a computation: equal for equal values, also in another process; another for whatever shapes a result."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from spinode import Trace, TraceSet
from spinode.differences import describe_differences, differences
from spinode.identity import identity_of

GAIN = 2.0


def double(x):
    return x * GAIN


class Field(nn.Module):
    def __init__(self, rate=0.1):
        super().__init__()
        self.rate = rate
        self.register_buffer("constant", torch.ones(2))

    def forward(self, x):
        return self.rate * double(x) + self.constant


@dataclass(frozen=True)
class Settings:
    hidden: tuple[int, ...] = (4,)
    rate: float = 0.1

    @functools.cached_property
    def derived(self):
        return np.random.default_rng().normal()


class Slots:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a


class Unpicklable:
    def __init__(self, number=1):
        self.number, self.lock, self.itself = number, threading.Lock(), self

    def __getstate__(self):
        return {"number": self.number, "itself": self.itself}


def closure(gain):
    def scaled(x, offset=1.0):
        return gain * x + offset

    return scaled


def generator(seed):
    return torch.Generator().manual_seed(seed)


EQUAL = [
    lambda: {"a": [1, 2.5, None, True, "text"], "b": (np.float64(0.5), np.int32(3))},
    lambda: torch.arange(6.0).reshape(2, 3).T,
    lambda: np.arange(6).reshape(2, 3)[:, ::2],
    lambda: generator(3),
    lambda: np.random.default_rng(3),
    lambda: closure(2.0),
    lambda: functools.partial(double, 3),
    lambda: Field(0.2),
    lambda: Field,
    lambda: Field().forward,
    lambda: Settings(),
    lambda: Slots([1, 2]),
    lambda: Unpicklable(),
    lambda: {"c", "a", "b"},
    lambda: torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1),
    lambda: torch.tensor([float("nan"), 1.0]),
    lambda: [torch.float32, torch.device("cpu"), len, torch.relu, np.sin, float("inf")],
]


@pytest.mark.parametrize("make", EQUAL)
def test_equal_values_have_one_identity(make):
    first = make()
    if isinstance(first, Settings):
        assert first.derived is not None  # a cached value is no part of it
    assert differences(identity_of(first), identity_of(make())) == []


DIFFERENT = [
    (1, True),
    (1, 2),
    ("1", 1),
    ([1, 2], [2, 1]),
    ({"a": 1}, {"a": 1, "b": None}),
    (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
    (torch.zeros(2), -torch.zeros(2)),
    (torch.zeros(2, 1), torch.zeros(1, 2)),
    (np.zeros(2), np.zeros(2, dtype=np.float32)),
    (generator(0), generator(1)),
    (np.random.default_rng(0), np.random.default_rng(1)),
    (closure(2.0), closure(3.0)),
    (functools.partial(double, 3), functools.partial(double, 4)),
    (Field(0.1), Field(0.2)),
    (Settings(), Settings(hidden=(5,))),
    (Slots(1), Slots(2)),
    (Unpicklable(1), Unpicklable(2)),
    (lambda x: x + 1, lambda x: x + 2),
    (lambda x: x + 1, lambda x: x - 1),
    (lambda x, y=1: x + y, lambda x, y=2: x + y),
    (lambda x: {"a", "b"}, lambda x: {"a", "c"}),
    (torch.relu, torch.tanh),
    (nn.ReLU, nn.Tanh),
    (nn.ReLU(), nn.Tanh()),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_values_have_different_identities(one, other):
    assert differences(identity_of(one), identity_of(other)) != []


def test_two_functions_of_one_line_differ():
    one, other = (lambda x: x + 1), (lambda x: x - 1)  # their source, as Python finds it, is the same line
    assert identity_of(one)["code"] != identity_of(other)["code"]


def test_a_global_that_code_uses_counts(monkeypatch):
    before = identity_of(Field())
    monkeypatch.setitem(globals(), "GAIN", 3.0)
    found = differences(before, identity_of(Field()))
    assert [each.path.rpartition(".")[2] for each in found] == ["GAIN"]
    assert "GAIN is 2.0 in the checkpoint and 3.0 here" in describe_differences(found)


def test_data_weights_and_code_are_named(monkeypatch):
    before = identity_of({"field": Field(), "data": np.zeros(3)})
    changed = Field()
    changed.constant += 1
    assert describe_differences(differences(before, identity_of({"field": changed, "data": np.ones(3)}))) == (
        "field.constant has other values; data has other values"
    )
    monkeypatch.setattr(Field, "forward", lambda self, x: self.rate * double(x) - self.constant)
    text = describe_differences(differences(before, identity_of({"field": Field(), "data": np.zeros(4)})))
    assert "data is float64 (3,) in the checkpoint and float64 (4,) here" in text
    assert "field.class.forward is 'Field.forward' in the checkpoint" in text


def test_recordings_count_without_their_provenance_and_with_the_order_of_their_channels():
    channels = {"V": np.arange(3.0), "W": np.ones(3)}
    first = Trace([0.0, 1.0, 2.0], channels, {"y": [1, 2, 3]}, provenance={"file": "a.csv"})
    same = Trace([0.0, 1.0, 2.0], channels, {"y": [1, 2, 3]}, provenance={"file": "b.csv"})
    swapped = Trace([0.0, 1.0, 2.0], dict(reversed(channels.items())), {"y": [1, 2, 3]})
    assert identity_of(TraceSet(first)) == identity_of(TraceSet(same))
    assert differences(identity_of(TraceSet(first)), identity_of(TraceSet(swapped))) != []


def test_it_is_the_same_in_another_process(tmp_path):
    """Neither the order of a set of texts nor the address of an object is part of it."""
    (tmp_path / "user.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    names = {'a', 'b', 'c', 'd'}\n"
        "    def forward(self, x):\n"
        "        return x if x in {'e', 'f', 'g'} else object()\n"
    )
    program = (
        "import json, user; from spinode.identity import identity_of; print(json.dumps(identity_of([user.Net(), object()])))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONSAFEPATH": ""},  # user.py is in the working directory
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1
    assert "Net" in texts.pop()
