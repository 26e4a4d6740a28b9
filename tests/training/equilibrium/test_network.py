"""Fixed points of layered networks: their equation, phases, convolutions with pooling, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from spinode.errors import ConfigError
from spinode.training.equilibrium.connections import ConvConnection, DenseConnection
from spinode.training.equilibrium.dynamics import Dynamics, Nudge
from spinode.training.equilibrium.network import EquilibriumNetwork


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def dense(sizes, dynamics, seed=0, **settings):
    source = generator(seed)
    connections = [DenseConnection(a, b, generator=source, **settings) for a, b in pairwise(sizes)]
    network = EquilibriumNetwork(connections, dynamics).double()
    network.prepare()
    return network


def inputs(*shape, seed=1):
    return torch.rand(*shape, generator=generator(seed), dtype=torch.float64)


def test_free_phase_ends_where_each_state_is_its_clipped_drive():
    network = dense([6, 8, 5, 3], Dynamics("continuous", 0.5))
    x = inputs(4, 6)
    free = network.free(x, 300)
    (w1, b1), (w2, b2), (w3, b3) = ((each.weight, each.bias) for each in network.connections)
    s1, s2, s3 = free.states
    expected = [x @ w1.T + b1 + s2 @ w2, s1 @ w2.T + b2 + s3 @ w3, s2 @ w3.T + b3]
    for state, drive in zip(free.states, expected, strict=True):
        torch.testing.assert_close(state, drive.detach().clamp(0, 1), atol=1e-10, rtol=0)
    assert free.residual < 1e-9


def test_prototypical_and_continuous_dynamics_have_the_same_fixed_point():
    x = inputs(4, 6)
    first, second = (dense([6, 8, 3], Dynamics(kind)).free(x, 400) for kind in ("prototypical", "continuous"))
    torch.testing.assert_close(first.response, second.response, atol=1e-9, rtol=0)


def test_nudged_phase_starts_from_the_free_states_and_leaves_them():
    network = dense([6, 8, 3], Dynamics())
    free = network.free(inputs(4, 6), 100)
    before = [state.clone() for state in free.states]
    target = torch.ones(4, 3, dtype=torch.float64)
    pulled, pushed = (network.nudged(Nudge(target, beta, free), 100) for beta in (0.2, -0.2))
    assert all(torch.equal(state, old) for state, old in zip(free.states, before, strict=True))
    # To first order both phases move the output by the same distance, towards the target and away from it.
    assert bool((pulled.response >= free.response).all())
    assert bool((pushed.response <= free.response).all())


def test_prototypical_nudge_acts_on_the_clipped_drive():
    network = dense([2, 1], Dynamics())
    free = network.free(-5 * torch.ones(1, 2, dtype=torch.float64) * network.connections[0].weight.sign(), 5)
    assert free.response.item() == 0
    nudged = network.nudged(Nudge(torch.ones(1, 1, dtype=torch.float64), 0.5, free), 1)
    assert nudged.response.item() == pytest.approx(0.5)


def test_convolution_is_the_derivative_of_its_primitive_function():
    connection = ConvConnection((2, 6, 6), 3, kernel=3, padding=1, pool=2, generator=generator()).double()
    connection.prepare()
    below, above = inputs(4, 2, 6, 6).requires_grad_(), inputs(4, *connection.above, seed=2)
    pooled = functional.max_pool2d(functional.conv2d(below, connection.weight, connection.bias, padding=1), 2)
    phi = (pooled * above).sum()
    towards_below, towards_weight, towards_bias = torch.autograd.grad(phi, [below, connection.weight, connection.bias])
    with torch.no_grad():
        torch.testing.assert_close(connection.drive(below), pooled)
        feedback = connection.feedback(above, torch.zeros_like(below), torch.empty_like(below))
        gradient = torch.full_like(connection.weight, 3.0)
        connection.correlate(below, above, gradient, 1.0, False)
        torch.testing.assert_close(feedback, towards_below)
        torch.testing.assert_close(gradient, towards_weight)
        torch.testing.assert_close(connection.correlate_bias(above), towards_bias)
        connection.correlate(below, above, gradient, -0.5, True)
        torch.testing.assert_close(gradient, 0.5 * towards_weight)


def test_binary_connections_have_signs_and_the_mean_magnitude():
    real, binary = (DenseConnection(50, 20, binary=each, generator=generator()) for each in (False, True))
    assert torch.equal(binary.weight, torch.where(real.weight >= 0, 1.0, -1.0))
    assert binary.scale.item() == pytest.approx(real.weight.abs().mean().item())
    binary.prepare()
    x = torch.rand(3, 50, generator=generator(1))
    torch.testing.assert_close(binary.drive(x), x @ (binary.scale * binary.weight).T + binary.bias)
    conv = ConvConnection((2, 6, 6), 3, kernel=3, binary=True, generator=generator())
    assert conv.scale.shape == (3, 1, 1, 1)  # one for each channel


def test_binary_states_are_seen_by_other_layers():
    network = dense([6, 8, 3], Dynamics("binary"), binary=True)
    x = inputs(4, 6)
    free = network.free(x, 3)
    weights = [each.scale.detach() * each.weight.detach() for each in network.connections]
    biases = [each.bias.detach() for each in network.connections]
    states = [torch.ones(4, 8, dtype=torch.float64), torch.ones(4, 3, dtype=torch.float64)]
    for _ in range(3):
        h1, h2 = ((state >= 0.5).double() for state in states)
        drives = [x @ weights[0].T + biases[0] + h2 @ weights[1], h1 @ weights[1].T + biases[1]]
        states = [(0.5 * state + 0.5 * drive).clamp(0, 1) for state, drive in zip(states, drives, strict=True)]
    for state, expected in zip(free.states, states, strict=True):
        torch.testing.assert_close(state, expected)
    assert set(free.outputs[0].unique().tolist()) <= {0.0, 1.0}


def test_masked_units_stay_silent_in_both_phases():
    network = dense([6, 8, 3], Dynamics("continuous", 0.2))
    mask = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64).expand(4, 3)
    free = network.free(inputs(4, 6), 20, masks=[None, mask])
    nudged = network.nudged(Nudge(mask, 0.5, free), 5, masks=[None, mask])
    assert not free.response[:, 1].any()
    assert not nudged.response[:, 1].any()


def test_what_does_not_fit_is_refused():
    source = generator()
    first, second = DenseConnection(4, 3, generator=source), DenseConnection(2, 1, generator=source)
    with pytest.raises(ConfigError, match=r"a layer has shape \(3,\), and the connection above it expects \(2,\)"):
        EquilibriumNetwork([first, second], Dynamics())
    with pytest.raises(ConfigError, match="a softmax read-out needs a layer below it"):
        EquilibriumNetwork([first], Dynamics(), readout="softmax")
    with pytest.raises(ConfigError, match=r"dt is 0\.5, but prototypical dynamics is discrete"):
        Dynamics("prototypical", 0.5)
    with pytest.raises(ConfigError, match="sides of a convolutional layer"):
        ConvConnection((1, 4, 4), 2, kernel=5, pool=2, generator=source)
