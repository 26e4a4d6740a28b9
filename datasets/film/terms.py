"""The equation of a film: the terms of the effective field, the torques of currents, and the energy.

With m the unit vector of a cell, fields in A/m and time t,

    dm/dt = 1 / (1 + alpha^2) [ T + alpha m x T ],    T = -gamma0 m x H - (u.grad) m + beta m x (u.grad) m,
    H = 2 A / (mu0 Ms) lap m + 2 D / (mu0 Ms) [ grad m_z - z div m ] + 2 Ku / (mu0 Ms) (m.e) e
        + H_stray + H_applied + H_spin + H_thermal,

where u = P g mu_B J / (2 e Ms) is the velocity of Zhang and Li's torque and H_spin the field of Slonczewski's torque, as in
`spinode.datasets.macrospin.llg`. On a grid of cells of edge length h, a neighbour j of cell i in the direction n contributes

    2 A / (mu0 Ms h^2) (m_j - m_i) + (D_i + D_j) / (2 mu0 Ms h) (m_z,j n - m_n,j z).

Without a neighbour, the boundary condition dm/dn = -D / (2 A) (m_z n - m_n z) gives a ghost cell, and the two terms become
D^2 / (2 A mu0 Ms) (m_n n + m_z z). All these fields are derivatives of one energy, so that only damping changes it.

Sources: Rohart and Thiaville, Phys. Rev. B 88, 184422 (2013), doi:10.1103/PhysRevB.88.184422 (boundary condition); Thiaville et
al., Europhys. Lett. 69, 990 (2005), doi:10.1209/epl/i2004-10452-6 (u and beta); Brown (1963) and Slonczewski (1996) as in
`spinode.datasets.macrospin.llg`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..macrospin.llg import MU0

#: Constants of a cell in the order of the kernel: 1 for a neighbour to the east and to the north, the DMI with each of them and
#: of the cell itself [J/m2], the number of sides without a neighbour in x and y, 2 Ku / (mu0 Ms) [A/m], and the easy axis.
CONSTANTS = ("east", "north", "dmi_east", "dmi_north", "dmi", "open_x", "open_y", "anisotropy", "easy_x", "easy_y", "easy_z")
_LANES = 8  # rows are padded to a multiple of this, the widest vector of the kernel


@dataclass(frozen=True)
class Drives:
    """Drives at one time, the same for all cells.

    Attributes:
        anisotropy: Added to 2 Ku / (mu0 Ms) [A/m].
        dmi: Added to D [J/m2].
        field: Applied field [A/m].
        spin: hbar J / (e mu0 Ms d) of the perpendicular current [A/m].
        flow: u / (2 gamma0 h) of the current in the plane [A/m].
    """

    anisotropy: float = 0.0
    dmi: float = 0.0
    field: tuple[float, float, float] = (0.0, 0.0, 0.0)
    spin: float = 0.0
    flow: tuple[float, float] = (0.0, 0.0)

    def numbers(self) -> tuple[float, ...]:
        """Return the drives in the order of the kernel."""
        return (self.anisotropy, self.dmi, *self.field, self.spin, *self.flow)

    @classmethod
    def from_numbers(cls, numbers: tuple[float, ...]) -> Drives:
        """Return the drives of a tuple that `numbers` returned."""
        a, d, x, y, z, s, u, v = numbers
        return cls(a, d, (x, y, z), s, (u, v))


@dataclass(frozen=True, eq=False)
class Terms:
    """The constants of a film as they appear in the equation.

    Attributes:
        cells: Constants of the cells, padded with a border of empty cells, shape (11, rows + 2, stride).
        alpha: Gilbert damping.
        exchange: 2 A / (mu0 Ms h^2) [A/m].
        per_dmi: 1 / (mu0 Ms h); a field when multiplied by D.
        edge: 1 / (2 A mu0 Ms); a field when multiplied by D^2.
        Ms: Saturation magnetisation [A/m]; it gives the stray field of a cell on itself, -Ms m_z, which is evaluated at each
            stage.
        polariser: Unit vector p.
        polarisation: P of Slonczewski's torque.
        asymmetry: Lambda of Slonczewski's torque.
        field_like: b_J / a_J of Slonczewski's torque.
        beta: Non-adiabaticity of Zhang and Li's torque.
    """

    cells: Tensor
    alpha: float
    exchange: float
    per_dmi: float
    edge: float
    Ms: float
    polariser: tuple[float, float, float]
    polarisation: float
    asymmetry: float
    field_like: float
    beta: float

    def numbers(self, thermal: float) -> tuple[float, ...]:
        """Return the constants in the order of the kernel.

        Args:
            thermal: Standard deviation of the thermal field [A/m].
        """
        torques = (*self.polariser, self.polarisation, self.asymmetry, self.field_like, self.beta)
        return (self.alpha, self.exchange, self.per_dmi, self.edge, self.Ms, *torques, thermal)

    def local_field(self, m: Tensor, drives: Drives) -> Tensor:
        """Return H of a padded m, shape (3, rows + 2, stride), without stray and thermal field.

        The exchange field omits multiples of m, which exert no torque.
        """
        c = dict(zip(CONSTANTS, self.cells, strict=True))
        east, west, north, south = neighbours(m)
        bonds = {"e": c["east"], "w": _west(c["east"]), "n": c["north"], "s": _south(c["north"])}
        exchange = bonds["e"] * east + bonds["w"] * west + bonds["n"] * north + bonds["s"] * south
        pair_x, pair_y = c["dmi_east"] + drives.dmi * c["east"], c["dmi_north"] + drives.dmi * c["north"]
        e, w, n, s = (self.per_dmi * each for each in (pair_x, _west(pair_x), pair_y, _south(pair_y)))
        edge = self.edge * (c["dmi"] + drives.dmi) ** 2
        open_x, open_y = edge * c["open_x"], edge * c["open_y"]
        easy = self.cells[8:11]
        along = (c["anisotropy"] + drives.anisotropy) * (easy * m).sum(0)
        x, y, z = self.exchange * exchange + along * easy
        return torch.stack(
            [
                x + e * east[2] - w * west[2] + open_x * m[0] + drives.field[0],
                y + n * north[2] - s * south[2] + open_y * m[1] + drives.field[1],
                z + w * west[0] - e * east[0] + s * south[1] - n * north[1] + (open_x + open_y) * m[2] + drives.field[2],
            ]
        )

    def rate(self, m: Tensor, remote: Tensor, drives: Drives) -> Tensor:
        """Return dm / d(gamma0 t) [A/m] of a padded m.

        Args:
            m: Magnetisation, shape (3, rows + 2, stride).
            remote: Stray field without -Ms m_z, plus the thermal field [A/m], of the same shape.
            drives: Drives at this time.
        """
        field = self.local_field(m, drives) + remote
        field[2] -= self.Ms * m[2]
        if drives.spin:
            p = torch.tensor(self.polariser, dtype=m.dtype).reshape(3, 1, 1).expand_as(m)
            square = self.asymmetry**2
            projection = (m * p).sum(0)
            damping_like = drives.spin * self.polarisation * square / (square + 1 + (square - 1) * projection)
            field = field + damping_like * (torch.linalg.cross(m, p, dim=0) + self.field_like * p)
        torque = torch.linalg.cross(field, m, dim=0)
        if any(drives.flow):
            east, west, north, south = neighbours(m)
            bond_x, bond_y = self.cells[0], self.cells[1]
            along = drives.flow[0] * (bond_x * (east - m) - _west(bond_x) * (west - m))
            along = along + drives.flow[1] * (bond_y * (north - m) - _south(bond_y) * (south - m))
            torque = torque + self.beta * torch.linalg.cross(m, along, dim=0) - along
        result: Tensor = (torque + self.alpha * torch.linalg.cross(m, torque, dim=0)) / (1 + self.alpha**2)
        return result

    def energy(self, m: Tensor, drives: Drives, stray: Tensor) -> Tensor:
        """Return the energy density summed over all cells, in units of mu0 Ms [A/m]; shape ().

        Args:
            m: Padded magnetisation, shape (3, rows + 2, stride).
            drives: Drives without currents.
            stray: Padded stray field, including that of each cell on itself.
        """
        c = dict(zip(CONSTANTS, self.cells, strict=True))
        inside = (self.cells[8:11].square().sum(0) > 0).to(m)
        field = torch.tensor(drives.field, dtype=m.dtype).reshape(3, 1, 1)
        # All terms except the applied field are quadratic in m, hence the factor of 1/2.
        internal = self.local_field(m, drives) - field + stray
        pairs = (self.exchange * (c["east"] + c["north"])).sum()  # |m_i - m_j|^2 = 2 - 2 m_i.m_j
        total: Tensor = pairs - (m * (internal / 2 + field) * inside).sum()
        return total


def neighbours(m: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the values to the east, west, north and south of each cell of padded values, shape (..., rows + 2, stride)."""
    return m.roll(-1, -1), m.roll(1, -1), m.roll(-1, -2), m.roll(1, -2)


def _west(bonds: Tensor) -> Tensor:
    return bonds.roll(1, -1)


def _south(bonds: Tensor) -> Tensor:
    return bonds.roll(1, -2)


def pad(values: Tensor) -> Tensor:
    """Pad values of cells, shape (..., rows, columns), with a border of zeros, shape (..., rows + 2, stride)."""
    columns = values.shape[-1]
    stride = -(-(columns + 2) // _LANES) * _LANES
    return torch.nn.functional.pad(values, (1, stride - columns - 1, 1, 1))


def unpad(values: Tensor, columns: int) -> Tensor:
    """Return a view of padded values without the border."""
    return values[..., 1:-1, 1 : columns + 1]


def cell_constants(inside: Tensor, D: Tensor, anisotropy: Tensor, easy: Tensor) -> Tensor:
    """Return the padded constants of the cells, shape (11, rows + 2, stride).

    Args:
        inside: Mask of the magnetic cells, shape (rows, columns).
        D: Interfacial DMI [J/m2], shape (rows, columns).
        anisotropy: 2 Ku / (mu0 Ms) [A/m], shape (rows, columns).
        easy: Unit vectors of the easy axis, shape (3, rows, columns).
    """
    inside = pad(inside.to(torch.float64))
    D = pad(D) * inside
    east, north = inside * inside.roll(-1, -1), inside * inside.roll(-1, -2)
    open_x, open_y = inside * (2 - east - _west(east)), inside * (2 - north - _south(north))
    pair_x, pair_y = east * (D + D.roll(-1, -1)) / 2, north * (D + D.roll(-1, -2)) / 2
    own = [D, open_x, open_y, pad(anisotropy) * inside, *(pad(easy) * inside)]
    return torch.stack([east, north, pair_x, pair_y, *own]).contiguous()


def field_scale(A: float, Ms: float, cell: float) -> tuple[float, float, float]:
    """Return `exchange`, `per_dmi` and `edge` of `Terms`."""
    return 2 * A / (MU0 * Ms * cell**2), 1 / (MU0 * Ms * cell), 1 / (2 * A * MU0 * Ms)
