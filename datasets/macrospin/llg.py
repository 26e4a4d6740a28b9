"""The Landau-Lifshitz-Gilbert-Slonczewski equation of one macrospin, and two schemes that integrate it.

The Gilbert form, with m the unit vector of the magnetisation and every field in A/m,

    dm/dt = -gamma0 m x H + alpha m x dm/dt,        H = H_eff + a_J (m x p) + b_J p,

is solved for dm/dt:

    dm/dt = -gamma0 / (1 + alpha^2) [ m x H + alpha m x (m x H) ].

Writing the spin torque as a field keeps a single right-hand side: -gamma0 m x (a_J m x p) is the damping-like
torque gamma0 a_J m x (p x m), which for a_J > 0 turns m towards the polariser p; b_J p is the field-like torque.

Sources: Gilbert, IEEE Trans. Magn. 40, 3443 (2004), doi:10.1109/TMAG.2004.836740; Slonczewski, J. Magn. Magn. Mater.
159, L1 (1996), doi:10.1016/0304-8853(96)00062-5; Ralph and Stiles, J. Magn. Magn. Mater. 320, 1190 (2008),
doi:10.1016/j.jmmm.2007.12.019; angular dependence as in Vansteenkiste et al., AIP Adv. 4, 107133 (2014),
doi:10.1063/1.4899186.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

MU0 = 4e-7 * math.pi  # vacuum permeability [T m/A]
GAMMA0 = 2.211e5  # mu0 times the gyromagnetic ratio of the electron [m/(A s)]
BOLTZMANN = 1.380649e-23  # [J/K]
HBAR = 1.054571817e-34  # [J s]
ELEMENTARY_CHARGE = 1.602176634e-19  # [C]

#: Right-hand side dm/dt [1/s] of a state m (..., 3) at a fraction 0 .. 1 of the step.
Rate: TypeAlias = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True, eq=False)
class FieldTerms:
    """The constants of a device that determine its effective field; all broadcast against (..., 3).

    Attributes:
        axis: Unit vector e of the uniaxial anisotropy.
        demagnetising: Ms times the diagonal of the demagnetising tensor [A/m].
        polariser: Unit vector p of the fixed layer.
        polarisation: Spin polarisation P of the current, -1 .. 1.
        asymmetry: Lambda of the angular dependence; 1 for none.
        field_like: b_J / a_J, the field-like torque in units of the damping-like one.
    """

    axis: Tensor
    demagnetising: Tensor
    polariser: Tensor
    polarisation: Tensor
    asymmetry: Tensor
    field_like: Tensor

    def field(self, m: Tensor, applied: Tensor, anisotropy: Tensor, spin: Tensor | None) -> Tensor:
        """Compute the effective field, spin torque included.

        H = H_applied + H_K (m.e) e - Ms N m + a_J (m x p) + b_J p, with H_K = 2 Ku / (mu0 Ms),
        a_J = eps(m) hbar J / (e mu0 Ms d) and eps(m) = P L^2 / (L^2 + 1 + (L^2 - 1) m.p), which is P/2 for L = 1.

        Args:
            m: Unit vectors, shape (..., 3).
            applied: Applied and thermal field [A/m], shape (..., 3).
            anisotropy: H_K [A/m], shape (..., 1).
            spin: hbar J / (e mu0 Ms d) [A/m], shape (..., 1); None without a current.

        Returns:
            H [A/m], shape (..., 3).
        """
        projection_on_axis = (m * self.axis).sum(-1, keepdim=True)
        total: Tensor = applied + anisotropy * projection_on_axis * self.axis - self.demagnetising * m
        if spin is None:
            return total
        cross: Tensor = torch.linalg.cross(m, self.polariser.expand_as(m))
        square = self.asymmetry**2
        projection = (m * self.polariser).sum(-1, keepdim=True)
        damping_like = spin * self.polarisation * square / (square + 1 + (square - 1) * projection)
        return total + damping_like * (cross + self.field_like * self.polariser)


def landau_lifshitz(m: Tensor, field: Tensor, alpha: Tensor) -> Tensor:
    """Compute dm/dt = -gamma0 / (1 + alpha^2) [ m x H + alpha m x (m x H) ].

    Args:
        m: Unit vectors, shape (..., 3).
        field: H [A/m], shape (..., 3).
        alpha: Gilbert damping, shape (..., 1).

    Returns:
        dm/dt [1/s], shape (..., 3).
    """
    precession: Tensor = torch.linalg.cross(m, field)
    damping: Tensor = torch.linalg.cross(m, precession)
    return (precession + alpha * damping) * (-GAMMA0 / (1 + alpha**2))


def normalised(vectors: Tensor) -> Tensor:
    """Return vectors divided by their lengths, shape (..., 3)."""
    length: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / length


def thermal_deviation(alpha: Tensor, temperature: Tensor, moment: Tensor, step: float) -> Tensor:
    """Return the standard deviation of each component of the thermal field, which is constant during a step.

    sigma^2 = 2 alpha kB T / (gamma0 mu0 Ms V dt): with it an ensemble relaxes to the distribution exp(-E / kB T).

    Args:
        alpha: Gilbert damping.
        temperature: T [K].
        moment: Ms V [A m^2].
        step: dt [s].

    Returns:
        sigma [A/m], in the common shape of the arguments.

    Source: Brown, Phys. Rev. 130, 1677 (1963), doi:10.1103/PhysRev.130.1677.
    """
    return torch.sqrt(2 * alpha * BOLTZMANN * temperature / (GAMMA0 * MU0 * moment * step))


def rk4_step(m: Tensor, rate: Rate, step: float) -> Tensor:
    """Take one classical Runge-Kutta step, with an error of O(step^5); |m| is not restored here.

    Args:
        m: State at the start of the step, shape (..., 3).
        rate: dm/dt [1/s] of a state at a fraction of the step.
        step: Length of the step [s].
    """
    k1 = rate(m, 0.0)
    k2 = rate(m + 0.5 * step * k1, 0.5)
    k3 = rate(m + 0.5 * step * k2, 0.5)
    k4 = rate(m + step * k3, 1.0)
    return m + step / 6 * (k1 + 2 * (k2 + k3) + k4)


def heun_step(m: Tensor, rate: Rate, step: float) -> Tensor:
    """Take one Heun step, with an error of O(step^3) without noise; |m| is not restored here.

    Predictor and corrector use the same thermal field, so that the scheme converges to the Stratonovich solution. This is the
    interpretation of Brown's equation; the Ito solution has another equilibrium.

    Args:
        m: State at the start of the step, shape (..., 3).
        rate: dm/dt [1/s] of a state at a fraction of the step, the thermal field included.
        step: Length of the step [s].

    Source: Garcia-Palacios and Lazaro, Phys. Rev. B 58, 14937 (1998), doi:10.1103/PhysRevB.58.14937.
    """
    k1 = rate(m, 0.0)
    return m + 0.5 * step * (k1 + rate(m + step * k1, 1.0))
