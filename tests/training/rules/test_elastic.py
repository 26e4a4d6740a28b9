"""EWC and SI: importance and penalty against autograd."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spinode.errors import ConfigError, FitError
from spinode.training import EWC, SI, fisher_information


@pytest.fixture
def net():
    generator = torch.Generator().manual_seed(3)
    layers = [nn.Linear(6, 5, bias=False), nn.Linear(5, 3, bias=False)]
    for layer in layers:
        layer.double()
        with torch.no_grad():
            layer.weight.normal_(generator=generator)
    return layers


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(4)
    return torch.randn(40, 6, generator=generator, dtype=torch.float64), torch.randint(3, (40,), generator=generator)


def traced(layers):
    def forward(x):
        first = layers[0](x)
        second = layers[1](first.relu())
        return second, [(x, first), (first.relu(), second)]

    return forward


def test_fisher_information_is_the_mean_square_of_single_gradients(net, data):
    inputs, labels = data
    expected = [torch.zeros_like(layer.weight) for layer in net]
    for x, y in zip(inputs, labels, strict=True):
        loss = nn.functional.cross_entropy(traced(net)(x[None])[0], y[None])
        for total, gradient in zip(expected, torch.autograd.grad(loss, [layer.weight for layer in net]), strict=True):
            total += gradient.square() / len(inputs)
    for batch in (7, 40, 500):
        fisher = fisher_information(traced(net), inputs, labels, batch=batch)
        for mine, other in zip(fisher, expected, strict=True):
            torch.testing.assert_close(mine, other)


def quadratic(parameters, importance, anchors, strength):
    return sum((strength * f * (p - a).square() / 2).sum() for p, f, a in zip(parameters, importance, anchors, strict=True))


@pytest.mark.parametrize(("kind", "decay"), [("task", 0.2), ("online", 0.3)])
def test_penalty_of_ewc_after_two_tasks(net, kind, decay):
    parameters = [layer.weight for layer in net]
    generator = torch.Generator().manual_seed(5)
    penalty = EWC(parameters, 7.0, kind=kind, decay=decay)
    fishers, anchors = [], []
    for _ in range(2):
        fishers.append([torch.rand(p.shape, generator=generator, dtype=p.dtype) for p in parameters])
        anchors.append([p.detach().clone() for p in parameters])
        penalty.end_task(fishers[-1])
        with torch.no_grad():
            for p in parameters:
                p += torch.randn(p.shape, generator=generator, dtype=p.dtype)
    if kind == "task":
        expected = sum(quadratic(parameters, f, a, 7.0) for f, a in zip(fishers, anchors, strict=True))
    else:
        expected = quadratic(parameters, [decay * a + b for a, b in zip(*fishers, strict=True)], anchors[1], 7.0)
    for p in parameters:
        p.grad = torch.ones_like(p)
    penalty.add_gradient()
    for p, gradient in zip(parameters, torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(p.grad, 1 + gradient)
    before = penalty.penalty()
    with torch.no_grad():
        moved = quadratic(parameters, penalty.importance, [torch.zeros_like(p) for p in parameters], 7.0)
        pull = sum((7.0 * b * p).sum() for b, p in zip(penalty.pull, parameters, strict=True))
    torch.testing.assert_close(before, moved - pull)


def test_streaming_ewc_anchors_the_weights_before_each_step(net):
    parameters = [layer.weight for layer in net]
    penalty = EWC(parameters, 2.0, kind="stream", decay=0.5)
    gradients = [torch.full_like(p, 2.0) for p in parameters]
    before = [p.detach().clone() for p in parameters]
    penalty.after_step(gradients, before)
    penalty.after_step(gradients, before)
    for f, b, old in zip(penalty.importance, penalty.pull, before, strict=True):
        assert torch.equal(f, torch.full_like(f, 0.5 * 4 + 4))
        torch.testing.assert_close(b, f * old)


def test_the_path_integral_of_si_is_the_decrease_of_the_loss(net, data):
    """For small steps of gradient descent, summed over all weights."""
    inputs, labels = data
    parameters = [layer.weight for layer in net]
    penalty = SI(parameters, 0.1, damping=0.7)
    start = [p.detach().clone() for p in parameters]
    losses = []
    for _ in range(200):
        loss = nn.functional.cross_entropy(traced(net)(inputs)[0], labels)
        losses.append(float(loss.detach()))
        gradients = torch.autograd.grad(loss, parameters)
        before = [p.detach().clone() for p in parameters]
        with torch.no_grad():
            for p, g in zip(parameters, gradients, strict=True):
                p -= 1e-3 * g
        penalty.after_step(gradients, before)
    last = float(nn.functional.cross_entropy(traced(net)(inputs)[0], labels).detach())
    assert float(sum(each.sum() for each in penalty.path)) == pytest.approx(losses[0] - last, rel=1e-2)
    path = [each.clone() for each in penalty.path]
    penalty.end_task()
    for f, path_integral, p, old in zip(penalty.importance, path, parameters, start, strict=True):
        torch.testing.assert_close(f, path_integral.clamp(min=0) / ((p.detach() - old).square() + 0.7))
    for p in parameters:
        p.grad = torch.zeros_like(p)
    penalty.add_gradient()
    assert all(float(p.grad.abs().max()) < 1e-12 for p in parameters)  # at the anchor


def test_the_state_is_restored(net):
    parameters = [layer.weight for layer in net]
    first, second = SI(parameters, 0.1), SI(parameters, 0.1)
    first.after_step([torch.ones_like(p) for p in parameters], [p.detach() - 1 for p in parameters])
    second.load_state_dict(first.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(first.path, second.path, strict=True))
    assert second.path[0] is not first.path[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: EWC(p, 0.0), "strength is 0.0; expected a finite number above 0"),
        (lambda p: EWC(p, 1.0, kind="some"), "kind is 'some'; expected one of task, online, stream"),
        (lambda p: EWC(p, 1.0, decay=2), "decay is 2; expected a finite number from 0 to 1"),
        (lambda p: EWC([], 1.0), "there are no parameters to penalise"),
        (lambda p: SI(p, 1.0, damping=0), "damping is 0; expected a finite number above 0"),
        (lambda p: SI(p, float("nan")), "strength is nan"),
    ],
)
def test_wrong_settings_are_reported(net, make, message):
    with pytest.raises(ConfigError, match=message):
        make([layer.weight for layer in net])


def test_zero_importance_is_reported(net):
    penalty = EWC([layer.weight for layer in net], 1.0)
    with pytest.raises(FitError, match="no weight has any importance"):
        penalty.end_task([torch.zeros_like(layer.weight) for layer in net])
