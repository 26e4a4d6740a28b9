"""Resting states: stable fixed points of a vector field under constant drives."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import DomainError
from ..tensors import has_values

#: Largest number of rates that are evaluated at once to find starts.
_MAX_RATES = 200_000
#: Number of fitted states, or up to twice as many, from which starts are chosen.
_ENOUGH_POINTS = 500
#: Farthest root from the fitted states that counts, in deviations.
_MAX_DISTANCE = 3.0
_MAX_STEPS = 50
#: The same where values cannot be seen: every step is compiled, or taken, whatever the last one found.
_BLIND_STEPS = 8


def fixed_points(
    field: Callable[[Tensor, Tensor], Tensor], candidates: Tensor, drives: Tensor, size: int, *, starts: int = 16
) -> Tensor:
    """Find a stable root of f(x, u) = 0 for each drive, by damped Newton steps from the fitted states where |f| is smallest.

    All drives take their steps together; those without a root begin again from their next start. Tolerances follow the
    precision: |f| below 1e-8 in double precision, 2e-4 in single.

    Args:
        field: Vector field, of states of shape (..., size) and drives of shape (..., drive).
        candidates: Fitted states, optionally followed by their drives, shape (points, >= size).
        drives: u in standard deviations, shape (drives, drive).
        size: Number of state values.
        starts: Number of states to start from.

    Returns:
        For each drive the stable root that was found from the start with the smallest rate, shape (drives, size). Where
        values cannot be seen (`torch.compile`, `vmap`), only the first start is tried, and NaN marks drives without a root.

    Raises:
        DomainError: no stable root was found.

    Example:
        >>> field = lambda x, u: u - x
        >>> states = torch.linspace(-1, 1, 21, dtype=torch.float64)[:, None]
        >>> fixed_points(field, states, torch.tensor([[0.25], [-0.5]], dtype=torch.float64), 1)
        tensor([[ 0.2500],
                [-0.5000]], dtype=torch.float64)
    """
    drives = drives.detach()
    points = candidates[:, :size].detach()
    begin = _starts(field, points, drives, starts)
    if not has_values(drives):
        root, found = _newton(field, points, drives, begin[:, 0])
        return torch.where(found[:, None], root, torch.nan)
    roots = torch.full_like(begin[:, 0], torch.nan)
    missing = torch.arange(len(drives), device=drives.device)
    for index in range(begin.shape[1]):
        root, found = _newton(field, points, drives[missing], begin[missing, index])
        roots[missing[found]] = root[found]
        missing = missing[~found]
        if not len(missing):
            return roots
    raise DomainError(
        "no stable resting state was found under the first drive sample (a self-sustained oscillator and a non-volatile "
        "memory have none); "
        "start from measured samples: --output NAME on the command line, or in Python "
        "state=surrogate.state_from(output, drive)[0]."
    )


def _starts(field: Callable[[Tensor, Tensor], Tensor], points: Tensor, drives: Tensor, count: int) -> Tensor:
    """Return the points with the smallest rates under each drive, shape (drives, starts, size)."""
    chosen = []
    points = points[:: max(1, len(points) // _ENOUGH_POINTS)]  # a root must not depend on the number of drives
    with torch.no_grad():
        for part in drives.split(max(1, _MAX_RATES // len(points))):
            wide = (len(part), len(points))
            rates = field(points.expand(*wide, -1), part[:, None].expand(*wide, -1))
            chosen.append(points[rates.norm(dim=-1).topk(min(count, len(points)), largest=False).indices])
    return torch.cat(chosen)


def _newton(field: Callable[[Tensor, Tensor], Tensor], points: Tensor, drives: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return where Newton's method ends from one start for each drive, and whether it is a stable root near the points."""
    precision = torch.finfo(x.dtype).eps
    close, accepted = precision ** (2 / 3), precision**0.511  # 4e-11 and 1e-8 in double precision
    # Rows are independent, so the derivative of the sum over them has the Jacobian of each.
    jacobian_of = torch.func.jacrev(lambda state: field(state, drives).sum(0))
    for _ in range(_MAX_STEPS if has_values(x) else _BLIND_STEPS):
        value = field(x, drives).detach()
        jacobian = jacobian_of(x).detach().movedim(1, 0)
        step = _newton_step(jacobian, value)
        x = x + step * (0.5 / (step.norm(dim=-1, keepdim=True) + 1e-12)).clamp(max=1.0)
        if has_values(x) and bool((value.abs().amax(-1) < close).all()):
            break
    value = field(x, drives).detach()
    near = torch.stack([(points - each).norm(dim=-1).amin() for each in x.unbind(0)]) < _MAX_DISTANCE
    growth = torch.linalg.eigvals(jacobian_of(x).detach().movedim(1, 0)).real.amax(-1)
    return x, (value.abs().amax(-1) < accepted) & near & (growth <= precision**0.575)


def _newton_step(jacobian: Tensor, value: Tensor) -> Tensor:
    """Return the step to the root of the linear model; for a singular Jacobian the damped step of least squares."""
    step, failed = torch.linalg.solve_ex(jacobian, -value[..., None])
    normal = jacobian.mT @ jacobian
    scale = normal.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None] + torch.finfo(value.dtype).tiny
    damping = torch.finfo(value.dtype).eps * scale * torch.eye(normal.shape[-1], dtype=value.dtype, device=value.device)
    damped, _ = torch.linalg.solve_ex(normal + damping, -jacobian.mT @ value[..., None])
    usable = (failed == 0)[..., None, None] & torch.isfinite(step)
    return torch.where(usable, step, torch.where(torch.isfinite(damped), damped, 0.0)).squeeze(-1)
