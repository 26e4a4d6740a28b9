"""The online learner: rules by name, consolidation at the end of a task, responses to tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from spinode.datasets import PermutedTasks, made_digits
from spinode.errors import ConfigError
from spinode.training import OnlineLearner, StreamConfig, train
from spinode.training.online import OnlineBGD, OnlineBiMU, OnlineMESU, OnlineSGD

CONFIG = StreamConfig(tasks=2, batch_size=1, shuffle=False)
RULES = ("mesu", "bgd", "bimu", "sgd", "ewc-online", "ewc-stream", "si")


@pytest.fixture(scope="module")
def stream():
    return PermutedTasks(made_digits(train=300, test=100), tasks=3, seed=1, scale="standard")


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_learns_and_is_reproducible(stream, rule):
    config = StreamConfig(tasks=1, epochs=20, batch_size=1)
    first, second = (train(OnlineLearner(stream, rule=rule, seed=2), stream, config) for _ in range(2))
    assert first.accuracy.newest > 0.5  # chance is 0.1
    np.testing.assert_array_equal(first.accuracy.values, second.accuracy.values)


@pytest.mark.parametrize(
    ("rule", "settings", "expected"),
    [
        ("mesu", {"memory": 5.0, "clamp": 0.1}, OnlineMESU(memory=5.0, clamp=0.1)),
        ("bgd", {"samples": 3}, OnlineBGD(samples=3)),
        ("bimu", {"divergence": 2.0}, OnlineBiMU(divergence=2.0)),
        ("sgd", {"rate": 0.1}, OnlineSGD(0.1)),
        ("ewc-online", {"importance": 3.0}, OnlineSGD(0.002, penalty=3.0)),
        ("ewc-stream", {"importance": 3.0, "decay": 0.7}, OnlineSGD(0.002, penalty=3.0, stream_decay=0.7)),
        ("si", {"strength": 0.5}, OnlineSGD(0.002, penalty=1.0)),
    ],
)
def test_settings_reach_the_rule(stream, rule, settings, expected):
    assert OnlineLearner(stream, rule=rule, **settings)._rule == expected


def test_initial_weights(stream):
    learner = OnlineLearner(stream, spread=0.25, hidden=[40])
    for layer, inputs in enumerate((math.prod(stream.shape), 40)):
        limit = 4 / math.sqrt(inputs)
        mean, sigma = learner.weights()[f"mean{layer}"], learner.weights()[f"sigma{layer}"]
        assert 0.9 * limit < float(mean.abs().max()) <= limit
        assert torch.allclose(sigma, torch.full_like(sigma, 0.25 * limit))


def gradients(learner, inputs, labels):
    """Return the gradients of each sample by autograd, for both layers."""
    weights = [learner.weights()[f"weight{layer}"].double().requires_grad_() for layer in (0, 1)]
    per_sample = []
    for x, y in zip(inputs.flatten(1).double(), labels, strict=True):
        loss = nn.functional.cross_entropy((x @ weights[0].T).relu() @ weights[1].T, y)
        per_sample.append(torch.autograd.grad(loss, weights))
    return [torch.stack(each) for each in zip(*per_sample, strict=True)]


def test_fisher_of_a_task_is_the_mean_square_of_its_gradients(stream):
    learner = OnlineLearner(stream, rule="ewc-online", decay=0.3, hidden=[6])
    task = stream[0]
    before = {name: value.clone() for name, value in learner.weights().items()}
    fisher = [each.square().mean(0) for each in gradients(learner, task.inputs, task.labels)]
    learner.end_task(0, task)
    learner.end_task(1, task)
    for layer in (0, 1):
        # The same task twice: F becomes F (1 + decay).
        torch.testing.assert_close(learner.weights()[f"importance{layer}"].double(), 1.3 * fisher[layer], rtol=1e-3, atol=1e-8)
        assert torch.equal(learner.weights()[f"weight{layer}"], before[f"weight{layer}"])


def test_path_integral_of_a_task(stream):
    learner = OnlineLearner(stream, rule="si", rate=0.01, damping=0.5, hidden=[6])
    task = stream[0]
    inputs, labels = task.inputs[:40], task.labels[:40]
    start = [learner.weights()[f"weight{layer}"].double().clone() for layer in (0, 1)]
    path = [torch.zeros_like(each) for each in start]
    for x, y in zip(inputs.split(1), labels.split(1), strict=True):
        step = gradients(learner, x, y)
        learner.learn(x, y, 1)
        for layer in (0, 1):
            path[layer] += 0.01 * step[layer][0].square()  # -g dw, as long as no weight has importance
    change = [learner.weights()[f"weight{layer}"].double() - start[layer] for layer in (0, 1)]
    learner.end_task(0, task)
    for layer in (0, 1):
        expected = path[layer] / (change[layer].square() + 0.5)
        torch.testing.assert_close(learner.weights()[f"importance{layer}"].double(), expected, rtol=1e-3, atol=1e-8)
        assert not learner.weights()[f"path{layer}"].any()


def test_responses_have_the_mean_of_those_of_drawn_weights(stream):
    """Compare pre-activations drawn for each input with drawn weights, by the mean response."""
    learner = OnlineLearner(stream, hidden=[5], test_samples=20000, spread=0.4)
    inputs = stream[0].test_inputs[:3]
    responses = learner.log_probabilities(inputs, generator=torch.Generator().manual_seed(3), task=0, view="shared").exp()
    assert responses.shape == (20000, 3, 10)
    generator = torch.Generator().manual_seed(4)
    weights, flat = learner.weights(), inputs.flatten(1).expand(20000, -1, -1)
    for layer in (0, 1):
        mean, sigma = weights[f"mean{layer}"], weights[f"sigma{layer}"]
        drawn = mean + sigma * torch.randn((20000, *mean.shape), generator=generator)
        flat = flat @ drawn.transpose(1, 2)
        flat = flat.relu() if layer == 0 else flat.softmax(-1)
    error = (responses.var(0) / 20000 + flat.var(0) / 20000).sqrt()
    assert bool(((responses.mean(0) - flat.mean(0)).abs() < 4.5 * error + 1e-6).all())


def test_binary_weights_of_large_lambda_are_its_signs(stream):
    """All draws of the weights agree where every |lambda| is large."""
    learner = OnlineLearner(stream, rule="bimu", hidden=[7], test_samples=3, activation="relu", normalise=False)
    with torch.no_grad():
        for layer in (0, 1):
            value = learner.weights()[f"lambda{layer}"]
            value.copy_(torch.where(value < 0, -20.0, 20.0))
    inputs = stream[0].test_inputs[:4]
    responses = learner.log_probabilities(inputs, generator=torch.Generator(), task=0, view="shared")
    signs = [learner.weights()[f"lambda{layer}"].sign() for layer in (0, 1)]
    expected = ((inputs.flatten(1) @ signs[0].T).relu() @ signs[1].T).log_softmax(-1)
    torch.testing.assert_close(responses, expected.expand(3, -1, -1))


def test_resumes_between_and_within_tasks(stream, tmp_path, monkeypatch):
    """A run that is interrupted after any call ends like an uninterrupted one."""
    from spinode.training.learners import online

    monkeypatch.setattr(online.OnlineLearner, "block", 70)
    for rule in ("mesu", "si"):
        uninterrupted = OnlineLearner(stream, rule=rule, seed=5)
        train(uninterrupted, stream, CONFIG)
        for stop in (2, 5, 7):
            learn, seen = OnlineLearner.learn, []

            def cut(learner, *arguments, learn=learn, seen=seen, stop=stop):
                seen.append(1)
                if len(seen) == stop:
                    raise RuntimeError("cut")
                return learn(learner, *arguments)

            folder = tmp_path / f"{rule}-{stop}"
            with monkeypatch.context() as patch:
                patch.setattr(OnlineLearner, "learn", cut)
                with pytest.raises(RuntimeError, match="cut"):
                    train(OnlineLearner(stream, rule=rule, seed=5), stream, CONFIG, checkpoint=folder, checkpoint_every=0)
            resumed = OnlineLearner(stream, rule=rule, seed=5)
            train(resumed, stream, CONFIG, checkpoint=folder)
            for name, value in uninterrupted.weights().items():
                assert torch.equal(value, resumed.weights()[name]), name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "adam"}, "rule is 'adam'; expected one of bgd, bimu, ewc-online, ewc-stream, mesu"),
        ({"rule": "sgd", "memory": 3}, "sgd has no setting memory; its settings are: rate"),
        ({"rule": "ewc-online", "decay": -1}, "decay of ewc-online is -1; expected a finite number"),
        ({"rule": "mesu", "memory": "long"}, "memory of OnlineMESU is 'long'; expected a number above 0"),
        ({"hidden": [50, 50]}, "expected one hidden layer"),
        ({"hidden": 0}, "a value of hidden is 0; expected a whole number of at least 1"),
        ({"test_samples": 0}, "test_samples is 0"),
        ({"memory": -1}, "memory of OnlineMESU is -1; expected a number above 0"),
    ],
)
def test_wrong_settings_are_reported(stream, settings, message):
    with pytest.raises(ConfigError, match=message):
        OnlineLearner(stream, **settings)


def test_batches_are_refused_before_learning(stream):
    with pytest.raises(ConfigError, match="one sample at a time, but batch_size is 10"):
        train(OnlineLearner(stream), stream, StreamConfig(tasks=1, batch_size=10))


def test_rules_that_need_boundaries_refuse_streams_without(stream):
    unbounded = PermutedTasks(made_digits(train=100, test=50), tasks=2, seed=1, boundaries=False)
    with pytest.raises(ConfigError, match="consolidates where a task ends"):
        OnlineLearner(unbounded, rule="si")
