"""A new online rule: defined in one place, found by name, and run by `learn_online` and `OnlineLearner`."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import asdict, dataclass

import numpy as np
import pytest
import torch

from spinode import kernels
from spinode.datasets import PermutedTasks, made_digits
from spinode.errors import ConfigError
from spinode.kernels.online import RULES as KERNELS
from spinode.training import OnlineLearner, train
from spinode.training.online import (
    OnlineBGD,
    OnlineBiMU,
    OnlineMESU,
    OnlineMethod,
    OnlineRule,
    OnlineSGD,
    learn_online,
    method_names,
    register,
)
from spinode.validation import number

SHIPPED = {"mesu", "bgd", "bimu", "sgd", "ewc-online", "ewc-stream", "si"}


@dataclass(frozen=True)
class NormalisedDescent(OnlineRule):
    """w <- w - rate g / |g|, with the norm over each layer."""

    rate: float = 0.05

    def __post_init__(self):
        number("rate of NormalisedDescent", self.rate, 0)

    def update(self, state, gradients):
        for layer, gradient in enumerate(gradients):
            state[f"weight{layer}"] -= self.rate * gradient / (gradient.norm() + 1e-12)


register("normalised-descent", OnlineMethod(NormalisedDescent))


@pytest.fixture(scope="module")
def stream():
    return PermutedTasks(made_digits(train=300, test=100), tasks=2, seed=1, scale="standard")


def test_a_new_rule_learns_through_learn_online():
    """One step equals the equation, with gradients by autograd."""
    generator = torch.Generator().manual_seed(0)
    state = {"weight0": torch.randn(5, 4, generator=generator), "weight1": torch.randn(3, 5, generator=generator)}
    before = [state[f"weight{layer}"].clone().requires_grad_() for layer in (0, 1)]
    x, label = torch.randn(1, 4, generator=generator), torch.tensor([2])
    loss = torch.nn.functional.cross_entropy((x @ before[0].T).relu() @ before[1].T, label)
    losses = learn_online(NormalisedDescent(rate=0.1), state, x, label)
    torch.testing.assert_close(losses[0], loss.detach())
    for layer, gradient in enumerate(torch.autograd.grad(loss, before)):
        torch.testing.assert_close(state[f"weight{layer}"], before[layer].detach() - 0.1 * gradient / gradient.norm())


def test_a_new_rule_learns_through_online_learner(stream):
    learner = OnlineLearner(stream, rule="normalised-descent", rate=0.08, hidden=[30], seed=1)
    assert learner.settings()["rate"] == 0.08
    assert {name: tuple(value.shape) for name, value in learner.weights().items()} == {
        "weight0": (30, math.prod(stream.shape)),
        "weight1": (10, 30),
    }
    result = train(learner, stream, tasks=1, epochs=4, batch_size=1)
    assert result.accuracy.newest > 0.5  # chance is 0.1
    again = train(
        OnlineLearner(stream, rule="normalised-descent", rate=0.08, hidden=[30], seed=1),
        stream,
        tasks=1,
        epochs=4,
        batch_size=1,
    )
    np.testing.assert_array_equal(again.accuracy.values, result.accuracy.values)


def test_settings_of_a_new_rule_are_checked(stream):
    with pytest.raises(ConfigError, match="rate of NormalisedDescent is -1; expected a finite number of at least 0"):
        OnlineLearner(stream, rule="normalised-descent", rate=-1)
    with pytest.raises(ConfigError, match="normalised-descent has no setting memory; its settings are: rate"):
        OnlineLearner(stream, rule="normalised-descent", memory=3)


def test_the_shipped_rules_are_found_in_the_folder():
    assert set(method_names()) >= SHIPPED
    found = subprocess.run(
        [sys.executable, "-c", "from spinode.training.online.rule import method_names; print(*method_names())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(found.stdout.split()) == SHIPPED


def test_a_name_is_given_once():
    with pytest.raises(ConfigError, match="OnlineMESU is already registered as 'mesu'; choose another name"):
        register("mesu", OnlineMethod(NormalisedDescent))


@pytest.mark.parametrize(
    "rule",
    [
        OnlineSGD(0.1),
        OnlineSGD(0.1, 0.5),
        OnlineSGD(0.1, 0.5, 0.2),
        OnlineMESU(),
        OnlineMESU(clamp=1.0),
        OnlineBGD(),
        OnlineBGD(published_code=True),
        *[
            OnlineBiMU(activation=a, normalise=n, relaxed=r)
            for a in ("gate", "relu")
            for n in (True, False)
            for r in (True, False)
        ],
    ],
    ids=str,
)
def test_every_shipped_rule_has_a_compiled_kernel(rule):
    assert rule.kernel.name in KERNELS
    assert len(rule.kernel.constants) <= 6
    assert set(rule.arrays) <= set(rule.kernel.arrays)


def test_numpy_numbers_are_accepted():
    rule = OnlineMESU(memory=np.float32(500.0), samples=np.int64(3), clamp=np.float64(0.1))
    assert {name: type(value) for name, value in asdict(rule).items()} == {
        **dict.fromkeys(asdict(rule), float),
        "samples": int,
    }


def test_a_rule_without_a_kernel_does_not_require_one():
    state = {"weight0": torch.ones(2, 2), "weight1": torch.ones(2, 2)}
    with kernels.use("torch"):
        plain = learn_online(
            NormalisedDescent(),
            {name: value.clone() for name, value in state.items()},
            torch.ones(3, 2),
            torch.tensor([0, 1, 0]),
        )
    assert torch.equal(learn_online(NormalisedDescent(), state, torch.ones(3, 2), torch.tensor([0, 1, 0])), plain)
