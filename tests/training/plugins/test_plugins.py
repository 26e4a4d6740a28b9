"""Replay, LwF, EWC and SI beside any rule: their equations."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from scipy.stats import chisquare
from torch import nn

from spinode.errors import ConfigError
from spinode.training import EWC, LwF, Replay, fisher_information
from spinode.training.network_rules import network_rules
from spinode.training.plugins import Batch, plugins
from spinode.training.plugins.elastic import sample_fisher
from spinode.training.plugins.plugin import Context


def context(network=None, *, outputs=4, tasks=1, boundaries=True, seed=0):
    network = nn.Linear(3, outputs, bias=False) if network is None else network
    heads = torch.ones(tasks, outputs, dtype=torch.bool)
    generator = torch.Generator().manual_seed(seed)
    return Context(network, list(network.parameters()), lambda x, _: network(x), heads, generator, boundaries)


def batch(samples=5, *, start=0, outputs=4, task=0):
    numbers = torch.arange(start, start + samples)
    return Batch(numbers[:, None] * torch.ones(1, 3), numbers % outputs, torch.full((samples,), task))


# Replay


@pytest.mark.parametrize("boundaries", [True, False])
def test_the_buffer_is_a_uniform_sample_of_all_data(boundaries):
    """Each of 60 samples is in a buffer of 12 with the same probability, whenever it came."""
    counts = torch.zeros(60)
    for seed in range(300):
        replay = Replay(buffer=12)
        replay.attach(context(boundaries=boundaries, seed=seed))
        for start in range(0, 60, 20):
            if boundaries:
                replay.end_task(batch(20, start=start))
            else:
                replay.extend(batch(20, start=start))
        stored = replay.state_dict()["stored"][0][:, 0].long()
        assert len(stored.unique()) == 12
        counts[stored] += 1
    assert chisquare(counts).pvalue > 1e-6


def test_a_batch_is_joined_with_stored_samples_of_their_own_task():
    replay = Replay(buffer=8, replayed=3)
    replay.attach(context())
    first = batch(2, start=100, task=1)
    assert replay.extend(first) is first  # nothing is stored yet
    replay.end_task(batch(6, start=0, task=0))
    joined = replay.extend(first)
    assert joined.tasks.tolist() == [1, 1, 0, 0, 0]
    assert (joined.inputs[2:, 0].long() % 4).tolist() == joined.outputs[2:].tolist()
    assert replay.memory() == 6 * (3 * 4 + 8 + 8)
    other = Replay(buffer=8, replayed=3)
    other.attach(context())
    other.load_state_dict(replay.state_dict())
    assert other.state_dict()["seen"] == 6
    assert torch.isin(other.extend(first).inputs[2:, 0], torch.arange(6.0)).all()


# LwF


def test_distillation_is_the_divergence_from_the_old_responses():
    network = nn.Linear(3, 4)
    lwf = LwF(distillation=0.5, temperature=3.0)
    lwf.attach(context(network))
    data = batch(5)
    assert lwf.penalty(data, network(data.inputs)) is None  # there is no past
    lwf.end_task(Batch(data.inputs, torch.tensor([0, 2, 3, 0, 2]), data.tasks))
    assert float(lwf.penalty(data, network(data.inputs)).detach()) == pytest.approx(0, abs=1e-6)
    old = network(data.inputs)[:, [0, 2, 3]].detach() / 3
    with torch.no_grad():
        network.weight.add_(torch.randn(4, 3, generator=torch.Generator().manual_seed(1)))
    new = network(data.inputs)[:, [0, 2, 3]] / 3
    divergence = (old.softmax(-1) * (old.log_softmax(-1) - new.log_softmax(-1))).sum(-1).mean()
    torch.testing.assert_close(lwf.penalty(data, network(data.inputs)), 0.5 * 9 * divergence)
    copy = LwF(distillation=0.5, temperature=3.0)
    copy.attach(context(network))
    copy.load_state_dict(lwf.state_dict())
    torch.testing.assert_close(copy.penalty(data, network(data.inputs)), 0.5 * 9 * divergence)


# EWC and SI


def test_fisher_information_of_any_network_equals_the_closed_form_for_linear_layers():
    first, second = nn.Linear(3, 5, bias=False), nn.Linear(5, 4, bias=False)
    network = nn.Sequential(first, nn.ReLU(), second)
    data = Batch(torch.randn(12, 3, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 4, torch.zeros(12).long())

    def forward(x):
        hidden = first(x)
        active = hidden.relu()
        logits = second(active)
        return logits, [(x, hidden), (active, logits)]

    for ours, closed in zip(sample_fisher(context(network), data), fisher_information(forward, *data[:2]), strict=True):
        torch.testing.assert_close(ours, closed)


def test_ewc_pulls_towards_the_weights_of_the_task():
    network = nn.Linear(3, 4, bias=False)
    plugin = plugins()["ewc"](importance=7.0, fisher_samples=5)
    plugin.attach(context(network))
    data = batch(5)
    fisher = sample_fisher(context(network), data)
    plugin.end_task(data)
    old = network.weight.detach().clone()
    with torch.no_grad():
        network.weight.add_(0.1)
    network.weight.grad = torch.zeros_like(network.weight)
    plugin.before_step()
    torch.testing.assert_close(network.weight.grad, 7.0 * fisher[0] * (network.weight.detach() - old))
    assert isinstance(plugin.elastic, EWC)


def test_si_measures_the_path_along_which_the_loss_fell():
    network = nn.Linear(3, 4, bias=False)
    plugin = plugins()["si"](strength=0.3, damping=0.2)
    plugin.attach(context(network))
    step = torch.full((4, 3), -0.5)
    network.weight.grad = torch.full((4, 3), 2.0)
    plugin.before_step()
    with torch.no_grad():
        network.weight.add_(step)
    plugin.after_step()
    plugin.end_task(batch())
    torch.testing.assert_close(plugin.elastic.importance[0], torch.full((4, 3), 1.0 / (0.25 + 0.2)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Replay(buffer=0), "buffer of replay is 0"),
        (lambda: Replay(replayed=1.5), "replayed of replay is 1.5"),
        (lambda: LwF(temperature=0), "temperature of lwf is 0"),
        (lambda: plugins()["ewc"](importance=0), "importance of ewc is 0"),
        (lambda: plugins()["ewc-online"](decay=2), "decay of ewc-online is 2"),
        (lambda: plugins()["si"](damping=0), "damping of si is 0"),
        (lambda: network_rules()["adam"](rate=-1), "rate of adam is -1"),
        (lambda: network_rules()["sgd"](momentum=1), "momentum of sgd is 1"),
        (lambda: network_rules()["metaplastic"](metaplasticity=float("nan")), "metaplasticity of metaplastic is nan"),
        (lambda: network_rules()["mesu"](draws=0), "draws of mesu is 0"),
    ],
)
def test_invalid_settings_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_settings_of_rules_and_plugins_have_distinct_names():
    """They are given in one list."""
    for rule in network_rules().values():
        for plugin in plugins().values():
            assert not {each.name for each in fields(rule)} & {each.name for each in fields(plugin)}, (rule, plugin)
