"""Recursive least squares: a readout that learns sample by sample, as FORCE does in a closed loop."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import ConfigError
from ...tensors import all_finite, real_tensor
from ...validation import number, whole_number
from .readout import Readout


class RecursiveReadout:
    """A linear readout y = W s + b, updated after each sample.

    With the gain k = P s / (forget + s' P s) of the states s with a 1 appended, W gains (y - W s) k' and P becomes
    (P - k s' P) / forget. With forget = 1 it is the ridge regression over all samples so far with the penalty `regulariser` on
    W and b alike.

    Args:
        states: Number of states.
        targets: Number of targets.
        regulariser: Initial 1 / P, in the squared unit of the states. The smaller, the faster the first samples are learned.
        forget: Weight of the samples so far after each new one, above 0 and at most 1.

    Raises:
        ConfigError: numbers out of range.

    Example:
        >>> readout = RecursiveReadout(1, regulariser=1e-9)
        >>> states = torch.arange(10, dtype=torch.float64)[:, None]
        >>> errors = readout.add(states, 2 * states[:, 0] + 1)
        >>> [round(float(y), 4) for y in readout(torch.tensor([[20.0]]))]
        [41.0]

    Source: Sussillo and Abbott, Neuron 63, 544 (2009), doi:10.1016/j.neuron.2009.07.018.
    """

    def __init__(self, states: int, targets: int = 1, *, regulariser: float = 1e-3, forget: float = 1.0) -> None:
        self.states, self.targets = whole_number("states", states, 1), whole_number("targets", targets, 1)
        self.regulariser = number("regulariser", regulariser, 0, above=True)
        self.forget = number("forget", forget, 0, 1, above=True)
        self.weights = torch.zeros(self.targets, self.states + 1, dtype=torch.float64)
        self.inverse = torch.eye(self.states + 1, dtype=torch.float64) / self.regulariser

    def __call__(self, states: Tensor) -> Tensor:
        """Return the outputs for states of shape (..., states), shape (..., targets)."""
        return states.to(self.weights) @ self.weights[:, :-1].T + self.weights[:, -1]

    def add(self, states: Tensor, targets: Tensor) -> Tensor:
        """Learn samples in chronological order; return the errors before each update, shape (time, targets).

        Args:
            states: Shape (time, states).
            targets: Shape (time, targets), or (time,) for one.

        Raises:
            ConfigError: other shapes, or values that are not finite.
        """
        states, targets = real_tensor("states", states).detach(), real_tensor("targets", targets).detach()
        targets = targets.unsqueeze(-1) if targets.dim() == 1 else targets
        if states.shape != (len(targets), self.states) or targets.shape[1:] != (self.targets,):
            raise ConfigError(
                f"states and targets have shapes {tuple(states.shape)} and {tuple(targets.shape)}; expected "
                f"(time, {self.states}) and (time, {self.targets})."
            )
        if not all_finite(states) or not all_finite(targets):
            raise ConfigError("states or targets contain NaN or infinite values; leave out those samples.")
        errors = torch.zeros(len(targets), self.targets, dtype=torch.float64)
        for index, (state, target) in enumerate(zip(states.to(torch.float64), targets.to(torch.float64), strict=True)):
            row = torch.cat([state, state.new_ones(1)])
            filtered = self.inverse @ row
            gain = filtered / (self.forget + row @ filtered)
            errors[index] = target - self.weights @ row
            self.weights += torch.outer(errors[index], gain)
            self.inverse = (self.inverse - torch.outer(gain, filtered)) / self.forget
            self.inverse = (self.inverse + self.inverse.T) / 2  # rounding would make it indefinite
        return errors

    def frozen(self) -> Readout:
        """Return the readout as it is now; later samples do not change it."""
        nan = torch.full((self.targets,), torch.nan, dtype=torch.float64)
        return Readout(self.weights[:, :-1].clone(), self.weights[:, -1].clone(), self.regulariser, nan)
