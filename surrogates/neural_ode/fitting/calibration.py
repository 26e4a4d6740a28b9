"""Calibration: the spread of an ensemble against its errors on the validation segments, and the states it has visited."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..member import Member
from .prepare import Prepared


def visited_states(members: Sequence[Member], prepared: Prepared) -> Tensor:
    """Return the recorded states less the feedthrough's part (mean over members), shape (samples, state)."""
    jacobian = prepared.samples.feedthrough_jacobian
    feedthrough = torch.stack([member.feedthrough.detach().reshape(-1)[: jacobian.shape[-1]] for member in members]).mean(0)
    states: Tensor = prepared.samples.states + jacobian @ feedthrough
    return states


def calibrate(runs: Tensor, truth: Tensor) -> tuple[float, Tensor]:
    """Fit factor and floor so that 90 % of the errors lie within 1.645 sqrt((factor * deviation)^2 + floor^2).

    Args:
        runs: Free runs of the members over validation samples, shape (members, time, outputs).
        truth: Recorded outputs, shape (time, outputs).

    Returns:
        Factor of the ensemble's standard deviation, and floor of each output, shape (outputs,).
    """
    error = (runs.mean(0) - truth).abs()
    quantile = torch.quantile(error, 0.9, dim=0) / 1.645
    if len(runs) == 1:
        return 1.0, quantile
    # A floor of half the size leaves the larger part of the spread to where members disagree.
    floor = 0.5 * quantile
    deviation = runs.std(0).clamp_min(1e-12)
    excess = (error / 1.645).square() - floor.square()
    factor = torch.quantile(excess.clamp_min(0).sqrt() / deviation, 0.9)
    return max(1.0, float(factor)), floor
