"""Self-defined targets as a learner: learning with controls, exact resume, labels, devices, and mistakes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from spinode.datasets import ClassSplit, Subsets, TaskSequence, made_digits
from spinode.errors import ConfigError
from spinode.surrogates import IdealSynapse
from spinode.training import SelfDefinedTarget, train
from spinode.training.layers.read_out import fit_read_out
from spinode.training.learners.labelled import draw_labelled

SMALL = {"outputs": 60, "winners": 3, "dropout": [0.3, 0.2]}
SEMI = {"mode": "semi-supervised", "hidden": [60], "labels": 40, "optimizer": "adam", "pretrain_epochs": 8, "homeostasis": 0.1}
BY = {
    "bp": {"by": "bp"},
    "ep": {"by": "ep", "homeostasis": 0.3},
    "semi bp": {"by": "bp", **SEMI, "rate": [1e-3, 3e-3]},
    "semi ep": {"by": "ep", **SEMI, "rate": [1e-3, 3e-3], "free_steps": 30, "beta": 0.45},
}


@pytest.fixture(scope="module")
def stream():
    return TaskSequence([made_digits(train=400, test=100)])


def make(stream, kind, **settings):
    small = {} if kind.startswith("semi") else SMALL
    return SelfDefinedTarget(stream, **{**small, **BY[kind], **settings})


def test_homeostasis_and_training_help_the_direct_association(stream):
    learner = make(stream, "bp", controls=["untrained", "no homeostasis"])
    result = train(learner, stream, epochs=4, batch_size=10)
    newest = {view: matrix.newest for view, matrix in result.accuracies.items()}
    assert newest["mean"] > newest["untrained mean"] + 0.05
    assert newest["mean"] > newest["no homeostasis mean"] + 0.3
    assert newest["no homeostasis mean"] < 0.4  # a few outputs win always
    assert learner.branches["trained"].silent() < learner.branches["no homeostasis"].silent()


def test_equilibrium_propagation_learns_the_same_way(stream):
    learner = make(stream, "ep", rate=0.1)
    result = train(learner, stream, epochs=4, batch_size=10)
    assert result.accuracies["mean"].newest > result.accuracies["untrained mean"].newest
    assert result.footprint["residual of the free phase, largest"] < 0.01


def test_untrained_branch_begins_with_the_same_weights_and_keeps_them(stream):
    learner = make(stream, "bp", controls=["untrained", "no homeostasis"])
    first = [branch.network.layers[0].weight.detach().clone() for branch in learner.branches.values()]
    assert torch.equal(first[0], first[1])
    assert torch.equal(first[0], first[2])
    task = stream[0]
    learner.learn(task.inputs[:10], task.labels[:10], 10)
    moved = [
        not torch.equal(old, branch.network.layers[0].weight)
        for old, branch in zip(first, learner.branches.values(), strict=True)
    ]
    assert moved == [True, False, True]


def test_controls_do_not_change_the_trained_network(stream):
    task, weights = stream[0], []
    for controls in ([], ["untrained", "no homeostasis"]):
        learner = make(stream, "ep", controls=controls)
        for _ in range(3):
            learner.learn(task.inputs[:10], task.labels[:10], 10)
        weights.append(learner.branches["trained"].network.layers[0].weight.detach())
    assert torch.equal(*weights)


def test_labels_do_not_shape_the_network_but_its_association(stream):
    task = stream[0]
    learners = [make(stream, "bp") for _ in range(2)]
    for learner, labels in zip(learners, (task.labels, task.labels.flip(0)), strict=True):
        learner.learn(task.inputs[:10], labels[:10], 10)
    assert torch.equal(*(each.branches["trained"].network.layers[0].weight for each in learners))


def test_a_step_by_backpropagation_equals_the_written_one(stream):
    learner = SelfDefinedTarget(stream, outputs=20, winners=3, homeostasis=0.4, rate=2.0)
    layer = learner.branches["trained"].network.layers[0]
    weight = layer.weight.detach().clone().requires_grad_()
    x = stream[0].inputs[:10].flatten(1)
    outputs = (x @ weight.T).clamp(0, 1)
    target = torch.zeros(10, 20).scatter_(1, outputs.topk(3).indices, 1.0)
    (outputs - target).square().mean().backward()
    learner.learn(stream[0].inputs[:10], stream[0].labels[:10], 10)
    torch.testing.assert_close(layer.weight.detach(), (weight - 2.0 * weight.grad).detach())
    torch.testing.assert_close(learner.branches["trained"].rule.handicap, 0.4 * (target.mean(0) - 3 / 20))


@pytest.mark.parametrize("kind", BY)
def test_a_killed_run_resumes_with_the_same_result(killed_after, kind, stream, tmp_path):
    settings = {"epochs": 2, "batch_size": 50, "checkpoint_every": 0}

    def learner():
        return make(stream, kind, settled=9.0, **({} if kind.startswith("semi") else {"read_out": True, "read_out_epochs": 2}))

    whole = learner()
    expected = train(whole, stream, **settings)
    with killed_after(11) as kill:
        train(learner(), stream, checkpoint=tmp_path, trainer={"callbacks": [kill]}, **settings)
    resumed = learner()
    result = train(resumed, stream, checkpoint=tmp_path, **settings)
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        if isinstance(one, torch.Tensor):
            assert torch.equal(one, other)
    assert {name: each.newest for name, each in result.accuracies.items()} == {
        name: each.newest for name, each in expected.accuracies.items()
    }


def test_rates_fall_linearly_and_handicaps_begin_each_epoch_at_zero(stream):
    seen = []

    class Watch(Callback):
        def on_train_batch_start(self, trainer, learner, batch, index):
            if index == 0:
                branch = learner.branches["trained"]
                seen.append((branch.optimisers[0].param_groups[0]["lr"], float(branch.rule.handicap.abs().sum())))

    train(make(stream, "bp", rate=4.0, decay=0.1), stream, epochs=3, batch_size=50, trainer={"callbacks": [Watch()]})
    assert [rate for rate, _ in seen] == pytest.approx([4.0, 4.0 * 0.7, 4.0 * 0.4])
    assert [handicap for _, handicap in seen] == [0, 0, 0]


def test_single_samples(stream):
    learner = make(stream, "bp", rate=0.5, homeostasis=0.05)
    result = train(learner, stream, epochs=1, batch_size=1)
    assert result.accuracies["mean"].newest > 0.3
    assert learner.branches["trained"].rule.average.any()


def test_semi_supervised_learning_uses_few_labels(stream):
    learner = make(stream, "semi bp", controls=["no homeostasis"])
    result = train(learner, stream, epochs=2, batch_size=50)
    assert list(result.accuracies) == ["outputs", "no homeostasis outputs"]
    assert result.accuracies["outputs"].newest > 0.4
    assert len(learner._labelled(0)[1]) == 40


def test_continual_streams():
    for stream in (ClassSplit(made_digits(train=100, test=40), groups=2), Subsets(made_digits(train=100, test=40), parts=2)):
        learner = SelfDefinedTarget(stream, **SMALL)
        result = train(learner, stream, batch_size=10)
        assert np.isfinite(result.accuracy.values[1, :2]).all()
        assert learner.branches["trained"].means.any()  # also where no end of a task is announced


def test_weights_in_pairs_of_devices_take_pulses(stream):
    learner = make(stream, "bp", synapse=IdealSynapse(step=1e-4))
    result = train(learner, stream, epochs=2, batch_size=10)
    assert result.footprint["pulses"] > 0
    assert result.footprint["devices"] == 2 * 60 * 784
    assert result.accuracies["mean"].newest > 0.3


def test_labelled_samples_are_spread_over_classes(stream):
    task = stream[0]
    chosen = draw_labelled(task, 40, 10, seed=3)
    assert torch.bincount(task.labels[chosen], minlength=10).tolist() == [4] * 10
    assert torch.equal(chosen, draw_labelled(task, 40, 10, seed=3))
    assert not torch.equal(chosen, draw_labelled(task, 40, 10, seed=4))


def test_read_out_separates_what_is_separable():
    features = torch.eye(6).repeat(20, 1)
    labels = torch.arange(6).repeat(20) % 3
    weight, bias = fit_read_out(features.half(), labels, 3, epochs=10, generator=torch.Generator().manual_seed(0))
    assert torch.equal((features @ weight.T + bias).argmax(1), labels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "semi-supervised", "hidden": [8]}, "no labelled samples to begin with; pass labels=600"),
        ({"mode": "semi-supervised", "labels": 40}, r"softmax above a hidden layer; pass hidden=\[5000\]"),
        ({"labels": 9}, "labels is 9; expected a whole number .* 10"),
        ({"winners": 70, "outputs": 60}, "there are 70 winners among 60 outputs"),
        ({"by": "hebb"}, "by is 'hebb'; expected one of bp, ep"),
        ({"by": "ep", "beta": 0}, "beta is 0; expected a finite number above 0"),
        ({"dropout": [0.3]}, "dropout has 1 numbers for 2"),
        ({"controls": ["random"]}, "a control is 'random'"),
        ({"controls": "random"}, "a control is 'random'"),
        ({"controls": "no homeostasis", "homeostasis": 0.0}, "the control 'no homeostasis' is the network itself"),
        ({"beta": 0.3}, "beta is a setting of equilibrium propagation; use by='ep'. Here beta=0.3 would have no effect"),
        ({"mode": "semi-supervised", "labels": 40, "winners": 3}, "winners is a setting of the unsupervised mode"),
        ({"pretrain_epochs": 3}, "pretrain_epochs is a setting of the semi-supervised mode"),
        ({"read_out_rate": 0.3}, "read_out_rate is a setting of the read-out"),
        ({"w_max": 3.0}, "w_max is a setting of weights in devices"),
    ],
)
def test_bad_settings_are_refused(stream, settings, message):
    with pytest.raises(ConfigError, match=message):
        SelfDefinedTarget(stream, **settings)


def test_labels_need_boundaries_and_samples(stream):
    unbounded = Subsets(made_digits(train=100, test=20), parts=2)
    with pytest.raises(ConfigError, match=r"has no boundaries; use mode='unsupervised'"):
        make(unbounded, "semi bp")
    for name, value in (("labels", 20), ("read_out", True)):
        with pytest.raises(ConfigError, match=f"{name} is given, but .* has no boundaries"):
            SelfDefinedTarget(unbounded, outputs=20, winners=2, **{name: value})
    with pytest.raises(ConfigError, match=r"labels is 401, and task .* has 400 samples"):
        train(make(stream, "bp", labels=401), stream, batch_size=100)
