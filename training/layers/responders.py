"""Networks that respond to a batch, wait for a target, and then compute gradients: by backpropagation or by a nudge."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..equilibrium.connections import DenseConnection
from ..equilibrium.dynamics import Dynamics, Equilibrium, Nudge
from ..equilibrium.network import EquilibriumNetwork
from ..rules.equilibrium import equilibrium_gradients


class Responder(nn.Module):
    """Base of networks whose target is known only after their response.

    Masks are 0 for silent units of a sample and 1 for the others: of the input, of each hidden layer and of the output; None
    for a layer without.

    Attributes:
        layers: Each with `weight` and `bias`, from the input to the output.
        softmax: True if the response is a softmax of logits, whose loss is the cross entropy.
        residual: How far the last response was from its fixed point; 0 without a dynamics.
    """

    layers: Any  # nn.ModuleList, whose element type is unknown to type checkers
    softmax: bool
    residual = 0.0

    def respond(self, inputs: Tensor, masks: Sequence[Tensor | None], weights: Sequence[Tensor] | None) -> Tensor:
        """Return the masked outputs by which winners are chosen, without gradient, in learning.

        Args:
            inputs: Shape (batch, features).
            masks: Masks of all layers.
            weights: What is used in place of the weights, such as reads of devices.
        """
        raise NotImplementedError

    def descend(self, target: Tensor, sign: float = 1.0) -> Tensor:
        """Write the gradients of the loss of the last response into `.grad`, and return the loss.

        Args:
            target: Shape of the outputs.
            sign: Sign of the nudge, for the rules that have one.
        """
        raise NotImplementedError

    def outputs(self, inputs: Tensor, weights: Sequence[Tensor] | None = None) -> Tensor:
        """Return outputs without masks, in tests; logits with a softmax."""
        raise NotImplementedError


class FeedForward(Responder):
    """Linear layers with ReLU between them and a clipped output, trained by backpropagation.

    The loss is the mean of (o - t)^2 over batch and outputs, or the cross entropy of a softmax. Masks of input and hidden
    layers are divided by the share of active units, that of the output is not.

    Args:
        sizes: Units of all layers.
        dropout: Share of silent units of all layers but the output.
        softmax: True for logits and the cross entropy.
        generator: Source of the weights: uniform within 0.5 sqrt(6 / (inputs + outputs)), biases zero.

    Source: Liu et al., arXiv:2403.12116 (2024).
    """

    def __init__(
        self, sizes: Sequence[int], *, dropout: Sequence[float], softmax: bool = False, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.softmax = softmax
        self.layers = nn.ModuleList(DenseConnection(*pair, init="xavier", generator=generator) for pair in pairwise(sizes))
        self._gains = [1 / (1 - share) for share in dropout]
        self._response: tuple[Tensor, Tensor | None] | None = None

    def _forward(self, x: Tensor, masks: Sequence[Tensor | None] | None, weights: Sequence[Tensor] | None) -> Tensor:
        for index, layer in enumerate(self.layers):
            mask = None if masks is None else masks[index]
            if mask is not None:
                x = x * (mask * self._gains[index])
            weight = layer.weight
            if weights is not None:
                weight = weight + (weights[index] - weight).detach()
            x = functional.linear(x, weight, layer.bias)
            if index + 1 < len(self.layers):
                x = x.relu()
        return x if self.softmax else x.clamp(0.0, 1.0)

    def respond(self, inputs: Tensor, masks: Sequence[Tensor | None], weights: Sequence[Tensor] | None) -> Tensor:
        """Return the outputs, and keep their graph for `descend`."""
        with torch.enable_grad():
            response = self._forward(inputs, masks, weights)
            if masks[-1] is not None:
                response = response * masks[-1]
        self._response = (response, masks[-1])
        return response.detach()

    def descend(self, target: Tensor, sign: float = 1.0) -> Tensor:
        """Backpropagate."""
        assert self._response is not None
        response, self._response = self._response[0], None
        with torch.enable_grad():
            loss = functional.cross_entropy(response, target) if self.softmax else functional.mse_loss(response, target)
        for parameter in self.parameters():
            parameter.grad = None
        loss.backward()
        return loss.detach()

    def outputs(self, inputs: Tensor, weights: Sequence[Tensor] | None = None) -> Tensor:
        """Return the outputs."""
        with torch.no_grad():
            return self._forward(inputs, None, weights)


class Relaxing(Responder):
    """Layers that relax to a fixed point, trained by equilibrium propagation.

    Masked units stay silent through both phases; nothing is divided by the share of active units.

    Args:
        sizes: Units of all layers.
        softmax: True for a softmax read-out.
        dt: Step of the continuous dynamics.
        steps: Steps of the free and of the nudged phase.
        beta: Strength of the nudge.
        generator: Source of the weights, as for `FeedForward`.

    Source: Liu et al., arXiv:2403.12116 (2024).
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        softmax: bool = False,
        dt: float = 0.2,
        steps: tuple[int, int] = (40, 10),
        beta: float = 0.2,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.softmax, self.steps, self.beta = softmax, steps, beta
        connections = [DenseConnection(*pair, init="xavier", generator=generator) for pair in pairwise(sizes)]
        self.network = EquilibriumNetwork(connections, Dynamics("continuous", dt), readout="softmax" if softmax else "state")
        self.layers = self.network.connections
        self._free: Equilibrium | None = None
        self._masks: Sequence[Tensor | None] = ()

    @torch.no_grad()
    def respond(self, inputs: Tensor, masks: Sequence[Tensor | None], weights: Sequence[Tensor] | None) -> Tensor:
        """Return the outputs of the free phase."""
        if masks[0] is not None:
            inputs = inputs * masks[0]
        self.network.prepare(weights)
        self._masks = masks[1:]
        self._free = self.network.free(inputs, self.steps[0], masks=self._masks)
        self.residual = self._free.residual
        return self._free.states[-1] if self._free.logits is None else self._free.logits

    @torch.no_grad()
    def descend(self, target: Tensor, sign: float = 1.0) -> Tensor:
        """Nudge, and compare the two fixed points."""
        assert self._free is not None
        free, self._free = self._free, None
        error = free.response - target
        loss = error.square_().sum().div_(2 * len(target))
        beta = self.beta * sign
        nudged = self.network.nudged(Nudge(target, beta, free), self.steps[1], masks=self._masks)
        equilibrium_gradients(self.network, nudged, free, beta, target=target if self.softmax else None)
        return loss

    @torch.no_grad()
    def outputs(self, inputs: Tensor, weights: Sequence[Tensor] | None = None) -> Tensor:
        """Return the outputs of the free phase."""
        self.network.prepare(weights)
        free = self.network.free(inputs, self.steps[0])
        return free.states[-1] if free.logits is None else free.logits
