"""Ridge regression from sums that are accumulated block by block; the regulariser by cross-validation over segments of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import ConfigError
from ...tensors import all_finite
from ...validation import number, whole_number

#: Regularisers that are tried, in units of the mean variance of a state.
REGULARISERS = tuple(10.0**k for k in range(-14, 3))


@dataclass(frozen=True, eq=False)
class Readout:
    """A linear readout y = W s + b, fitted by ridge regression.

    Attributes:
        weight: W, shape (targets, states).
        bias: b, shape (targets,).
        regulariser: Penalty on W that was chosen or given, in units of the mean variance of a state.
        validation: NRMSE of each target over the segments left out; NaN where the regulariser was given.
    """

    weight: Tensor
    bias: Tensor
    regulariser: float
    validation: Tensor

    def __call__(self, states: Tensor) -> Tensor:
        """Return the outputs for states of shape (..., states), shape (..., targets)."""
        return states.to(self.weight) @ self.weight.T + self.bias


class RidgeStatistics:
    """Sums of products of states and targets: all that a ridge regression needs, so that no state is kept in memory.

    Args:
        states: Number of states.
        targets: Number of targets.
        folds: Number of folds of the cross-validation.
        segment: Number of consecutive samples that go to one fold; segment k goes to fold k mod folds. Neighbouring samples are
            too similar to be split between folds one by one.

    Raises:
        ConfigError: numbers that are not positive.

    Example:
        >>> statistics = RidgeStatistics(states=1, segment=2)
        >>> states = torch.arange(10, dtype=torch.float64)[:, None]
        >>> statistics.add(states, 2 * states[:, 0] + 1)
        >>> readout = statistics.solve()
        >>> [round(float(y), 6) for y in readout(torch.tensor([[20.0]]))]
        [41.0]
    """

    def __init__(self, states: int, targets: int = 1, *, folds: int = 5, segment: int = 100) -> None:
        self.states, self.targets = whole_number("states", states, 1), whole_number("targets", targets, 1)
        self.segment, folds = whole_number("segment", segment, 1), whole_number("folds", folds, 1)
        width = self.states + self.targets + 1
        self.products = torch.zeros(folds, width, width, dtype=torch.float64)  # of (states, targets, 1)
        self.samples = 0

    def add(self, states: Tensor, targets: Tensor) -> None:
        """Add samples in chronological order.

        Args:
            states: Shape (time, states).
            targets: Shape (time, targets), or (time,) for one.

        Raises:
            ConfigError: other shapes, or values that are not finite.
        """
        targets = targets.unsqueeze(-1) if targets.dim() == 1 else targets
        if states.shape != (len(targets), self.states) or targets.shape[-1] != self.targets:
            raise ConfigError(
                f"states and targets have shapes {tuple(states.shape)} and {tuple(targets.shape)}; expected "
                f"(time, {self.states}) and (time, {self.targets})."
            )
        rows = torch.cat(
            [states.to(torch.float64), targets.to(torch.float64), torch.ones(len(states), 1, dtype=torch.float64)], 1
        )
        if not all_finite(rows):
            raise ConfigError(
                "states or targets contain NaN or infinite values; check the reservoir, or leave out those samples."
            )
        folds = len(self.products)
        fold_of = torch.arange(self.samples, self.samples + len(rows)) // self.segment % folds
        for fold in range(folds):
            part = rows[fold_of == fold].detach()
            self.products[fold] += part.T @ part
        self.samples += len(rows)

    def solve(self, regulariser: float | None = None, *, among: Sequence[float] = REGULARISERS) -> Readout:
        """Return the readout fitted to all samples.

        Args:
            regulariser: In units of the mean variance of a state; chosen by cross-validation if omitted.
            among: Regularisers that are tried.

        Raises:
            ConfigError: too few samples, or a regulariser that is negative.
        """
        total = self.products.sum(0)
        nonempty = [fold for fold in self.products if float(fold[-1, -1]) > 0]
        if self.samples < 2 or (regulariser is None and len(nonempty) < 2):
            raise ConfigError(
                f"the readout has seen {self.samples} samples; expected at least two segments of {self.segment}: add more "
                "samples, or pass a shorter segment or a regulariser."
            )
        if regulariser is not None:
            regulariser = number("the regulariser", regulariser, 0)
            return Readout(*self._solved(total, [regulariser])[0], regulariser, torch.full((self.targets,), math.nan))
        errors = torch.zeros(len(among), self.targets, dtype=torch.float64)
        for fold in nonempty:
            for index, (weight, bias) in enumerate(self._solved(total - fold, among)):
                errors[index] += _squares(fold, weight, bias)
        best = int((errors / self._variance(total)).sum(1).argmin())
        nrmse = (errors[best] / self._variance(total)).sqrt()
        return Readout(*self._solved(total, [among[best]])[0], among[best], nrmse)

    def _variance(self, products: Tensor) -> Tensor:
        """Return the sum of squares of each target about its mean, shape (targets,)."""
        at = slice(self.states, self.states + self.targets)
        return (products.diagonal()[at] - products[at, -1] ** 2 / products[-1, -1]).clamp_min(1e-300)

    def _solved(self, products: Tensor, regularisers: Sequence[float]) -> list[tuple[Tensor, Tensor]]:
        """Return W and b for each regulariser."""
        n, count = self.states, products[-1, -1]
        mean = products[:-1, -1] / count
        centred = products[:-1, :-1] - count * torch.outer(mean, mean)
        gram, cross = centred[:n, :n], centred[:n, n:]
        scale = gram.diagonal().mean().clamp_min(1e-300)
        values, vectors = torch.linalg.eigh(gram)
        rotated = vectors.T @ cross
        results = []
        for regulariser in regularisers:
            damped = values.clamp_min(0) + regulariser * scale
            # Directions below rounding contain no information, whatever the regulariser.
            significant = damped > 1e-15 * values[-1].clamp_min(1e-300)
            weight = (vectors @ torch.where(significant, 1 / damped.clamp_min(1e-300), 0.0)[:, None].mul(rotated)).T
            results.append((weight, mean[n:] - weight @ mean[:n]))
        return results


def _squares(products: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the sum of squared errors of each target over the samples of some products, shape (targets,)."""
    targets = len(weight)
    # The error is a row of coefficients times (states, targets, 1).
    rows = torch.cat([weight, -torch.eye(targets, dtype=weight.dtype), bias[:, None]], 1)
    return ((rows @ products) * rows).sum(1).clamp_min(0)
