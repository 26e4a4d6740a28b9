"""Vector fields: the right-hand side f of dx/dt = f(x, u).

A field is any `torch.nn.Module` called as `field(state, drive)`. Arguments and result are dimensionless: states and drives in
standard deviations, time in samples. Their shapes are (..., state), (..., drive) and (..., rates).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..validation import one_of, whole_number, whole_numbers
from .scales import Scales

#: Activations by name, in the order in which the kernels number them (`spinode.kernels.field_encoding`).
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "silu": nn.functional.silu,
    "softplus": nn.functional.softplus,
    "relu": torch.relu,
}


class MLPField(nn.Module):
    """Multilayer perceptron with a parallel linear path.

        f(z) = W_out a(W_n ... a(W_1 z + b_1) ... + b_n) + b_out + S z + s,   z = (x, u)

    The linear path S represents the resonance, so the hidden layers learn only the nonlinearity. The compiled kernels
    (`spinode.kernels`) integrate this field. Its weights are in double precision; `.float()` makes them single.

    Args:
        state: Number of state values.
        drive: Number of drive values.
        rates: Number of rates returned.
        hidden: Width of each hidden layer.
        activation: One of "tanh", "silu", "softplus", "relu".
        skip: Include the linear path S z + s.
        members: Number of devices with separate weights in one module: every weight then has a first dimension of this
            size, and states and drives have shapes (members, ..., values). If None, one set of weights.
        generator: Source of the initial weights.

    Raises:
        ConfigError: no hidden layer, a width or a number of members below 1, or an unknown activation.

    Example:
        >>> field = MLPField(2, 1, 2, hidden=(8,), generator=torch.Generator().manual_seed(0)).float()
        >>> field(torch.zeros(5, 2), torch.ones(5, 1)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        state: int,
        drive: int,
        rates: int,
        *,
        hidden: Sequence[int] = (16, 16),
        activation: str = "tanh",
        skip: bool = True,
        members: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.activation: str = one_of("activation", activation, ACTIVATIONS)
        self.members = None if members is None else whole_number("members", members, 1)
        self._widths = whole_numbers("hidden", hidden)
        widths = [state + drive, *self._widths]
        self.layers = nn.ModuleList([_linear(a, b, 1.0, 0.5, generator, members) for a, b in itertools.pairwise(widths)])
        self.out = _linear(widths[-1], rates, 0.1, 0.0, generator, members)
        self.skip = _linear(widths[0], rates, 0.1, 0.0, generator, members) if skip else None

    @property
    def widths(self) -> list[int]:
        """Width of each hidden layer."""
        return list(self._widths)

    def forward(self, state: Tensor, drive: Tensor) -> Tensor:
        """Return the rates dx/dt, shape (..., rates)."""
        inputs = torch.cat([state, drive], -1)
        act = ACTIVATIONS[self.activation]
        hidden = inputs
        for layer in self.layers:
            hidden = act(layer(hidden))
        rates: Tensor = self.out(hidden)
        return rates if self.skip is None else rates + self.skip(inputs)


class MemberLinear(nn.Module):
    """One linear layer per member: y_m = W_m x_m + b_m, x of shape (members, ..., inputs).

    Args:
        weight: Shape (members, outputs, inputs).
        bias: Shape (members, outputs).
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs, shape (members, ..., outputs)."""
        flat = inputs.reshape(len(inputs), -1, inputs.shape[-1])
        outputs = torch.baddbmm(self.bias[:, None], flat, self.weight.transpose(1, 2))
        return outputs.reshape(*inputs.shape[:-1], outputs.shape[-1])


def _linear(
    inputs: int, outputs: int, gain: float, bias: float, generator: torch.Generator | None, members: int | None
) -> nn.Linear | MemberLinear:
    shape = (members or 1, outputs)
    weights = torch.randn(*shape, inputs, generator=generator, dtype=torch.float64) * gain / inputs**0.5
    biases = torch.randn(shape, generator=generator, dtype=torch.float64) * bias
    if members is not None:
        return MemberLinear(weights, biases)
    # The default weights, which are replaced, must not be drawn from the global generator. (`skip_init` would not draw, but its
    # first call takes a second.)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        layer = nn.Linear(inputs, outputs, dtype=torch.float64)
        layer.weight.copy_(weights[0])
        layer.bias.copy_(biases[0])
    return layer


class ChainField(nn.Module):
    """A chain of derivatives: every block is the rate of the previous one, and only the last rate is learned.

        db_j/dt = r_j b_{j+1}  (j < order - 1),     db_{order-1}/dt = top(x, u)

    Args:
        top: Field that returns the rate of the last block, shape (..., outputs).
        ratios: Scale of block j + 1 over scale of block j, shape (order - 1, outputs).

    Example:
        >>> chain = ChainField(MLPField(2, 1, 1).float(), torch.tensor([[0.5]]))
        >>> chain(torch.tensor([[0.0, 4.0]]), torch.zeros(1, 1))[0, 0]
        tensor(2., grad_fn=<SelectBackward0>)
    """

    ratios: Tensor

    def __init__(self, top: nn.Module, ratios: Tensor) -> None:
        super().__init__()
        self.top = top
        self.register_buffer("ratios", ratios.reshape(-1).clone())

    def forward(self, state: Tensor, drive: Tensor) -> Tensor:
        """Return the rates dx/dt, shape (..., state)."""
        above = state[..., state.shape[-1] - self.ratios.numel() :]
        return torch.cat([above * self.ratios, self.top(state, drive)], -1)


class GreyBoxField(nn.Module):
    """A known part plus a learned part.

        f(x, u) = g(x, u) + learned(x, u)

    Args:
        known: Physics g, called as `known(state, drive)`: a module, whose parameters are trained as well, or a function. It
            uses the dimensionless units of every field; the `Scales` of a fitted surrogate convert.
        learned: Field for what the physics does not describe, such as an `MLPField`.

    Example:
        >>> field = GreyBoxField(lambda state, drive: -0.1 * state, MLPField(1, 1, 1))
        >>> field(torch.zeros(3, 1).double(), torch.zeros(3, 1).double()).shape
        torch.Size([3, 1])
    """

    def __init__(self, known: Callable[[Tensor, Tensor], Tensor], learned: nn.Module) -> None:
        super().__init__()
        self.known = known
        self.learned = learned

    def forward(self, state: Tensor, drive: Tensor) -> Tensor:
        """Return the rates, in the shape of the learned part's result."""
        rates: Tensor = self.known(state, drive) + self.learned(state, drive)
        return rates


class SIRate(nn.Module):
    """Known physics in SI units, as the known part of a `GreyBoxField` over the derivative embedding.

        d^k y / dt^k = rate(y, dy/dt, ..., d^{k-1} y/dt^{k-1}; u)

    `fit` and `load` set the scales; until then the module cannot be called.

    Args:
        rate: Called as `rate(blocks, drive)`. `blocks` are the outputs without the feedthrough, and their derivatives, shape
            (..., order, outputs), block j in SI units per second^j; `drive` are drives and parameters in SI units, shape
            (..., inputs). Returns the k-th derivative, shape (..., outputs). The parameters of a module are trained as well.
    """

    def __init__(self, rate: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.rate = rate
        self._scales: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] | None = None

    def bind(self, scales: Scales, interval: float) -> None:
        """Set the scales of a fit and its sample interval [s]."""
        order = len(scales.state_scale)
        per_second = scales.state_scale / interval ** torch.arange(order, dtype=torch.float64)[:, None]
        mean = torch.zeros_like(per_second)
        mean[0] = scales.output_mean
        self._scales = (mean, per_second, scales.drive_mean, scales.drive_scale, interval / per_second[-1])

    def forward(self, state: Tensor, drive: Tensor) -> Tensor:
        """Return the rate of the last block in standard deviations per sample, shape (..., outputs)."""
        if self._scales is None:
            raise ConfigError(
                "the physics has no scales yet; pass the field to fit(..., vector_field=...) or load(..., field=...)."
            )
        mean, block, drive_mean, drive_scale, last = self._scales
        blocks = state.unflatten(-1, block.shape) * block + mean
        return self.rate(blocks, drive * drive_scale + drive_mean) * last


def bind_physics(field: nn.Module, scales: Scales, interval: float) -> None:
    """Set the scales of every `SIRate` in a field; `interval` is the sample interval [s]."""
    for module in field.modules():
        if isinstance(module, SIRate):
            module.bind(scales, interval)
