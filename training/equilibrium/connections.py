"""`DenseConnection` and `ConvConnection`: one term s_above . (W s_below + b) of the primitive function, and its derivatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from ...validation import whole_numbers


class Connection(nn.Module):
    """Base of the connections between a layer and the next one.

    A weight is either real, or a sign -1 or 1 times a `scale` that one connection (one output channel of a convolution) shares.
    `prepare` takes over the weights that a phase uses; `drive`, `feedback` and `correlate` then do not change.

    Attributes:
        weight: Real weights, or signs, shape of the kind of connection.
        bias: One for each unit (channel) above.
        scale: Magnitude of binary weights; None for real ones.
        below: Shape of a sample below.
        above: Shape of a sample above.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    scale: nn.Parameter | None
    below: tuple[int, ...]
    above: tuple[int, ...]

    def __init__(self, weight: Tensor, bias: Tensor, *, binary: bool) -> None:
        super().__init__()
        self.scale = None
        if binary:
            self.scale = nn.Parameter(self._magnitude(weight))
            weight = (weight >= 0).to(weight).mul_(2).sub_(1)
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def _magnitude(self, weight: Tensor) -> Tensor:
        return weight.abs().mean()

    def prepare(self, weight: Tensor | None = None) -> None:
        """Take over the weights for the next phases.

        Args:
            weight: What is used in place of `weight`, such as a read of devices.
        """
        raise NotImplementedError

    def drive(self, below: Tensor, out: Tensor | None = None) -> Tensor:
        """Return W s_below + b.

        Args:
            below: State of the layer below, shape (batch, *below).
            out: Where it is written, shape (batch, *above).
        """
        raise NotImplementedError

    def feedback(self, above: Tensor, base: Tensor, out: Tensor) -> Tensor:
        """Write base + W^T s_above into `out`, which may be `base`.

        Args:
            above: State of the layer above, shape (batch, *above).
            base: Tensor to which the feedback is added, shape (batch, *below).
            out: Where it is written.
        """
        raise NotImplementedError

    def correlate(self, below: Tensor, above: Tensor, out: Tensor, factor: float, keep: bool) -> None:
        """Write factor * (sum over the batch of d(s_above . W s_below)/dW) into `out`, or add it.

        Args:
            below: Shape (batch, *below).
            above: Shape (batch, *above).
            out: Shape of the weights.
            factor: Factor.
            keep: True to add to what `out` contains.
        """
        raise NotImplementedError

    def correlate_bias(self, above: Tensor) -> Tensor:
        """Return the sum over the batch of d(s_above . b)/db, shape of the bias."""
        raise NotImplementedError


class DenseConnection(Connection):
    """All units below to all units above.

    Args:
        inputs: Units below.
        outputs: Units above.
        binary: True for signs times a scale, the mean magnitude of the real weights that are drawn first.
        init: "linear": weights and biases uniform within 1 / sqrt(inputs); "xavier": weights uniform within
            0.5 sqrt(6 / (inputs + outputs)), biases zero.
        generator: Source of the weights.

    Example:
        >>> import torch
        >>> connection = DenseConnection(3, 2, binary=True, generator=torch.Generator().manual_seed(0))
        >>> connection.prepare()
        >>> sorted(set(connection.weight.flatten().tolist())), connection.drive(torch.ones(4, 3)).shape
        ([-1.0, 1.0], torch.Size([4, 2]))
    """

    def __init__(
        self, inputs: int, outputs: int, *, binary: bool = False, init: str = "linear", generator: torch.Generator
    ) -> None:
        limit = inputs**-0.5 if init == "linear" else 0.5 * math.sqrt(6 / (inputs + outputs))
        weight = torch.empty(outputs, inputs).uniform_(-limit, limit, generator=generator)
        bias = torch.zeros(outputs)
        if init == "linear":
            bias.uniform_(-limit, limit, generator=generator)
        super().__init__(weight, bias, binary=binary)
        self.below, self.above = (inputs,), (outputs,)
        self.prepare()

    def prepare(self, weight: Tensor | None = None) -> None:
        """Take over the weights; the scale multiplies products, not weights, which saves a pass over them."""
        self._used = self.weight.detach() if weight is None else weight
        self._transposed, self._bias = self._used.t(), self.bias.detach()
        self._factor = 1.0 if self.scale is None else float(self.scale.detach())

    def drive(self, below: Tensor, out: Tensor | None = None) -> Tensor:
        """Return W s_below + b, see the base."""
        flat = below if below.ndim == 2 else below.flatten(1)
        if out is None:
            return torch.addmm(self._bias, flat, self._transposed, alpha=self._factor)
        return torch.addmm(self._bias, flat, self._transposed, alpha=self._factor, out=out)

    def feedback(self, above: Tensor, base: Tensor, out: Tensor) -> Tensor:
        """Write base + W^T s_above, see the base."""
        if out.ndim == 2:
            return torch.addmm(base, above, self._used, alpha=self._factor, out=out)
        size = len(out)  # the layer below is that of a convolution
        torch.addmm(base.view(size, -1), above, self._used, alpha=self._factor, out=out.view(size, -1))
        return out

    def correlate(self, below: Tensor, above: Tensor, out: Tensor, factor: float, keep: bool) -> None:
        """Write the outer products, see the base."""
        torch.addmm(out, above.t(), below.flatten(1), beta=1.0 if keep else 0.0, alpha=factor, out=out)

    def correlate_bias(self, above: Tensor) -> Tensor:
        """Return the sum over the batch."""
        return above.sum(0)


class ConvConnection(Connection):
    """A convolution with stride 1, followed by max pooling without overlap.

    The derivative towards the layer below goes through the units that the pooling has chosen for the state below as it is, so
    that it is that of the primitive function s_above . pool(W * s_below + b).

    Args:
        below: Shape of a sample below, (channels, height, width).
        channels: Channels above.
        kernel: Side of the kernel.
        padding: Zeros around the layer below.
        pool: Side of the pooled squares; 1 for none.
        binary: True for signs times a scale for each channel above.
        generator: Source of the weights, which are uniform within 1 / sqrt(inputs of a unit), like the biases.

    Example:
        >>> import torch
        >>> connection = ConvConnection((1, 8, 8), 4, kernel=3, padding=1, pool=2, generator=torch.Generator().manual_seed(0))
        >>> connection.prepare()
        >>> connection.above, connection.drive(torch.ones(5, 1, 8, 8)).shape
        ((4, 4, 4), torch.Size([5, 4, 4, 4]))
    """

    def __init__(
        self,
        below: Sequence[int],
        channels: int,
        *,
        kernel: int = 5,
        padding: int = 0,
        pool: int = 2,
        binary: bool = False,
        generator: torch.Generator,
    ) -> None:
        shape = (channels, int(below[0]), kernel, kernel)
        limit = math.prod(shape[1:]) ** -0.5
        weight = torch.empty(shape).uniform_(-limit, limit, generator=generator)
        bias = torch.empty(channels).uniform_(-limit, limit, generator=generator)
        super().__init__(weight, bias, binary=binary)
        self.padding, self.pool = padding, pool
        self.below = (int(below[0]), int(below[1]), int(below[2]))
        self._sides = tuple(side + 2 * padding - kernel + 1 for side in self.below[1:])
        whole_numbers("the sides of a convolutional layer", [side // pool for side in self._sides], 1)
        self.above = (channels, *(side // pool for side in self._sides))
        self._used = self.weight.detach()
        self._chosen: Tensor | None = None

    def _magnitude(self, weight: Tensor) -> Tensor:
        return weight.abs().mean((1, 2, 3), keepdim=True)

    def prepare(self, weight: Tensor | None = None) -> None:
        """Take over the weights, with their scale."""
        used = self.weight.detach() if weight is None else weight
        self._used = used if self.scale is None else used * self.scale.detach()

    def drive(self, below: Tensor, out: Tensor | None = None) -> Tensor:
        """Return pool(W * s_below + b), and remember which units were chosen."""
        value = functional.conv2d(below, self._used, self.bias.detach(), padding=self.padding)
        if self.pool > 1:
            value, self._chosen = functional.max_pool2d(value, self.pool, return_indices=True)
        return value if out is None else out.copy_(value)

    def _spread(self, above: Tensor, chosen: Tensor | None) -> Tensor:
        """Return the layer before the pooling, with each value above at the unit that was chosen."""
        above = above.view(len(above), *self.above)
        if self.pool == 1:
            return above
        assert chosen is not None
        spread = above.new_zeros(*above.shape[:2], math.prod(self._sides))
        spread.scatter_(2, chosen.flatten(2), above.flatten(2))
        return spread.view(*above.shape[:2], *self._sides)

    def feedback(self, above: Tensor, base: Tensor, out: Tensor) -> Tensor:
        """Write base + the transposed convolution of the state above, through the chosen units."""
        spread = self._spread(above, self._chosen)
        return torch.add(base, functional.conv_transpose2d(spread, self._used, padding=self.padding), out=out)

    def correlate(self, below: Tensor, above: Tensor, out: Tensor, factor: float, keep: bool) -> None:
        """Write the correlations of the layer below with the chosen units; the convolution is computed again for these."""
        self.drive(below)
        spread = self._spread(above, self._chosen)
        gradient: Any = conv2d_weight(below, self.weight.shape, spread, padding=self.padding)
        (out if keep else out.zero_()).add_(gradient, alpha=factor)

    def correlate_bias(self, above: Tensor) -> Tensor:
        """Return the sum over batch and positions."""
        return above.view(len(above), *self.above).sum((0, 2, 3))
