"""`equilibrium_gradients`: the gradients of equilibrium propagation, from the fixed points of two phases."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import ConfigError
from ..equilibrium.dynamics import Equilibrium
from ..equilibrium.network import EquilibriumNetwork


@torch.no_grad()
def equilibrium_gradients(
    network: EquilibriumNetwork,
    first: Equilibrium,
    second: Equilibrium,
    span: float,
    *,
    target: Tensor | None = None,
    symmetric: bool = False,
) -> None:
    """Write the gradients of the loss into `.grad` of all parameters.

        dL/dW = -1 / (span B) * sum over the batch of (dPhi/dW at the first fixed point - dPhi/dW at the second)

    For span -> 0 it is the gradient of L = (1 / 2B) sum |y - s|^2 at the free fixed point by backpropagation through time. The
    second phase is the free one (span = beta), or the one with the opposite strength (span = 2 beta), whose error is of second
    order in beta. A connection to the constant input takes one product, any other one two. For binary weights W = alpha sign
    the gradient of `weight` is dL/dW, without alpha, and that of the scale alpha is the sum of sign * dL/dW.

    Args:
        network: The network; `prepare` must have seen its weights.
        first: End of the nudged phase.
        second: End of the free phase, or of the opposite nudged one.
        span: Difference of the strengths of the two phases, of either sign.
        target: Target of a softmax read-out, which takes the gradient of its own cross entropy at the nudged states.
        symmetric: The second phase is a nudged one too, from which such a read-out also learns.

    Raises:
        ConfigError: span is 0.

    Example:
        >>> from spinode.training.equilibrium.connections import DenseConnection
        >>> from spinode.training.equilibrium.dynamics import Dynamics, Nudge
        >>> generator = torch.Generator().manual_seed(0)
        >>> network = EquilibriumNetwork([DenseConnection(2, 1, generator=generator)], Dynamics())
        >>> network.prepare()
        >>> x, y = torch.full((4, 2), 0.1), torch.ones(4, 1)
        >>> free = network.free(x, 50)
        >>> equilibrium_gradients(network, network.nudged(Nudge(y, 0.1, free), 50), free, 0.1)
        >>> bool(network.connections[0].weight.grad.max() < 0)  # a larger weight brings the output closer to its target
        True

    Source: Scellier and Bengio, Front. Comput. Neurosci. 11, 24 (2017); Laborieux et al., Front. Neurosci. 15, 633674 (2021).
    """
    if span == 0:
        raise ConfigError("the two phases have the same strength, span=0; expected a nudged phase with beta other than 0.")
    batch = len(first.inputs)
    factor = -1 / (span * batch)
    below_first, below_second = first.layers, second.layers
    for index, connection in enumerate(network.relaxing):
        gradient = _buffer(connection.weight)
        above = (below_first[index + 1], below_second[index + 1])
        difference = above[0] - above[1]
        if index == 0:  # the same input below
            connection.correlate(first.inputs, difference, gradient, factor, False)
        else:
            connection.correlate(below_first[index], above[0], gradient, factor, False)
            connection.correlate(below_second[index], above[1], gradient, -factor, True)
        connection.bias.grad = connection.correlate_bias(difference).mul_(factor)
    if network.readout == "softmax":
        _read_out(network, first, second, symmetric, target)
    for connection in network.connections:
        if connection.scale is not None:
            channels = connection.scale.numel()
            signs, gradient = (each.view(channels, 1, -1) for each in (connection.weight, connection.weight.grad))
            connection.scale.grad = torch.bmm(signs, gradient.transpose(1, 2)).view(connection.scale.shape)


def _read_out(
    network: EquilibriumNetwork, first: Equilibrium, second: Equilibrium, symmetric: bool, target: Tensor | None
) -> None:
    """Write the gradients of a softmax read-out: the mean over the nudged phases."""
    if target is None:
        raise ConfigError("a softmax read-out needs the target of the nudged phase; pass target=.")
    top = network.connections[-1]
    gradient = _buffer(top.weight)
    phases = [first, second] if symmetric else [first]
    top.bias.grad = torch.zeros_like(top.bias)
    for index, phase in enumerate(phases):
        error = phase.response - target
        top.correlate(phase.outputs[-1], error, gradient, 1 / (len(error) * len(phases)), index > 0)
        top.bias.grad.add_(error.sum(0), alpha=1 / (len(error) * len(phases)))


def _buffer(parameter: torch.nn.Parameter) -> Tensor:
    """Return the gradient of a parameter to write into, allocated once."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
