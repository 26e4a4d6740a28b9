"""Resting states: stable fixed points of a vector field under a constant drive."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import DomainError


def fixed_point(field: nn.Module, candidates: Tensor, drive: Tensor, size: int, *, starts: int = 16) -> Tensor:
    """Find a stable root of f(x, u) = 0 by damped Newton steps from the fitted states where |f| is smallest.

    Args:
        field: Vector field.
        candidates: Fitted states, optionally followed by their drives, shape (points, >= size).
        drive: u in standard deviations, shape (drive,).
        size: Number of state values.
        starts: Number of states to start from.

    Returns:
        The stable root nearest to the fitted states, shape (size,).

    Raises:
        DomainError: no stable root was found.

    Example:
        >>> field = lambda x, u: u - x
        >>> states = torch.linspace(-1, 1, 21, dtype=torch.float64)[:, None]
        >>> fixed_point(field, states, torch.tensor([0.25], dtype=torch.float64), 1)
        tensor([0.2500], dtype=torch.float64)
    """
    with torch.no_grad():
        points = candidates[:, :size]
        rates = field(points, drive.expand(len(points), -1))
        first = points[rates.norm(dim=-1).argsort()[:starts]]
    jacobian = torch.func.jacrev(lambda x: field(x, drive))
    for start in first:
        x: Tensor = start.detach()
        for _ in range(50):
            value = field(x, drive).detach()
            slope = jacobian(x).detach()
            step = torch.linalg.lstsq(slope, -value).solution
            x = x + step * min(1.0, 0.5 / (float(step.norm()) + 1e-12))
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
