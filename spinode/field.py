"""Vector fields: the right-hand side f of dx/dt = f(x, u).

A field is any `torch.nn.Module` called as `field(state, drive)`; both arguments and the result are dimensionless (states and
drives in their deviations, time in samples), with shapes (..., state), (..., drive) and (..., rates).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .errors import ConfigError

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "silu": nn.functional.silu,
    "softplus": nn.functional.softplus,
    "relu": torch.relu,
}


class MLPField(nn.Module):
    """Multilayer perceptron with a linear path beside it.

        f(z) = W_out a(W_n ... a(W_1 z + b_1) ... + b_n) + b_out + S z + s,   z = (x, u)

    The linear path S carries the resonance, which leaves the hidden layers only the nonlinearity to learn.

    Args:
        state: Number of state values.
        drive: Number of drive values.
        rates: Number of rates returned.
        hidden: Width of each hidden layer.
        activation: One of "tanh", "silu", "softplus", "relu".
        generator: Source of the initial weights.

    Raises:
        ConfigError: an empty or non-positive width, or an unknown activation.
    """

    def __init__(
        self,
        state: int,
        drive: int,
        rates: int,
        *,
        hidden: Sequence[int] = (16, 16),
        activation: str = "tanh",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ConfigError(f"activation {activation!r} is unknown; expected one of {', '.join(ACTIVATIONS)}.")
        if not hidden or min(hidden) < 1:
            raise ConfigError(f"hidden widths are {tuple(hidden)}; expected at least one positive width, e.g. (16, 16).")
        self.activation = activation
        widths = [state + drive, *hidden]
        self.layers = nn.ModuleList([_linear(a, b, 1.0, 0.5, generator) for a, b in itertools.pairwise(widths)])
        self.out = _linear(widths[-1], rates, 0.1, 0.0, generator)
        self.skip = _linear(widths[0], rates, 0.1, 0.0, generator)

    def forward(self, state: Tensor, drive: Tensor) -> Tensor:
        """Rates dx/dt, shape (..., rates)."""
        inputs = torch.cat([state, drive], -1)
        act = ACTIVATIONS[self.activation]
        hidden = inputs
        for layer in self.layers:
            hidden = act(layer(hidden))
        rates: Tensor = self.out(hidden) + self.skip(inputs)
        return rates


def _linear(inputs: int, outputs: int, gain: float, bias: float, generator: torch.Generator | None) -> nn.Linear:
    # Without its own first weights, which would be drawn from the global generator.
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(outputs, inputs, generator=generator, dtype=torch.float64) * gain / inputs**0.5)
        layer.bias.copy_(torch.randn(outputs, generator=generator, dtype=torch.float64) * bias)
    return layer


class ChainField(nn.Module):
    """A chain of derivatives: every block is the rate of the one before, only the last rate is learned.

        db_j/dt = r_j b_{j+1}  (j < order - 1),     db_{order-1}/dt = top(x, u)

    Args:
        top: Field that gives the rate of the last block, shape (..., outputs).
        ratios: Scale of block j + 1 over scale of block j, shape (order - 1, outputs).
    """

    ratios: Tensor

    def __init__(self, top: nn.Module, ratios: Tensor) -> None:
        super().__init__()
        self.top = top
        self.register_buffer("ratios", ratios.reshape(-1).clone())

    def forward(self, state: Tensor, drive: Tensor) -> Tensor:
        """Rates dx/dt, shape (..., state)."""
        above = state[..., state.shape[-1] - self.ratios.numel() :]
        return torch.cat([above * self.ratios, self.top(state, drive)], -1)


class GreyBoxField(nn.Module):
    """A known part plus a learned part.

        f(x, u) = g(x, u) + learned(x, u)

    Args:
        known: Physics g, called as `known(state, drive)`; a module whose parameters train along, or a plain function. It
            works in the dimensionless units of every field; `Scales` of a fitted surrogate convert.
        learned: Field for what the physics leaves out, such as an `MLPField`.
    """

    def __init__(self, known: Callable[[Tensor, Tensor], Tensor], learned: nn.Module) -> None:
        super().__init__()
        self.known = known
        self.learned = learned

    def forward(self, state: Tensor, drive: Tensor) -> Tensor:
        """Rates, shape of the learned part."""
        rates: Tensor = self.known(state, drive) + self.learned(state, drive)
        return rates
