"""`LatentField`: complex modes with an exact linear core and conservative learned forces.

K complex modes z_k = q_k + i p_k make the state x = (q, p). With time in samples and u the inputs in deviations,

    z_k' = -(g_k + i w_k) z_k + e_k (dV/dp_k - i dV/dq_k),
    V = sum_j u_j (B_j . x + x' S_j x / 2) + sum_h a_h logcosh(W_h . x + v_h . u + b_h), less its gradient at x = u = 0.

The decay g and the scale e are positive. The linear core is stable, and the forces are those of a Hamiltonian: they move energy
between modes and add none but through the drive. The term u x' S x / 2 is the parametric action of a drive.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layout import LatentLayout

#: Magnitude below which the coefficients of the integrator are computed by their series.
_SMALL = 0.7

#: Terms of that series: the first one left out is below rounding.
_TERMS = 18


class LatentField(nn.Module):
    """Vector field f(x, u) of latent modes; weights by the names of `LatentLayout`.

    Args:
        layout: Sizes.
        theta: Weights, shape (layout.weights,); zeros if omitted. Those of the read-out are not used here.
        substeps: Steps of the integrator per sample.
    """

    log_decay: Tensor
    frequency: Tensor
    log_scale: Tensor
    force: Tensor
    coupling: Tensor
    height: Tensor
    inner: Tensor
    inner_drive: Tensor
    inner_bias: Tensor

    NAMES = ("log_decay", "frequency", "log_scale", "force", "coupling", "height", "inner", "inner_drive", "inner_bias")

    def __init__(self, layout: LatentLayout, theta: Tensor | None = None, *, substeps: int = 1) -> None:
        super().__init__()
        self.layout = layout
        self.substeps = substeps
        arrays = layout.split(torch.zeros(layout.weights, dtype=torch.float64) if theta is None else theta)
        for name in self.NAMES:
            setattr(self, name, nn.Parameter(arrays[name].detach().clone()))

    def gradient(self, state: Tensor, drive: Tensor) -> Tensor:
        """Compute the gradient of V in the state.

        Args:
            state: Shape (..., 2 K).
            drive: Shape (..., inputs).

        Returns:
            Shape (..., 2 K).
        """
        stiffness = torch.einsum("...j,jab->...ab", drive, self._symmetric())
        bilinear = drive @ self.force + (stiffness @ state.unsqueeze(-1)).squeeze(-1)
        sums = state @ self.inner.T + drive @ self.inner_drive.T + self.inner_bias
        pushes = self.height * (torch.tanh(sums) - torch.tanh(self.inner_bias))
        result: Tensor = bilinear + pushes @ self.inner
        return result

    def forces(self, state: Tensor, drive: Tensor) -> Tensor:
        """Return the conservative forces e (dV/dp, -dV/dq), shape (..., 2 K)."""
        q, p = self.gradient(state, drive).chunk(2, -1)
        scale = self.log_scale.exp()
        return torch.cat([scale * p, -scale * q], -1)

    def forward(self, state: Tensor, drive: Tensor) -> Tensor:
        """Return the rates f(x, u) per sample, shape (..., 2 K)."""
        q, p = state.chunk(2, -1)
        decay, w = self.log_decay.exp(), self.frequency
        return torch.cat([-decay * q + w * p, -decay * p - w * q], -1) + self.forces(state, drive)

    def step(self, state: Tensor, stages: Tensor, dt: float = 1.0) -> Tensor:
        """Take one step of a sample.

        The linear core is integrated exactly, the forces by the trapezoidal rule (ETD2RK).

        Args:
            state: Shape (..., 2 K).
            stages: Inputs at the start, middle and end of the step, shape (..., 3, inputs); the middle is not used.
            dt: Length in samples.

        Returns:
            Shape (..., 2 K).

        Source: Cox & Matthews, J. Comput. Phys. 176, 430 (2002).
        """
        first, last = stages[..., 0, :], stages[..., 2, :]
        h = dt / self.substeps
        decay, gamma, beta = integrator_coefficients(self.log_decay, self.frequency, h)
        for part in range(self.substeps):
            begin = torch.lerp(first, last, part / self.substeps)
            end = torch.lerp(first, last, (part + 1) / self.substeps)
            before = self.forces(state, begin)
            predicted = _times(decay, state) + _times(gamma, before)
            state = predicted + _times(beta, self.forces(predicted, end) - before)
        return state

    def _symmetric(self) -> Tensor:
        """Return S, shape (inputs, 2 K, 2 K)."""
        n = self.layout.state
        rows, columns = torch.triu_indices(n, n, device=self.coupling.device)
        empty = self.coupling.new_zeros(self.layout.inputs, n * n)
        upper = empty.index_copy(1, rows * n + columns, self.coupling).reshape(-1, n, n)
        result: Tensor = upper + upper.triu(1).transpose(-1, -2)
        return result


def integrator_coefficients(log_decay: Tensor, frequency: Tensor, h: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return exp(L h), h phi_1(L h) and h phi_2(L h) with L = -(exp(log_decay) + i frequency), each complex of shape (modes,).

    phi_1(z) = (e^z - 1) / z, phi_2(z) = (e^z - 1 - z) / z^2.
    """
    z = torch.complex(-log_decay.exp(), -frequency) * h
    one, two, _ = phi_functions(z)
    return torch.exp(z), h * one, h * two


def phi_functions(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return phi_1, phi_2 and phi_3 of complex numbers, with phi_{k+1}(z) = (phi_k(z) - 1 / k!) / z and phi_0 = exp."""
    small = z.abs() < _SMALL
    # Where the closed form cancels, the series is used; `where` must not see a division by zero, whose gradient is NaN.
    safe = torch.where(small, torch.ones_like(z), z)
    one = (torch.exp(safe) - 1) / safe
    two = (one - 1) / safe
    three = (two - 0.5) / safe
    closed = (one, two, three)
    first, second, third = (torch.where(small, _series(z, k + 1), value) for k, value in enumerate(closed))
    return first, second, third


def _series(z: Tensor, shift: int) -> Tensor:
    """Return sum_k z^k / (k + shift)!."""
    factorial = 1.0
    for k in range(2, _TERMS + shift + 1):
        factorial *= k
    total = torch.full_like(z, 1 / factorial)
    for k in range(_TERMS, 0, -1):
        factorial /= k + shift
        total = total * z + 1 / factorial
    return total


def _times(factor: Tensor, state: Tensor) -> Tensor:
    """Multiply each mode by a complex number."""
    q, p = state.chunk(2, -1)
    return torch.cat([factor.real * q - factor.imag * p, factor.imag * q + factor.real * p], -1)
