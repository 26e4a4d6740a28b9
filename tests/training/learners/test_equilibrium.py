"""Equilibrium propagation as a learner: learning, exact resume, devices, settling, and mistakes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from spinode.datasets import STTMRAM, ClassSplit, PermutedTasks, Subsets, TaskSequence, made_digits
from spinode.errors import ConfigError, FitError, SettlingWarning
from spinode.surrogates import IdealSynapse
from spinode.training import EquilibriumPropagation, train

#: Settings of small networks with each kind of weights; rates of flips are those of the published networks, times ten for the
#: fewer steps here.
KINDS = {
    "real": {},
    "binary": {"weights": "binary", "gamma": [1e-3, 1e-4], "threshold": 5e-6},
    "binary-all": {"weights": "binary-all", "duplicates": 5, "gamma": 1e-3, "threshold": 1e-5, "beta": 2.0, "bias_rate": 1e-6},
}


@pytest.fixture(scope="module")
def stream():
    return TaskSequence([made_digits(train=400, test=100)])


@pytest.mark.parametrize("kind", ["real", "binary"])
def test_it_learns(kind, stream):
    learner = EquilibriumPropagation(stream, hidden=[100], **KINDS[kind])
    result = train(learner, stream, epochs=5, batch_size=20)
    assert result.accuracy.newest > 0.6  # chance is 0.1
    assert result.footprint["free phases that did not settle [share]"] == 0
    if kind == "binary":
        assert result.footprint["flips of a weight"] > 0
        assert set(learner.network.connections[0].weight.unique().tolist()) == {-1.0, 1.0}


def test_binary_weights_and_states_flip_and_respond_with_all_duplicates(stream):
    learner = EquilibriumPropagation(stream, hidden=[60], **KINDS["binary-all"])
    before = learner.network.connections[0].weight.detach().clone()
    train(learner, stream, epochs=2, batch_size=20)
    assert not torch.equal(before, learner.network.connections[0].weight)
    inputs = stream[0].inputs[:3]
    response = learner.network.free(inputs, learner.free_steps).response.view(3, 10, 5).mean(-1)
    log_p = learner.log_probabilities(inputs, generator=torch.Generator(), task=0, view="shared")[0]
    torch.testing.assert_close(log_p, response.log_softmax(-1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_resumes_with_the_same_result(killed_after, kind, stream, tmp_path):
    settings = {"epochs": 2, "batch_size": 50, "checkpoint_every": 0}

    def learner():
        return EquilibriumPropagation(stream, hidden=[20], settled=9.0, **KINDS[kind])

    whole = learner()
    expected = train(whole, stream, **settings)
    with killed_after(11) as kill:
        train(learner(), stream, checkpoint=tmp_path, trainer={"callbacks": [kill]}, **settings)
    resumed = learner()
    result = train(resumed, stream, checkpoint=tmp_path, **settings)
    assert result.accuracy.newest == expected.accuracy.newest
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    assert result.footprint == expected.footprint


def test_convolutions_learn():
    stream = TaskSequence([made_digits(train=40, test=20)], flatten=False)
    learner = EquilibriumPropagation(
        stream, hidden=[], channels=[6, 12], kernel=5, padding=0, pool=2, free_steps=15, nudged_steps=8, rate=[0.02, 0.02, 0.05]
    )
    assert [each.above for each in learner.network.connections] == [(6, 12, 12), (12, 4, 4), (10,)]
    task = stream[0]
    losses = [float(learner.learn(task.inputs[:20], task.labels[:20], 20)) for _ in range(25)]
    assert losses[-1] < 0.95 * losses[0]  # on one batch, at a small rate: descent, not accuracy


def test_symmetric_phases_do_not_depend_on_the_sign(stream):
    task, weights = stream[0], []
    for seed in (0, 1):
        learner = EquilibriumPropagation(stream, hidden=[20], beta_sign="symmetric", seed=0)
        learner.generator.manual_seed(seed)
        learner.learn(task.inputs[:20], task.labels[:20], 20)
        weights.append(learner.network.connections[0].weight.detach().clone())
    assert torch.equal(*weights)


@pytest.mark.parametrize("make", [ClassSplit, PermutedTasks, Subsets])
def test_streams_with_and_without_boundaries(make):
    settings = {ClassSplit: {"groups": 2}, PermutedTasks: {"tasks": 2}, Subsets: {"parts": 2}}[make]
    stream = make(made_digits(train=80, test=20), **settings)
    learner = EquilibriumPropagation(stream, hidden=[20])
    result = train(learner, stream, batch_size=20)
    assert np.isfinite(result.accuracy.values[1, :2]).all()


# Devices


def test_binary_weights_are_the_signs_of_cells_and_flips_their_pulses(stream):
    learner = EquilibriumPropagation(stream, hidden=[20], synapse=STTMRAM(), **KINDS["binary"])
    written = learner.footprint()["flips in devices"]
    result = train(learner, stream, epochs=1, batch_size=20)
    figures = result.footprint
    weights = sum(layer.weight.numel() for layer in learner.network.connections)
    assert figures["devices"] == 2 * weights
    assert written == weights  # each was written once
    assert figures["pulses"] == 2 * figures["flips in devices"]  # a pulse on each device of a pair
    assert figures["flips in devices"] > written
    assert figures["energy [J]"] > 0
    for layer, store in zip(learner.network.connections, learner.stores, strict=True):
        assert torch.equal(layer.weight.detach(), store.read(noisy=False))


def test_a_write_error_leaves_the_old_sign_which_the_rule_learns(stream):
    cell = STTMRAM(voltage=(0.55, 0.28))  # near the critical current: many errors
    learner = EquilibriumPropagation(stream, hidden=[20], synapse=cell, pulses_per_flip=1, **KINDS["binary"])
    train(learner, stream, epochs=1, batch_size=20)
    assert learner.footprint()["flips that failed [share]"] > 0
    for layer, store in zip(learner.network.connections, learner.stores, strict=True):
        assert torch.equal(layer.weight.detach(), store.read(noisy=False))


def test_real_weights_in_pairs_take_pulses(stream):
    learner = EquilibriumPropagation(stream, hidden=[20], synapse=IdealSynapse(step=1e-4))
    result = train(learner, stream, epochs=1, batch_size=20)
    assert result.footprint["pulses"] > 0
    for layer, store in zip(learner.network.connections, learner.stores, strict=True):
        assert torch.equal(layer.weight.detach(), store.weights.latent(noisy=False))


# Settling and mistakes


def test_a_network_that_oscillates_is_refused(stream):
    learner = EquilibriumPropagation(stream, hidden=[10])
    first, second = learner.network.connections
    with torch.no_grad():
        first.weight.zero_()
        first.bias.fill_(1.5)
        second.weight.copy_(-2 * torch.eye(10))
        second.bias.fill_(1.5)  # h = clip(1.5 - 2 s) and s = clip(1.5 - 2 h): both 0, then both 1, in turn
    task = stream[0]
    with pytest.raises(FitError, match=r"the network oscillates: its states still change by 1 .*; use dynamics='continuous'"):
        learner.learn(task.inputs[:20], task.labels[:20], 20)
    settled = EquilibriumPropagation(stream, hidden=[10], dynamics="continuous", dt=0.2, free_steps=200)
    settled.network.load_state_dict(learner.network.state_dict())
    settled.learn(task.inputs[:20], task.labels[:20], 20)


def test_phases_that_do_not_settle_are_reported_once(stream):
    learner = EquilibriumPropagation(stream, hidden=[20], dynamics="continuous", dt=0.05, free_steps=2, settled=0.01)
    with pytest.warns(SettlingWarning, match="free phases of an epoch of 2 steps did not settle") as caught:
        result = train(learner, stream, epochs=2, batch_size=50)
    assert len(caught) == 1
    assert result.footprint["free phases that did not settle [share]"] == 1
    assert result.footprint["residual of the free phase, largest"] > 0.01


def test_nan_is_refused(stream):
    learner = EquilibriumPropagation(stream, hidden=[20])
    task = stream[0]
    with pytest.raises(ConfigError, match="inputs are NaN or infinite"):
        learner.learn(task.inputs[:20] * float("nan"), task.labels[:20], 20)
    with torch.no_grad():
        learner.network.connections[0].weight[0, 0] = float("nan")
    with pytest.raises(FitError, match="ep diverged: the loss of a batch is nan"), warnings.catch_warnings():
        learner.learn(task.inputs[:20], task.labels[:20], 20)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": 0}, "beta is 0; expected a finite number above 0"),
        ({"beta_sign": "both"}, "beta_sign is 'both'"),
        ({"weights": "ternary"}, "weights is 'ternary'"),
        ({"gamma": 1e-4}, "gamma is a setting of binary weights; use weights='binary'"),
        ({"rate": [0.1, 0.1, 0.1]}, "rate has 3 numbers for 2 layers of weights"),
        ({"channels": [4]}, r"channels needs images .* shape \(784,\); pass flatten=False"),
        ({"free_steps": 0}, "free_steps is 0"),
        ({"weights": "binary", "synapse": IdealSynapse(), "pulses_per_flip": 0}, "pulses_per_flip is 0"),
        ({"weights": "binary", "rate": 0.3}, "rate is a setting of real weights.*Here rate=0.3 would have no effect"),
        ({"weights": "binary", "pulses_per_flip": 3}, "pulses_per_flip is a setting of weights in devices; pass a synapse"),
        ({"w_max": 3.0}, "w_max is a setting of real weights in devices"),
        ({"kernel": 3}, "kernel is a setting of convolutional layers"),
        ({"weights": "binary-all", "dynamics": "continuous"}, "dynamics is a setting of real states"),
        ({"beta": 1e-9}, "beta is 1e-09, so small that states of single precision"),
        ({"beta": 1.0}, "beta is 1, and a nudged output does not settle at 1 or more"),
        ({"beta": 9.0, "beta_sign": "positive", "dynamics": "continuous", "dt": 0.2}, "does not settle at 9 or more"),
    ],
)
def test_bad_settings_are_refused(stream, settings, message):
    with pytest.raises(ConfigError, match=message):
        EquilibriumPropagation(stream, hidden=[8], **settings)


@pytest.mark.parametrize(("beta", "settles"), [(8.5, True), (9.5, False)])
def test_the_limit_of_beta_is_where_a_nudged_output_oscillates(beta, settles):
    """s <- s + dt (r - s + beta (y - s)) with dt = 0.2 converges for 1 + beta < 2 / dt."""
    state, target, drive = torch.tensor([0.5]), torch.tensor([0.5]), torch.tensor([0.501])
    for _ in range(400):
        previous, state = state, (state + 0.2 * (drive - state + beta * (target - state))).clamp(0, 1)
    assert (float((state - previous).abs()) < 1e-4) is settles


def test_devices_of_one_polarity_cannot_flip_back(stream):
    from spinode.datasets import WeakReset

    with pytest.raises(ConfigError, match="WeakReset responds to RESET pulses only, and a flip needs SET and RESET"):
        EquilibriumPropagation(stream, hidden=[8], weights="binary", synapse=WeakReset())
