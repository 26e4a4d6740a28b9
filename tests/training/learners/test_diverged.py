"""A loss that is not finite names the setting most likely to blame."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinode.datasets import TaskList
from spinode.errors import FitError
from spinode.training import BayesianLearner, MetaplasticReal, NetworkLearner, PlainLearner, train
from spinode.training.learners.diverged import likely_cause


def features(scale=1.0, count=400, dimensions=20):
    """Return features of standard deviation one, in four classes, as two tasks."""
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(4, dimensions))
    labels = np.arange(count) % 4
    x = (0.7 * centres[labels] + draw.normal(size=(count, dimensions))).astype(np.float32)
    x *= scale / x.std()
    task = (x[:300], labels[:300], x[300:], labels[300:])
    return TaskList([task, task])


@pytest.mark.parametrize("batch_size", [10, 100])
@pytest.mark.parametrize("rule", ["mesu", "torch-mesu", "bgd", "bimu"])
def test_bayesian_rules_learn_ordinary_features_at_their_defaults(rule, batch_size):
    stream = features()
    learner = BayesianLearner(stream, rule=rule, hidden=[30], samples=4)
    accuracy = train(learner, stream, epochs=4, batch_size=batch_size).accuracy.newest
    assert all(bool(each.isfinite().all()) for each in learner.parameters())
    assert accuracy > 0.4  # chance is 0.25


@pytest.mark.parametrize(
    ("make", "scale", "message"),
    [
        (
            lambda s: PlainLearner(s, rule="sgd", rate=1e9),
            1.0,
            r"sgd diverged.*the cause is rate=1e\+09: try the default, rate=0\.002",
        ),
        (lambda s: PlainLearner(s, rule="sgd", rate=10.0), 3000.0, "scale of the inputs: their root mean square is 3.*e[+]03"),
        (
            lambda s: PlainLearner(s, rule="ewc-online", rate=0.05, importance=1e7),
            1.0,
            r"importance=1e\+07: rate times the curvature of its penalty is .* diverges above 2",
        ),
        (
            lambda s: BayesianLearner(s, rule="mesu", hidden=[30], samples=2, clamp=0.0),
            1.0,
            "the cause is clamp=0.*try clamp=1",
        ),
    ],
)
def test_the_cause_of_a_divergence_is_named(make, scale, message):
    stream = features(scale)
    with pytest.raises(FitError, match=message):
        train(make(stream), stream, epochs=10, batch_size=50)


def test_causes_in_their_order():
    ordinary, large = torch.ones(3, 2), torch.full((3, 2), 300.0)
    settings = {"rate": 0.5, "importance": 10.0, "clamp": 0.0}
    assert "scale of the inputs" in likely_cause(settings, large, stiffness=50)
    assert "importance=10" in likely_cause(settings, ordinary, stiffness=50)
    assert "try importance=0.2" in likely_cause(settings, ordinary, stiffness=50)
    assert "clamp=0" in likely_cause(settings, ordinary)
    assert "rate=0.5: try rate=0.05" in likely_cause({"rate": 0.5}, ordinary)
    assert "sigma_rate=3" in likely_cause({"mean_rate": 1.0, "sigma_rate": 3.0}, ordinary)
    assert likely_cause({}, ordinary) == "Check the network and the inputs."
    assert "scale of the inputs" in likely_cause(settings, ordinary / 0)
    assert "rate=2000: try the default, rate=1." in likely_cause({"rate": 2000.0}, ordinary, defaults={"rate": 1.0})
    assert "rate=200: try rate=20" in likely_cause({"rate": 200.0}, ordinary, defaults={"rate": 1.0})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda s: BayesianLearner(s, rule="bgd", hidden=[5], mean_rate=1e9),
            r"mean_rate=1e\+09: try the default, mean_rate=1\.",
        ),
        (lambda s: MetaplasticReal(s, hidden=[5], rate=1e9), r"the default, (norm_)?rate=0\.005"),
        (lambda s: NetworkLearner(torch.nn.Linear(20, 4), s, rule="adam", rate=1e9), r"try the default, rate=0\.001"),
    ],
)
def test_learners_know_the_defaults_of_their_rates(make, message):
    with pytest.raises(FitError, match=message):
        raise FitError(make(features()).likely_cause(torch.ones(3, 20)))
