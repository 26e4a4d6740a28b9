"""What turns the cells of a film: the terms of the effective field, the torques of currents, and their energy.

With m the unit vector of a cell, every field in A/m and t the time,

    dm/dt = 1 / (1 + alpha^2) [ T + alpha m x T ],    T = -gamma0 m x H - (u.grad) m + beta m x (u.grad) m,
    H = 2 A / (mu0 Ms) lap m + 2 D / (mu0 Ms) [ grad m_z - z div m ] + 2 Ku / (mu0 Ms) (m.e) e
        + H_stray + H_applied + H_spin + H_thermal,

where u = P g mu_B J / (2 e Ms) is the velocity of Zhang and Li's torque in its later form and H_spin the field of
Slonczewski's, as `datasets.llg` has it. In cells of edge h, of a cell i and its neighbour j in the direction n,

    2 A / (mu0 Ms h^2) (m_j - m_i) + (D_i + D_j) / (2 mu0 Ms h) (m_z,j n - m_n,j z).

Where there is no neighbour the boundary condition dm/dn = -D / (2 A) (m_z n - m_n z) gives it a ghost, and what is left of the
two terms is D^2 / (2 A mu0 Ms) (m_n n + m_z z). All of this is the derivative of one energy, so that nothing but damping
changes it.

Sources: Rohart and Thiaville, Phys. Rev. B 88, 184422 (2013), doi:10.1103/PhysRevB.88.184422 (boundary condition); Thiaville et
al., Europhys. Lett. 69, 990 (2005), doi:10.1209/epl/i2004-10452-6 (u and beta); Brown (1963) and Slonczewski (1996) as in
`datasets.llg`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..macrospin.llg import MU0

#: Constants of a cell, in the order in which the kernel takes them: bonds to the east and to the north, their DMI and the
#: cell's own [J/m2], how many of its sides are open in each direction, 2 Ku / (mu0 Ms) [A/m], and the easy axis.
CONSTANTS = ("east", "north", "dmi_east", "dmi_north", "dmi", "open_x", "open_y", "anisotropy", "easy_x", "easy_y", "easy_z")
_LANES = 8


@dataclass(frozen=True)
class Drives:
    """What acts on all cells alike at one instant.

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
        """In the order in which the kernel takes them."""
        return (self.anisotropy, self.dmi, *self.field, self.spin, *self.flow)

    @classmethod
    def of(cls, numbers: tuple[float, ...]) -> Drives:
        """The inverse of `numbers`."""
        a, d, x, y, z, s, u, v = numbers
        return cls(a, d, (x, y, z), s, (u, v))


@dataclass(frozen=True, eq=False)
class Terms:
    """The constants of a film in the form of the equation.

    Attributes:
        cells: Constants of the cells, shape (11, rows + 2, stride), in a frame of empty cells.
        alpha: Gilbert damping.
        exchange: 2 A / (mu0 Ms h^2) [A/m].
        per_dmi: 1 / (mu0 Ms h), times D a field.
        edge: 1 / (2 A mu0 Ms), times D^2 a field.
        Ms: Saturation magnetisation [A/m]; what the stray field of a cell itself does along z, -Ms m_z, is taken at each
            stage, and the rest only now and then.
        polariser: Unit vector p.
        polarisation: P of Slonczewski's torque.
        asymmetry: Its Lambda.
        field_like: Its b_J / a_J.
        beta: Of Zhang and Li's torque.
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
        """In the order in which the kernel takes them; `thermal` is the deviation of the thermal field [A/m]."""
        torques = (*self.polariser, self.polarisation, self.asymmetry, self.field_like, self.beta)
        return (self.alpha, self.exchange, self.per_dmi, self.edge, self.Ms, *torques, thermal)

    def local_field(self, m: Tensor, drives: Drives) -> Tensor:
        """H of a framed m, shape (3, rows + 2, stride), without stray and thermal field; exchange up to multiples of m."""
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

    def rate(self, m: Tensor, rest: Tensor, drives: Drives) -> Tensor:
        """Dm / d(gamma0 t) [A/m] of a framed m; `rest` is the stray field without -Ms m_z, and the thermal field."""
        field = self.local_field(m, drives) + rest
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
        """Energy density, the mean over cells times their number, in units of mu0 Ms [A/m]; shape ().

        Args:
            m: Framed, shape (3, rows + 2, stride).
            drives: Without currents.
            stray: The whole stray field, framed.
        """
        c = dict(zip(CONSTANTS, self.cells, strict=True))
        inside = (self.cells[8:11].square().sum(0) > 0).to(m)
        field = torch.tensor(drives.field, dtype=m.dtype).reshape(3, 1, 1)
        # Every term but the applied field is quadratic in m, and counts half.
        half = self.local_field(m, drives) - field + stray
        pairs = (self.exchange * (c["east"] + c["north"])).sum()  # |m_i - m_j|^2 = 2 - 2 m_i.m_j
        total: Tensor = pairs - (m * (half / 2 + field) * inside).sum()
        return total


def neighbours(m: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The values to the east, west, north and south of each cell of framed values, shape (..., rows + 2, stride)."""
    return m.roll(-1, -1), m.roll(1, -1), m.roll(-1, -2), m.roll(1, -2)


def _west(bonds: Tensor) -> Tensor:
    return bonds.roll(1, -1)


def _south(bonds: Tensor) -> Tensor:
    return bonds.roll(1, -2)


def framed(values: Tensor) -> Tensor:
    """Values of cells, shape (..., rows, columns), in a frame of zeros, shape (..., rows + 2, stride)."""
    columns = values.shape[-1]
    stride = -(-(columns + 2) // _LANES) * _LANES
    return torch.nn.functional.pad(values, (1, stride - columns - 1, 1, 1))


def inner(values: Tensor, columns: int) -> Tensor:
    """The inverse of `framed`, a view."""
    return values[..., 1:-1, 1 : columns + 1]


def cell_constants(inside: Tensor, D: Tensor, anisotropy: Tensor, easy: Tensor) -> Tensor:
    """The constants of the cells, framed; shape (11, rows + 2, stride).

    Args:
        inside: Which cells are magnetic, shape (rows, columns).
        D: Interfacial DMI [J/m2], shape (rows, columns).
        anisotropy: 2 Ku / (mu0 Ms) [A/m], shape (rows, columns).
        easy: Unit vectors, shape (3, rows, columns).
    """
    inside = framed(inside.to(torch.float64))
    D = framed(D) * inside
    east, north = inside * inside.roll(-1, -1), inside * inside.roll(-1, -2)
    open_x, open_y = inside * (2 - east - _west(east)), inside * (2 - north - _south(north))
    pair_x, pair_y = east * (D + D.roll(-1, -1)) / 2, north * (D + D.roll(-1, -2)) / 2
    rest = [open_x, open_y, framed(anisotropy) * inside, *(framed(easy) * inside)]
    return torch.stack([east, north, pair_x, pair_y, D, *rest]).contiguous()


def field_scale(A: float, Ms: float, cell: float) -> tuple[float, float, float]:
    """`exchange`, `per_dmi` and `edge` of `Terms`."""
    return 2 * A / (MU0 * Ms * cell**2), 1 / (MU0 * Ms * cell), 1 / (2 * A * MU0 * Ms)
