"""Resting states: stable fixed points of a vector field under a constant drive."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import DomainError


def fixed_point(field: nn.Module, candidates: Tensor, drive: Tensor, size: int, *, tries: int = 16) -> Tensor:
    """Stable root of f(x, u) = 0 by damped Newton steps from the fitted states where |f| is smallest.

    Args:
        field: Vector field.
        candidates: Fitted states (and drives behind them), shape (points, >= size).
        drive: u in deviations, shape (drive,).
        size: Number of state values.
        tries: Number of starts.

    Returns:
        The stable root nearest to the fitted states, shape (size,).

    Raises:
        DomainError: no stable root was found.
    """
    with torch.no_grad():
        points = candidates[:, :size]
        rates = field(points, drive.expand(len(points), -1))
        starts = points[rates.norm(dim=-1).argsort()[:tries]]
    jacobian = torch.func.jacrev(lambda x: field(x, drive))
    for start in starts:
        x: Tensor = start.detach()
        for _ in range(50):
            value = field(x, drive).detach()
            slope = jacobian(x).detach()
            move = torch.linalg.lstsq(slope, -value).solution
            x = x + move * min(1.0, 0.5 / (float(move.norm()) + 1e-12))
            if float(value.abs().max()) < 1e-10:
                break
        if float(value.abs().max()) >= 1e-8 or float((points - x).norm(dim=-1).min()) >= 3.0:
            continue
        if float(torch.linalg.eigvals(jacobian(x).detach()).real.max()) <= 1e-9:
            return x
    raise DomainError(
        "no stable resting state was found under the first drive sample (a self-sustained oscillator has none); "
        "start from measured samples: --output NAME on the command line, or in Python "
        "state=surrogate.state_from(output, drive)[0]."
    )
