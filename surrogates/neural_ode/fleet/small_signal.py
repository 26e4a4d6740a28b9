"""Small-signal figures of fitted devices: resonance, damping and sensitivity of the field linearised where the device rests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..surrogate import Surrogate

#: Newton steps towards the fixed point, and the largest one, in deviations.
STEPS, LARGEST = 30, 1.0


@dataclass(frozen=True)
class SmallSignal:
    """Figures of the linearised device; NaN where no fixed point was found.

    Attributes:
        frequency: |Im lambda| / (2 pi) of the slowest decaying pair of eigenvalues [Hz]; 0 if all are real.
        damping: -Re lambda of it, the rate at which it decays [1/s]; negative if it grows.
        sensitivity: Change of each output with each drive at rest, SI units, shape (outputs, drives).
    """

    frequency: float
    damping: float
    sensitivity: Tensor


def small_signal(surrogate: Surrogate, drive: Sequence[float] | None = None) -> SmallSignal:
    """Linearise a surrogate at its fixed point under a constant drive: dx/dt = A x + B u, y = C x + D u.

        f = |Im lambda| / (2 pi),   damping = -Re lambda,   dy/du = D - C A^-1 B

    with lambda the eigenvalue of A with the largest real part. Of an ensemble the first member counts.

    Args:
        surrogate: A fitted model with an embedding that is not recursive.
        drive: Drives and parameters in SI units, in the order of `surrogate.ports.inputs`; their means if omitted.

    Example:
        >>> import torch
        >>> from spinode.surrogates.testing import resonator
        >>> figures = small_signal(resonator(gain=0.5), [0.0])
        >>> round(float(figures.sensitivity), 6)
        0.5
    """
    member, scales, embedding = surrogate.members[0], surrogate.scales, surrogate.embedding
    outputs, drives = len(surrogate.ports.output), len(surrogate.ports.drive)
    u = torch.zeros_like(scales.drive_mean) if drive is None else scales.drive(torch.as_tensor(drive, dtype=torch.float64))
    size = embedding.state_size(outputs)

    def field(x: Tensor, u: Tensor) -> Tensor:
        rates: Tensor = member.field(x[None], embedding.constant_field_drive(u[None]))
        return rates[0]

    x = torch.zeros(size, dtype=torch.float64)
    nothing = SmallSignal(math.nan, math.nan, torch.full((outputs, drives), math.nan, dtype=torch.float64))
    for _ in range(STEPS):
        slope, rates = _jacobian(field, x, u, 0)
        step = torch.linalg.lstsq(slope, -rates[:, None]).solution[:, 0]
        if not bool(step.isfinite().all()):
            return nothing
        x = x + step * min(1.0, LARGEST / max(float(step.norm()), 1e-300))
        if float(step.norm()) < 1e-9:
            break
    else:
        return nothing
    slope, _ = _jacobian(field, x, u, 0)
    push, _ = _jacobian(field, x, u, 1)
    eigenvalues = torch.linalg.eigvals(slope)
    slowest = eigenvalues[int(eigenvalues.real.argmax())]
    response = -torch.linalg.lstsq(slope, push[:, :drives]).solution[:outputs] + member.feedthrough.detach()
    return SmallSignal(
        abs(float(slowest.imag)) / (2 * math.pi * surrogate.interval),
        -float(slowest.real) / surrogate.interval,
        response * scales.output_scale[:, None] / scales.drive_scale[:drives],
    )


def _jacobian(field: object, x: Tensor, u: Tensor, of: int) -> tuple[Tensor, Tensor]:
    """Return the derivative of the rates in the state (0) or the drive (1), and the rates."""
    given = [x.detach().clone().requires_grad_(), u.detach().clone().requires_grad_()]
    rates = field(*given)  # type: ignore[operator]
    rows = [torch.autograd.grad(value, given[of], retain_graph=True)[0] for value in rates.unbind()]
    return torch.stack(rows).detach(), rates.detach()
