"""`Settling`: counts how far the free phases of a run ended from their fixed points."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...errors import FitError
from ..equilibrium.dynamics import Dynamics

#: Residual, in units of the range of a state, from which on a network that has not learned yet counts as oscillating: states
#: that all jump between two values a quarter of the range apart.
OSCILLATING = 0.25


class Settling(nn.Module):
    """Statistics of residuals, which are part of checkpoints.

    Args:
        settled: Largest residual that counts as settled.

    Example:
        >>> settling = Settling(0.05)
        >>> settling.count(0.01), settling.count(0.2)
        (1, 2)
        >>> settling.figures()["free phases that did not settle [share]"]
        0.5
    """

    counts: Tensor

    def __init__(self, settled: float) -> None:
        super().__init__()
        self.settled = settled
        self.warned = False
        # phases, phases that did not settle, sum and maximum of residuals; then the first two of the present epoch
        self.register_buffer("counts", torch.zeros(6, dtype=torch.float64))

    def count(self, residual: float) -> int:
        """Count a phase, and return how many there were."""
        missed = residual > self.settled
        self.counts += torch.tensor([1, missed, residual, 0, 1, missed], dtype=torch.float64)
        self.counts[3] = max(float(self.counts[3]), residual)
        return int(self.counts[0])

    def refuse_oscillation(self, residual: float, dynamics: Dynamics) -> None:
        """Raise a `FitError` if the states of an untrained network still jump at the end of its free phase."""
        if residual < OSCILLATING:
            return
        remedy = "use dynamics='continuous'" if dynamics.kind == "prototypical" else f"use a dt below {dynamics.step:g}"
        raise FitError(
            f"the network oscillates: its states still change by {residual:.2g} of their range in each step at the end of the "
            f"free phase, expected below {self.settled:g}; {remedy}, or more units in small layers, whose weights are smaller."
        )

    def end_epoch(self, steps: int) -> str | None:
        """Return a sentence if most phases of the epoch did not settle and no warning was given before; a new epoch begins."""
        phases, missed = self.counts[4:].tolist()
        self.counts[4:] = 0
        if self.warned or missed <= 0.5 * phases:
            return None
        self.warned = True
        return (
            f"{int(missed)} of {int(phases)} free phases of an epoch of {steps} steps did not settle: their residual is above "
            f"{self.settled:g}, and {float(self.counts[3]):.2g} at most. Gradients are then wrong; use more free_steps, or "
            "dynamics='continuous' with a small dt."
        )

    def figures(self) -> dict[str, float]:
        """Return mean and largest residual and the share of phases that did not settle."""
        phases, missed, total, largest = self.counts[:4].tolist()
        phases = max(phases, 1.0)
        return {
            "residual of the free phase, mean": total / phases,
            "residual of the free phase, largest": largest,
            "free phases that did not settle [share]": missed / phases,
        }
