"""Ridge read-out, from sums that are gathered block by block; its regulariser by cross-validation over stretches of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import ConfigError

#: Regularisers that are tried, in units of the mean square of a state.
REGULARISERS = tuple(10.0**k for k in range(-14, 3))


@dataclass(frozen=True, eq=False)
class Readout:
    """y = W s + b, by least squares with a penalty on W.

    Attributes:
        weight: W, shape (targets, states).
        bias: b, shape (targets,).
        regulariser: Chosen, or given, in units of the mean square of a state about its mean.
        validation: NRMSE of each target over the stretches left out; NaN where the regulariser was given.
    """

    weight: Tensor
    bias: Tensor
    regulariser: float
    validation: Tensor

    def __call__(self, states: Tensor) -> Tensor:
        """Outputs of states (..., states), shape (..., targets)."""
        return states.to(self.weight) @ self.weight.T + self.bias


class RidgeStatistics:
    """What a ridge read-out needs of states and targets: their sums of products, so that no state has to be kept.

    Args:
        states: Number of states.
        targets: Number of targets.
        folds: Into how many stretches of time the samples are dealt for cross-validation.
        stretch: Samples of a stretch; stretch k goes to fold k mod folds. Neighbouring samples are too alike to be dealt
            singly.

    Raises:
        ConfigError: numbers that are not positive.
    """

    def __init__(self, states: int, targets: int = 1, *, folds: int = 5, stretch: int = 100) -> None:
        for name, value in (("states", states), ("targets", targets), ("folds", folds), ("stretch", stretch)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{name} is {value!r}; expected a positive whole number.")
        self.states, self.targets, self.stretch = states, targets, stretch
        width = states + targets + 1
        self.products = torch.zeros(folds, width, width, dtype=torch.float64)  # of (states, targets, 1)
        self.samples = 0

    def add(self, states: Tensor, targets: Tensor) -> None:
        """Add samples in their order.

        Args:
            states: Shape (time, states).
            targets: Shape (time, targets), or (time,) for one.

        Raises:
            ConfigError: other shapes, or values that are not finite.
        """
        targets = targets.unsqueeze(-1) if targets.dim() == 1 else targets
        if states.shape != (len(targets), self.states) or targets.shape[-1] != self.targets:
            raise ConfigError(
                f"states and targets have shapes {tuple(states.shape)} and {tuple(targets.shape)}; expected (time, "
                f"{self.states}) and "
                f"(time, {self.targets})."
            )
        rows = torch.cat(
            [states.to(torch.float64), targets.to(torch.float64), torch.ones(len(states), 1, dtype=torch.float64)], 1
        )
        if not bool(torch.isfinite(rows).all()):
            raise ConfigError("states or targets hold NaN or infinite values; see what the reservoir does there.")
        folds = len(self.products)
        at = torch.arange(self.samples, self.samples + len(rows)) // self.stretch % folds
        for fold in range(folds):
            part = rows[at == fold].detach()
            self.products[fold] += part.T @ part
        self.samples += len(rows)

    def solve(self, regulariser: float | None = None, *, among: Sequence[float] = REGULARISERS) -> Readout:
        """The read-out of all samples.

        Args:
            regulariser: In units of the mean square of a state about its mean; by cross-validation if omitted.
            among: Regularisers that are tried.

        Raises:
            ConfigError: too few samples, or a regulariser that is negative.
        """
        total = self.products.sum(0)
        filled = [fold for fold in self.products if float(fold[-1, -1]) > 0]
        if self.samples < 2 or (regulariser is None and len(filled) < 2):
            raise ConfigError(
                f"the read-out has seen {self.samples} samples; expected at least two stretches of {self.stretch}: add more, "
                f"pass a shorter "
                "stretch, or a regulariser."
            )
        if regulariser is not None:
            if not 0 <= regulariser < math.inf:
                raise ConfigError(f"the regulariser is {regulariser!r}; expected a number from 0 on.")
            return Readout(*self._solved(total, [regulariser])[0], regulariser, torch.full((self.targets,), math.nan))
        errors = torch.zeros(len(among), self.targets, dtype=torch.float64)
        for fold in filled:
            for index, (weight, bias) in enumerate(self._solved(total - fold, among)):
                errors[index] += _squares(fold, weight, bias)
        best = int((errors / self._variance(total)).sum(1).argmin())
        nrmse = (errors[best] / self._variance(total)).sqrt()
        return Readout(*self._solved(total, [among[best]])[0], among[best], nrmse)

    def _variance(self, products: Tensor) -> Tensor:
        """Sum of squares of each target about its mean, shape (targets,)."""
        at = slice(self.states, self.states + self.targets)
        return (products.diagonal()[at] - products[at, -1] ** 2 / products[-1, -1]).clamp_min(1e-300)

    def _solved(self, products: Tensor, regularisers: Sequence[float]) -> list[tuple[Tensor, Tensor]]:
        """W and b for each regulariser."""
        n, count = self.states, products[-1, -1]
        mean = products[:-1, -1] / count
        centred = products[:-1, :-1] - count * torch.outer(mean, mean)
        gram, cross = centred[:n, :n], centred[:n, n:]
        scale = gram.diagonal().mean().clamp_min(1e-300)
        values, vectors = torch.linalg.eigh(gram)
        turned = vectors.T @ cross
        results = []
        for regulariser in regularisers:
            damped = values.clamp_min(0) + regulariser * scale
            # Directions below rounding say nothing, whatever the regulariser.
            kept = damped > 1e-15 * values[-1].clamp_min(1e-300)
            weight = (vectors @ torch.where(kept, 1 / damped.clamp_min(1e-300), 0.0)[:, None].mul(turned)).T
            results.append((weight, mean[n:] - weight @ mean[:n]))
        return results


def _squares(products: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Sum of squared errors of each target over the samples of some products, shape (targets,)."""
    targets = len(weight)
    # The error is a row of coefficients times (states, targets, 1).
    rows = torch.cat([weight, -torch.eye(targets, dtype=weight.dtype), bias[:, None]], 1)
    return ((rows @ products) * rows).sum(1).clamp_min(0)
