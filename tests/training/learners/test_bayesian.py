"""The Bayesian and the plain learner: learning, exact resume, weights in devices, refused settings."""

from __future__ import annotations

import pytest
import torch

from spinode.datasets import PermutedTasks, TiO2, made_digits
from spinode.errors import ConfigError
from spinode.training import BayesianLearner, OnlineLearner, PlainLearner, StreamConfig, train
from spinode.training.learners.bayesian import RULES as BAYESIAN
from spinode.training.learners.plain import RULES as PLAIN

CONFIG = StreamConfig(tasks=2, epochs=2, batch_size=20, evaluate="seen")
QUICK = {
    "mesu": {"prior_sigma": 0.1, "memory": 1e5, "clamp": 1.0, "spread": 0.1},
    "torch-mesu": {"prior_sigma": 0.1, "memory": 1e5, "spread": 0.1},
    "bgd": {"spread": 0.1},
    "bimu": {"memory": 1e5},
}


@pytest.fixture(scope="module")
def stream():
    return PermutedTasks(made_digits(train=400, test=100), tasks=3, seed=1, scale="standard")


def bayesian(stream, rule, **settings):
    return BayesianLearner(stream, rule=rule, hidden=[20], samples=3, test_samples=5, seed=2, **{**QUICK[rule], **settings})


def plain(stream, rule, **settings):
    settings = {"rate": 0.002 if rule in ("adam", "ewc") else 0.05, **settings}
    return PlainLearner(stream, hidden=[20], rule=rule, seed=2, **settings)


ALL = [(bayesian, rule) for rule in BAYESIAN] + [(plain, rule) for rule in PLAIN]


@pytest.mark.parametrize(("make", "rule"), ALL)
def test_every_rule_learns(stream, make, rule):
    result = train(make(stream, rule), stream, StreamConfig(tasks=1, epochs=15, batch_size=20))
    assert result.accuracy.newest > 0.5  # chance is 0.1
    assert result.footprint["memory [B]"] > 0


class Interrupted(RuntimeError):
    """Raised in place of a signal that ends the process."""


@pytest.mark.parametrize(
    ("make", "rule", "devices"), [*((*each, False) for each in ALL), (bayesian, "mesu", True), (plain, "si", True)]
)
def test_resumes_to_the_same_weights(stream, make, rule, devices, tmp_path, monkeypatch):
    settings = {"synapse": TiO2()} if devices else {}
    uninterrupted = make(stream, rule, **settings)
    expected = train(uninterrupted, stream, CONFIG)
    for stop in (7, 61):  # within the first task, and within the second (of 40 batches each)
        interrupted = make(stream, rule, **settings)
        learn, seen = type(interrupted).learn, []

        def counted(learner, *arguments, learn=learn, seen=seen, stop=stop):
            seen.append(1)
            if len(seen) == stop:
                raise Interrupted
            return learn(learner, *arguments)

        folder = tmp_path / str(stop)
        # In the class: a learner with a method of its own would be another one.
        with monkeypatch.context() as patch:
            patch.setattr(type(interrupted), "learn", counted)
            with pytest.raises(Interrupted):
                train(interrupted, stream, CONFIG, checkpoint=folder, checkpoint_every=0)
        resumed = make(stream, rule, **settings)
        resumed_result = train(resumed, stream, CONFIG, checkpoint=folder)
        for (name, mine), other in zip(uninterrupted.named_parameters(), resumed.parameters(), strict=True):
            assert torch.equal(mine, other), name
        assert (resumed_result.accuracy.values == expected.accuracy.values)[1].all()


def test_sgd_in_batches_of_one_equals_the_online_rule(stream):
    """Up to rounding, from the same initial weights."""
    slow, fast = plain(stream, "sgd", rate=0.01), OnlineLearner(stream, rule="sgd", hidden=[20], rate=0.01, seed=2)
    for index, layer in enumerate(slow.layers):
        with torch.no_grad():
            layer.weight.copy_(fast.weights()[f"weight{index}"])
    config = StreamConfig(tasks=1, batch_size=1, shuffle=False)
    train(slow, stream, config), train(fast, stream, config)
    for index, layer in enumerate(slow.layers):
        torch.testing.assert_close(layer.weight.detach(), fast.weights()[f"weight{index}"], rtol=1e-3, atol=1e-4)


def test_draws_in_devices_have_the_requested_sigma(stream):
    """Digital noise complements the read noise up to sigma; where sigma is smaller the read noise remains."""
    learner = bayesian(stream, "mesu", synapse=TiO2(read_noise=0.01))
    layer, store = learner.layers[0], learner.stores[0]
    assert store.noise > 0
    for sigma, expected in ((3 * store.noise, 3 * store.noise), (0.1 * store.noise, store.noise)):
        with torch.no_grad():
            layer.sigma.fill_(sigma)
            x = torch.eye(layer.mean.shape[1])[:40]
            drawn = layer(x, 400, generator=torch.Generator().manual_seed(1)).transpose(1, 2)
        spread = (drawn - layer.mean.detach()[:, :40]).square().mean().sqrt()
        assert float(spread) == pytest.approx(expected, rel=0.1)
    assert learner.footprint()["weights with sigma below read noise [share]"] == pytest.approx(
        layer.sigma.numel() / (layer.sigma.numel() + learner.layers[1].sigma.numel()), abs=0.01
    )


def test_steps_in_devices_become_pulses(stream):
    learner = bayesian(stream, "mesu", synapse=TiO2())
    written = learner.footprint()["pulses"]
    train(learner, stream, StreamConfig(tasks=1, batch_size=20))
    figures = learner.footprint()
    assert figures["pulses"] > written
    assert figures["devices"] == 2 * sum(each.mean.numel() for each in learner.layers)
    for layer, store in zip(learner.layers, learner.stores, strict=True):
        assert torch.equal(layer.mean.detach(), store.weights.latent(noisy=False))


def test_tests_do_not_advance_the_generator(stream):
    learner = bayesian(stream, "mesu", synapse=TiO2(read_noise=0.01))
    before = learner.stores[0].weights._generator.get_state()
    inputs = stream[0].test_inputs[:10]
    first, second = (
        learner.log_probabilities(inputs, generator=torch.Generator().manual_seed(3), task=0, view="shared") for _ in range(2)
    )
    assert torch.equal(first, second)
    assert torch.equal(before, learner.stores[0].weights._generator.get_state())


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (BayesianLearner, {"rule": "sgd"}, "rule is 'sgd'; expected one of mesu, torch-mesu, bgd, bimu"),
        (BayesianLearner, {"rule": "bgd", "memory": 3}, "bgd has no setting memory; its settings are: mean_rate"),
        (BayesianLearner, {"samples": 0}, "samples is 0; expected a whole number"),
        (BayesianLearner, {"hidden": [5, -1]}, "a value of hidden is -1; expected a whole number of at least 1"),
        (BayesianLearner, {"rule": "bimu", "synapse": TiO2()}, "bimu cannot store its weights in devices"),
        (BayesianLearner, {"synapse": TiO2(), "w_max": 0}, "w_max is 0; expected a finite number above 0"),
        (PlainLearner, {"rule": "mesu"}, "rule is 'mesu'; expected one of sgd, adam"),
        (PlainLearner, {"rule": "sgd", "rate": -1}, "rate is -1"),
        (PlainLearner, {"rule": "ewc", "importance": 0}, "strength is 0"),
        (PlainLearner, {"rule": "adam", "decay": 0.1}, "adam has no setting decay"),
    ],
)
def test_wrong_settings_are_reported(stream, make, settings, message):
    with pytest.raises(ConfigError, match=message):
        make(stream, **settings)


def test_rules_that_need_boundaries_refuse_streams_without():
    unbounded = PermutedTasks(made_digits(train=100, test=50), tasks=2, seed=1, boundaries=False)
    with pytest.raises(ConfigError, match="consolidates where a task ends"):
        PlainLearner(unbounded, rule="ewc")
