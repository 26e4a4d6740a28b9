"""The metaplastic learners: their equation, exact resume, and resistance to unlearning."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinode.datasets import PermutedTasks, made_digits
from spinode.errors import ConfigError
from spinode.training import (
    MetaplasticAdam,
    MetaplasticBNN,
    MetaplasticQNN,
    MetaplasticReal,
    StreamConfig,
    fisher_information,
    train,
)

LEARNERS = pytest.mark.parametrize("cls", [MetaplasticBNN, MetaplasticQNN, MetaplasticReal])
CONFIG = StreamConfig(tasks=2, epochs=2, batch_size=20, evaluate="seen", test_batch=50)


@pytest.fixture(scope="module")
def stream():
    return PermutedTasks(made_digits(train=200, test=100), tasks=3, seed=1)


def batch(stream, size=20):
    task = stream[0]
    return task.inputs[:size], task.labels[:size]


@LEARNERS
def test_it_learns_reproducibly(cls, stream):
    config = StreamConfig(tasks=1, epochs=10, batch_size=20, test_batch=100)
    learners = [cls(stream, hidden=[50], seed=seed) for seed in (0, 0, 1)]
    results = [train(each, stream, config) for each in learners]
    assert results[0].accuracies["task"].values[0, 0] > 0.5  # chance is 0.1
    np.testing.assert_array_equal(results[0].accuracies["task"].values, results[1].accuracies["task"].values)
    one, two, other = (each.layers[0].weight for each in learners)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("activation", ["relu", "sign", 2])
@LEARNERS
def test_a_step_equals_that_of_an_explicit_network(cls, activation, stream):
    """Forward pass, straight-through gradient and step of MetaplasticAdam for a hidden layer and the last one."""
    # A rate of 0.03 half spacings is one of 0.01.
    settings = {"levels": 4, "relative_rate": 0.03} if cls is MetaplasticQNN else {"rate": 0.01}
    learner = cls(stream, hidden=[15], metaplasticity=[2.0, 0.5], weight_decay=1e-3, activation=activation, **settings)
    inputs, labels = batch(stream)
    spacing = None if cls is not MetaplasticQNN else 2 / 3
    hidden = [torch.nn.Parameter(layer.weight.detach().clone()) for layer in learner.layers]
    effective = []
    for w in hidden:
        if cls is MetaplasticReal:
            effective.append(w.detach().clone().requires_grad_())
        elif cls is MetaplasticBNN:
            effective.append(torch.where(w >= 0, 1.0, -1.0).requires_grad_())
        else:
            grid = torch.linspace(-1, 1, 4)
            effective.append(grid[(w.detach()[..., None] - grid).abs().argmin(-1)].requires_grad_())

    def norm(z):
        return (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt()

    z = norm(inputs.flatten(1) @ effective[0].T)
    if activation == "relu":
        a = z.relu()
    elif activation == "sign":
        a = z.clamp(-1, 1) + (torch.where(z >= 0, 1.0, -1.0) - z.clamp(-1, 1)).detach()
    else:
        a = z.clamp(0, 2) + ((z.clamp(0, 2) * 1.5).round() / 1.5 - z.clamp(0, 2)).detach()
    loss = torch.nn.functional.cross_entropy(norm(a @ effective[1].T), labels)
    loss.backward()
    expected = []
    for w, s, m in zip(hidden, effective, (2.0, 0.5), strict=True):
        w.grad = s.grad
        interval = None if spacing is None else (spacing, 4)
        MetaplasticAdam([w], lr=0.01, m=m, weight_decay=1e-3, interval=interval).step()
        expected.append(w.detach())
    learner_loss = learner.loss(learner.flat(inputs), labels)
    torch.testing.assert_close(learner_loss, loss)
    learner_loss.backward()
    for layer, s in zip(learner.layers, effective, strict=True):
        torch.testing.assert_close(layer.weight.grad, s.grad, rtol=1e-3, atol=1e-5)
        layer.weight.grad = s.grad.clone()  # Adam's first step is a sign, which rounding could change
    learner.step()
    for layer, w in zip(learner.layers, expected, strict=True):
        torch.testing.assert_close(layer.weight.detach(), w, rtol=1e-5, atol=1e-6)


def test_two_levels_equal_the_binary_network(stream):
    binary = MetaplasticBNN(stream, hidden=[30], metaplasticity=2.0, init_width=0.3)
    levels = MetaplasticQNN(stream, hidden=[30], metaplasticity=2.0, relative_width=0.3, activation="sign", levels=2)
    results = [train(each, stream, CONFIG) for each in (binary, levels)]
    for one, two in zip(binary.parameters(), levels.parameters(), strict=True):
        assert torch.equal(one, two)
    np.testing.assert_array_equal(results[0].accuracies["task"].values, results[1].accuracies["task"].values)


@pytest.mark.parametrize("levels", [2, 4, 8])
def test_one_setting_means_the_same_for_any_number_of_levels(levels, stream):
    """In units of half the spacing, the first step and the initial weights are the same."""
    learner = MetaplasticQNN(stream, hidden=[20], levels=levels, relative_rate=0.02, relative_width=0.3, norm_rate=0.1)
    h = 1 / (levels - 1)
    before = learner.layers[1].weight.detach() / h
    assert 0.14 < float(before.abs().max()) <= 0.15
    inputs, labels = batch(stream)
    learner.loss(learner.flat(inputs), labels).backward()
    gains = learner.norms[1].weight.detach().clone()
    learner.step()
    moved = learner.layers[1].weight.detach() / h - before
    # The first step of Adam is the sign of the gradient; where the step goes towards zero the rule damps it.
    damped = 0.02 * (1 - (3.0 * before).tanh().square())
    expected = torch.where(moved * before > 0, 0.02, damped)
    torch.testing.assert_close(moved.abs(), expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close((learner.norms[1].weight.detach() - gains).abs(), torch.full((10,), 0.1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("levels", "in_use"), [(2, 2), (3, 3), (4, 2), (8, 2)])
def test_the_footprint_says_how_many_levels_are_in_use(levels, in_use, stream):
    """From the inner transitions two levels are reached, three where zero is one; from all transitions every one."""
    figures = MetaplasticQNN(stream, hidden=[200], levels=levels).footprint()
    shares = [value for name, value in figures.items() if name.startswith("weights at")]
    assert figures["levels in use"] == in_use
    assert len(shares) == levels
    assert sum(shares) == pytest.approx(1)
    spread = MetaplasticQNN(stream, hidden=[200], levels=levels, init_at="all").footprint()
    assert spread["levels in use"] == levels
    # Inner levels lie at two transitions, outer ones at one.
    shares = [value for name, value in spread.items() if name.startswith("weights at")]
    expected = [(1 if index in (0, levels - 1) else 2) / (2 * (levels - 1)) for index in range(levels)]
    assert shares == pytest.approx(expected, abs=0.01)


def test_the_published_network_takes_15_times_less_memory_than_the_binary_one():
    """784-512-512-10 with two bits a weight, against the published 784-4096-4096-10 with one."""
    stream = PermutedTasks(made_digits(train=20, test=10), tasks=1)
    network = MetaplasticQNN(stream).footprint()["memory of the network alone [B]"]
    assert network == (784 * 512 + 512 * 512 + 512 * 10) * 2 / 8
    assert (784 * 4096 + 4096 * 4096 + 4096 * 10) / 8 / network == pytest.approx(15, abs=0.05)


def test_metaplasticity_preserves_signs(stream):
    """The second task changes fewer signs of large weights at large m."""
    changed = []
    for m in (0.0, 10.0):
        learner = MetaplasticBNN(stream, hidden=[50], metaplasticity=m)
        train(learner, stream, StreamConfig(tasks=1, epochs=5, batch_size=20))
        before = learner.layers[0].quantised()
        strong = learner.layers[0].weight.detach().abs() > 0.05
        assert int(strong.sum()) > 1000
        learner.begin_task(1)
        for _ in range(100):
            task = stream[1]
            inputs, labels = learner.flat(task.inputs[:50]), task.labels[:50]
            loss = learner.loss(inputs, labels)
            learner.optimiser.zero_grad()
            loss.backward()
            learner.step()
        changed.append(float((learner.layers[0].quantised() != before)[strong].float().mean()))
    assert changed[0] > 0.01
    assert changed[1] < changed[0]


def test_each_task_has_a_new_adam_only_with_boundaries(stream):
    bounded = MetaplasticBNN(stream, hidden=[10])
    train(bounded, stream, CONFIG)
    assert {state["step"] for state in bounded.optimiser.state.values()} == {20}
    unbounded_stream = _Unbounded(stream)
    unbounded = MetaplasticBNN(unbounded_stream, hidden=[10])
    train(unbounded, unbounded_stream, CONFIG)
    assert {state["step"] for state in unbounded.optimiser.state.values()} == {40}
    assert unbounded.views == ("shared",)
    assert bounded.views == ("task", "shared")


class _Unbounded:
    """A stream without boundaries."""

    boundaries = False

    def __init__(self, stream):
        self.stream, self.name, self.shape, self.classes = stream, stream.name, stream.shape, stream.classes

    def __len__(self):
        return len(self.stream)

    def __getitem__(self, index):
        return self.stream[index]

    def test(self, index):
        return self.stream.test(index)


def test_the_view_of_the_task_uses_its_norms(stream):
    learner = MetaplasticBNN(stream, hidden=[20])
    train(learner, stream, CONFIG)
    inputs, _ = batch(stream, 50)
    arguments = {"generator": torch.Generator(), "task": 0}
    task, shared = (learner.log_probabilities(inputs, view=view, **arguments) for view in ("task", "shared"))
    assert not torch.allclose(task, shared)
    with torch.no_grad():
        for norm in learner.norms:
            norm.weight.copy_(norm.bank[0, 0])
            norm.bias.copy_(norm.bank[0, 1])
    torch.testing.assert_close(learner.log_probabilities(inputs, view="shared", **arguments), task)
    assert task.shape == (1, 50, 10)
    torch.testing.assert_close(task.exp().sum(-1), torch.ones(1, 50))


@pytest.mark.parametrize("killed", [7, 27])
@pytest.mark.parametrize(
    ("cls", "settings"),
    [(MetaplasticBNN, {"ewc": 100.0}), (MetaplasticQNN, {}), (MetaplasticReal, {"metaplasticity": [1.0, 2.0]})],
)
def test_a_killed_run_resumes_to_the_same_result(killed_after, cls, settings, killed, stream, tmp_path):
    uninterrupted, interrupted, resumed = (cls(stream, hidden=[20], **settings) for _ in range(3))
    result = train(uninterrupted, stream, CONFIG)
    with killed_after(killed) as kill:
        train(interrupted, stream, CONFIG, checkpoint=tmp_path, checkpoint_every=0.0, trainer={"callbacks": kill})
    again = train(resumed, stream, CONFIG, checkpoint=tmp_path)
    for name, value in uninterrupted.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    for view, matrix in result.accuracies.items():
        np.testing.assert_array_equal(matrix.values, again.accuracies[view].values)


def test_a_checkpoint_of_other_settings_is_refused(stream, tmp_path):
    train(MetaplasticBNN(stream, hidden=[10], metaplasticity=1.0), stream, CONFIG, checkpoint=tmp_path)
    with pytest.raises(ConfigError, match="metaplasticity"):
        train(MetaplasticBNN(stream, hidden=[10], metaplasticity=2.0), stream, CONFIG, checkpoint=tmp_path)


def test_without_norms_it_learns_from_single_samples(stream):
    learner = MetaplasticBNN(stream, hidden=[30], norm="none")
    inputs, labels = batch(stream, 1)
    before = [layer.weight.detach().clone() for layer in learner.layers]
    loss = learner.loss(learner.flat(inputs), labels)
    first = torch.where(inputs.flatten(1) @ learner.layers[0].quantised().T >= 0, 1.0, -1.0)
    logits = first @ learner.layers[1].quantised().T / 30**0.5
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, labels))
    loss.backward()
    learner.step()
    assert all(not torch.equal(layer.weight, old) for layer, old in zip(learner.layers, before, strict=True))
    with pytest.raises(
        ConfigError, match="the batch has one sample, which has no variance; use larger batches, or norm='none'"
    ):
        train(MetaplasticBNN(stream, hidden=[30]), stream, StreamConfig(tasks=1, batch_size=1))


# EWC


def test_fisher_information_is_the_mean_of_squared_gradients_of_single_samples(stream):
    """Compare with one backward pass per sample."""
    learner = MetaplasticReal(stream, hidden=[6], norm="none")
    inputs, labels = batch(stream, 12)
    rows = learner.flat(inputs)
    fisher = fisher_information(learner._forward, rows, labels, batch=5)
    expected = [torch.zeros_like(each) for each in fisher]
    for x, y in zip(rows, labels, strict=True):
        loss = learner.loss(x[None], y[None])
        gradients = torch.autograd.grad(loss, [layer.weight for layer in learner.layers])
        for total, g in zip(expected, gradients, strict=True):
            total += g.square() / 12
    for one, two in zip(fisher, expected, strict=True):
        torch.testing.assert_close(one, two)


def test_the_penalty_of_ewc_acts_on_signs(stream):
    """gradient = strength sum over tasks F (sign(w) - sign(w*)): zero where no sign has changed."""
    learner = MetaplasticBNN(stream, hidden=[10], ewc=50.0)
    train(learner, stream, StreamConfig(tasks=1, epochs=2, batch_size=20))
    layer, importance = learner.layers[0], learner.elastic.importance[0].clone()
    assert bool(importance.any())
    signs = layer.quantised()
    layer.weight.grad = torch.zeros_like(layer.weight)
    for other in learner.layers[1:]:
        other.weight.grad = torch.zeros_like(other.weight)
    learner.elastic.add_gradient([each.quantised() for each in learner.layers])
    torch.testing.assert_close(layer.weight.grad, torch.zeros_like(signs), rtol=0, atol=1e-6)
    with torch.no_grad():
        layer.weight.neg_()
    is_changed = layer.quantised() != signs
    learner.elastic.add_gradient([each.quantised() for each in learner.layers])
    expected = torch.where(is_changed, -2 * 50.0 * importance * signs, 0.0)
    torch.testing.assert_close(layer.weight.grad, expected, rtol=1e-4, atol=1e-6)


def test_ewc_without_boundaries_is_refused(stream):
    with pytest.raises(ConfigError, match=r"EWC consolidates where a task ends, but the stream .* has no boundaries"):
        MetaplasticBNN(_Unbounded(stream), hidden=[10], ewc=1.0)


# Bad input


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"metaplasticity": -1.0}, "metaplasticity is -1.0"),
        ({"metaplasticity": float("nan")}, "metaplasticity is nan"),
        ({"metaplasticity": [1.0, 2.0, 3.0]}, "3 numbers for 2 layers"),
        ({"weight_decay": -1e-3}, "weight_decay is -0.001"),
        ({"norm_rate": -1.0}, "norm_rate is -1.0"),
        ({"activation": "tanh"}, "activation is 'tanh'; expected 'relu', 'sign', or a whole number of bits"),
        ({"activation": 0}, "activation is 0"),
        ({"activation": True}, "activation is True"),
        ({"hidden": [0]}, "a value of hidden is 0"),
        ({"norm": "layer"}, "norm is 'layer'"),
        ({"ewc": -1.0}, "ewc is -1.0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
@LEARNERS
def test_settings_out_of_range(cls, settings, words, stream):
    with pytest.raises(ConfigError, match=words):
        cls(stream, **{"hidden": [10], **settings})


@pytest.mark.parametrize("cls", [MetaplasticBNN, MetaplasticReal])
@pytest.mark.parametrize("name", ["rate", "init_width"])
def test_rates_and_widths_out_of_range(cls, name, stream):
    with pytest.raises(ConfigError, match=f"{name} is 0.0"):
        cls(stream, hidden=[10], **{name: 0.0})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"relative_rate": 0.0}, "relative_rate is 0.0"),
        ({"relative_width": -1.0}, "relative_width is -1.0"),
        ({"init_at": "outer"}, "init_at is 'outer'; expected one of inner, all"),
        (
            {"levels": 8, "rate": 0.005},
            r"rate is 0.005, .* half the spacing of .* 0.1429 here. Use relative_rate=0.035",
        ),
        ({"levels": 8, "init_width": 1.0}, r"init_width is 1, .* Use relative_width=7\."),
    ],
)
def test_quantised_settings_out_of_range_or_in_the_former_unit(settings, words, stream):
    with pytest.raises(ConfigError, match=words):
        MetaplasticQNN(stream, hidden=[10], **settings)


@pytest.mark.parametrize("levels", [1, 0, 2.5, True])
def test_levels_out_of_range(levels, stream):
    with pytest.raises(ConfigError, match="levels is"):
        MetaplasticQNN(stream, hidden=[10], levels=levels)


@LEARNERS
def test_inputs_that_do_not_fit_or_are_not_finite(cls, stream):
    """A sign activation would turn NaN into a number."""
    learner = cls(stream, hidden=[10])
    inputs, labels = batch(stream)
    with pytest.raises(ConfigError, match="inputs have 16 features; expected 784"):
        learner.learn(inputs.flatten(1)[:, :16], labels, 20)
    for bad in (float("nan"), float("inf"), -float("inf")):
        inputs[3, 5] = bad
        with pytest.raises(ConfigError, match="1 of 15680 inputs are NaN or infinite"):
            learner.learn(inputs, labels, 20)
        with pytest.raises(ConfigError, match="NaN or infinite"):
            learner.log_probabilities(inputs, generator=torch.Generator(), task=0, view="shared")


# Several processes


@pytest.mark.long
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without processes")
def test_two_processes_equal_a_single_one(stream):
    """Norms over the entire batch. Real weights in float64 differ by rounding only; signs would amplify it."""
    config = StreamConfig(tasks=2, epochs=1, batch_size=20, evaluate="seen")
    single, shared = (MetaplasticReal(stream, hidden=[20]).double() for _ in range(2))
    one, two = train(single, stream, config), train(shared, stream, config, processes=2)
    for mine, other in zip(single.parameters(), shared.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(two.accuracies["task"].values, one.accuracies["task"].values, atol=0.011)


def test_real_weights_are_tested_with_running_statistics_and_signs_with_those_of_the_batch():
    stream = PermutedTasks(made_digits(train=40, test=20), tasks=2)
    assert MetaplasticReal(stream, hidden=[6]).settings()["statistics"] == "running"
    assert MetaplasticBNN(stream, hidden=[6]).settings()["statistics"] == "batch"
    inputs = stream[0].inputs
    for statistics, depends in (("running", False), ("batch", True)):
        learner = MetaplasticReal(stream, hidden=[6], statistics=statistics).eval()
        arguments = {"generator": torch.Generator(), "task": 0, "view": "task"}
        with torch.no_grad():
            alone, together = (learner.log_probabilities(inputs[:n], **arguments)[0, 0] for n in (2, 20))
        assert torch.allclose(alone, together, atol=1e-5) is not depends
