"""`LatentLayout`: sizes of a latent model, and where each array lies in the vector of all weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ....errors import ConfigError

#: Largest number of state values and of inputs, as in the compiled kernel.
MAX_STATE, MAX_INPUTS = 64, 64


@dataclass(frozen=True)
class LatentLayout:
    """Sizes of a latent model.

    Attributes:
        modes: Number of complex modes K; the state has 2 K values, q then p.
        inputs: Number of drives and parameters.
        outputs: Number of outputs.
        drives: Number of drives; the first ones of the inputs.
        hidden: Width of the network in the potential.
        readout: Number of bent directions in the read-out.

    Raises:
        ConfigError: more modes or inputs than the kernel takes.
    """

    modes: int
    inputs: int
    outputs: int
    drives: int
    hidden: int = 0
    readout: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.modes <= MAX_STATE // 2 or self.inputs > MAX_INPUTS:
            raise ConfigError(
                f"{self.modes} modes and {self.inputs} inputs; expected 1 to {MAX_STATE // 2} modes and at most {MAX_INPUTS} "
                "inputs."
            )

    @property
    def state(self) -> int:
        """Number of state values."""
        return 2 * self.modes

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each array by name, in the order of the vector of all weights."""
        n, m, p = self.state, self.inputs, self.outputs
        return {
            "log_decay": (self.modes,),
            "frequency": (self.modes,),
            "log_scale": (self.modes,),
            "force": (m, n),
            "coupling": (m, n * (n + 1) // 2),
            "height": (self.hidden,),
            "inner": (self.hidden, n),
            "inner_drive": (self.hidden, m),
            "inner_bias": (self.hidden,),
            "read_matrix": (p, n),
            "bend": (p, self.readout),
            "look": (self.readout, n),
            "look_bias": (self.readout,),
            "feedthrough": (p, self.drives),
            "constant": (p,),
        }

    @property
    def weights(self) -> int:
        """Length of the vector of all weights."""
        return sum(_count(shape) for shape in self.shapes.values())

    def places(self) -> dict[str, slice]:
        """Return where each array lies in the vector of all weights."""
        places, at = {}, 0
        for name, shape in self.shapes.items():
            places[name] = slice(at, at + _count(shape))
            at += _count(shape)
        return places

    def split(self, theta: Tensor) -> dict[str, Tensor]:
        """Return the arrays of a vector of weights by name."""
        return {name: theta[place].reshape(self.shapes[name]) for name, place in self.places().items()}

    def join(self, arrays: Mapping[str, Tensor]) -> Tensor:
        """Return the vector of weights of arrays by name; zeros for those that are missing."""
        zero = torch.zeros(0, dtype=torch.float64)
        parts = []
        for name, shape in self.shapes.items():
            value = arrays.get(name)
            parts.append(zero.new_zeros(_count(shape)) if value is None else value.reshape(-1).to(torch.float64))
        return torch.cat(parts)


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
