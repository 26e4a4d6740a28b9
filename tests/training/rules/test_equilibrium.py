"""The gradient of equilibrium propagation equals that of backpropagation through time at small beta."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from spinode.errors import ConfigError
from spinode.training.equilibrium.connections import ConvConnection, DenseConnection
from spinode.training.equilibrium.dynamics import Dynamics, Nudge
from spinode.training.equilibrium.network import EquilibriumNetwork
from spinode.training.rules.equilibrium import equilibrium_gradients

#: Steps of phases and of autograd. Halved weights make a step contract by a factor of about 0.7.
STEPS = 100


def build(kind, binary=False):
    source = torch.Generator().manual_seed(0)
    if kind == "conv":
        connections = [
            ConvConnection((1, 8, 8), 3, kernel=3, padding=1, binary=binary, generator=source),
            ConvConnection((3, 4, 4), 4, kernel=3, padding=1, binary=binary, generator=source),
            DenseConnection(16, 3, binary=binary, generator=source),
        ]
    else:
        connections = [DenseConnection(*pair, binary=binary, generator=source) for pair in pairwise([6, 8, 5, 3])]
    network = EquilibriumNetwork(connections, Dynamics("continuous", 0.5)).double()
    with torch.no_grad():
        for connection in connections:
            connection.bias.add_(0.3)  # most units are then within their range
            (connection.scale if binary else connection.weight).mul_(0.5)
    network.prepare()
    shape = (4, 1, 8, 8) if kind == "conv" else (4, 6)
    return network, *(torch.rand(*each, generator=source, dtype=torch.float64) for each in (shape, (4, 3)))


def backpropagated(network, x, y):
    """Return the gradients of the squared error after many steps of the same dynamics, by autograd."""
    parameters = [parameter.detach().clone().requires_grad_() for parameter in network.parameters()]
    named = dict(zip((name for name, _ in network.named_parameters()), parameters, strict=True))

    def phi(states):
        total = 0
        for index, (below, above) in enumerate(pairwise([x, *states])):
            weight, bias = named[f"connections.{index}.weight"], named[f"connections.{index}.bias"]
            weight = weight * named.get(f"connections.{index}.scale", 1.0)
            if weight.ndim == 4:
                drive = functional.max_pool2d(functional.conv2d(below, weight, bias, padding=1), 2)
            else:
                drive = functional.linear(below.flatten(1), weight, bias)
            total = total + (drive * above).sum()
        return total

    states = [x.new_zeros(4, *each.above).requires_grad_() for each in network.connections]
    for _ in range(STEPS):
        drives = torch.autograd.grad(phi(states), states, create_graph=True)
        states = [(s + 0.5 * (drive - s)).clamp(0, 1) for s, drive in zip(states, drives, strict=True)]
    loss = (states[-1] - y).square().sum() / (2 * len(y))
    return dict(zip(named, torch.autograd.grad(loss, parameters), strict=True))


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("binary", [False, True])
def test_symmetric_gradient_is_that_of_backpropagation_through_time(kind, binary):
    network, x, y = build(kind, binary)
    expected = backpropagated(network, x, y)
    free = network.free(x, STEPS)
    first, second = (network.nudged(Nudge(y, beta, free), STEPS) for beta in (1e-4, -1e-4))
    equilibrium_gradients(network, first, second, 2e-4, symmetric=True)
    for name, parameter in network.named_parameters():
        reference = expected[name]
        # A binary weight is scale * sign: the gradient towards the sign contains the scale, that of the rule does not.
        if binary and name.endswith("weight"):
            scale = dict(network.named_parameters())[name.replace("weight", "scale")].detach()
            reference = reference / scale
        torch.testing.assert_close(parameter.grad, reference, rtol=1e-3, atol=1e-6)


def test_error_of_one_phase_is_of_first_order_and_of_two_of_second_order():
    network, x, y = build("conv")
    expected = backpropagated(network, x, y)["connections.2.weight"]
    free = network.free(x, STEPS)

    def error(beta, symmetric):
        first = network.nudged(Nudge(y, beta, free), STEPS)
        second = network.nudged(Nudge(y, -beta, free), STEPS) if symmetric else free
        equilibrium_gradients(network, first, second, 2 * beta if symmetric else beta)
        return float((network.connections[2].weight.grad - expected).norm() / expected.norm())

    one, two = (error(beta, False) / error(beta / 2, False) for beta in (1e-2, 2e-3))
    assert 1.7 < one < 2.3
    assert 1.7 < two < 2.3
    assert 3.5 < error(1e-2, True) / error(5e-3, True) < 4.5


def test_softmax_read_out_takes_the_gradient_of_the_cross_entropy():
    source = torch.Generator().manual_seed(0)
    connections = [DenseConnection(*pair, generator=source) for pair in pairwise([6, 8, 3])]
    network = EquilibriumNetwork(connections, Dynamics("continuous", 0.5), readout="softmax").double()
    network.prepare()
    x = torch.rand(4, 6, generator=source, dtype=torch.float64)
    y = functional.one_hot(torch.tensor([0, 1, 2, 0]), 3).double()
    free = network.free(x, 100)
    first, second = (network.nudged(Nudge(y, beta, free), 100) for beta in (1e-5, -1e-5))
    equilibrium_gradients(network, first, second, 2e-5, target=y, symmetric=True)
    found = [parameter.grad.clone() for parameter in network.parameters()]
    hidden = functional.linear(x, connections[0].weight, connections[0].bias).clamp(0, 1)
    loss = functional.cross_entropy(functional.linear(hidden, connections[1].weight, connections[1].bias), y)
    for gradient, reference in zip(found, torch.autograd.grad(loss, list(network.parameters())), strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-3, atol=1e-7)
    with pytest.raises(ConfigError, match="needs the target of the nudged phase"):
        equilibrium_gradients(network, first, free, 1e-5)


def test_equal_phases_are_refused():
    network, x, _ = build("dense")
    free = network.free(x, 2)
    with pytest.raises(ConfigError, match="span=0; expected a nudged phase with beta other than 0"):
        equilibrium_gradients(network, free, free, 0.0)
