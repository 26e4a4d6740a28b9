"""The numbers by which the compiled code knows a vector field and a method, and the sizes that it supports.

An encoded field is the list (state, drive, rates, activation, skip, *hidden): the sizes of state, drive and rates, the index of
the activation, 1 with a linear path and 0 without, and the width of each hidden layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

#: Activations, in the order in which the compiled code numbers them.
ACTIVATIONS = ("tanh", "silu", "softplus", "relu")

#: Methods, in the order in which the compiled code numbers them.
METHODS = ("euler", "heun", "rk4")

#: Widest layer that the kernels were tested with.
MAX_WIDTH = 1024

#: Largest number of hidden layers that the kernels were tested with.
MAX_DEPTH = 16


def weight_count(state: int, drive: int, rates: int, hidden: Sequence[int], skip: bool) -> int:
    """Return the number of weights and biases of a field.

    Args:
        state: Number of state values.
        drive: Number of drive values.
        rates: Number of rates that the network returns.
        hidden: Width of each hidden layer.
        skip: True if there is a linear path from input to rates.

    Example:
        >>> weight_count(2, 1, 1, (16, 16), skip=True)
        357
    """
    widths = [state + drive, *hidden, rates]
    total = sum(outputs * (inputs + 1) for inputs, outputs in itertools.pairwise(widths))
    return total + rates * (widths[0] + 1) if skip else total


def is_valid(field: Sequence[int]) -> bool:
    """Return True if the numbers encode a field that the kernels support."""
    if len(field) < 6:
        return False
    state, drive, rates, activation, skip, *hidden = field
    return (
        1 <= rates <= state
        and drive >= 0
        and 0 <= activation < len(ACTIVATIONS)
        and 0 <= skip <= 1
        and min(hidden) >= 1
        and max(hidden) <= MAX_WIDTH
        and len(hidden) <= MAX_DEPTH
    )
