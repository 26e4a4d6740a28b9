"""Wires of a crossbar that have a resistance: exact solution of the network of devices and wire segments (IR drop)."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import ConfigError
from ...validation import number


def effective_conductance(conductance: Tensor, resistance: float) -> Tensor:
    """Return the conductances of a crossbar without wire resistance that gives the same currents.

    Device (i, j) connects word line i and bit line j. Word line i is driven at V_i beside column 0, bit line j is grounded
    below the last row; each segment of wire between neighbouring devices, and to source and ground, has the resistance r. The
    currents at the ends of the bit lines are linear in the voltages, I_j = sum_i V_i G_eff[i, j].

    With D_j the diagonal matrix of the devices of column j, and R[i, k] = r (rows - max(i, k)) the resistances of a bit line,

        Z_j = D_j (1 + R D_j)^-1,   Y_j = Z_j + Y_{j+1} (1 + r Y_{j+1})^-1

    are the admittances of a column and of all columns from it on, W_j = (1 + r Y_j)^-1 W_{j-1}, W_{-1} = V, the voltages of the
    word lines, and I_j = 1^T Z_j W_j. No step subtracts nearly equal numbers, so that small r loses no digits.

    Args:
        conductance: Conductances [S], at least 0, shape (..., rows, columns).
        resistance: r [ohm].

    Returns:
        G_eff [S], shape of `conductance`.

    Raises:
        ConfigError: negative conductances or resistance.

    Example:
        >>> effective_conductance(torch.full((1, 1), 0.5), 1.0)  # 2 ohm between two segments of 1 ohm
        tensor([[0.2500]])

    Source: Kirchhoff's current law at each crossing; the network is that of badcrossbar, D. Joksas and A. Mehonic, SoftwareX
    12, 100617 (2020).
    """
    resistance = number("the line resistance", resistance, 0, unit="ohm")
    if bool((conductance < 0).any()):
        raise ConfigError("a conductance is negative; wires with resistance need devices with conductances in siemens.")
    if resistance == 0:
        return conductance
    g = conductance.detach().double()
    rows, columns = g.shape[-2:]
    index = torch.arange(rows, device=g.device)
    unit = torch.eye(rows, dtype=g.dtype, device=g.device)
    bit_line = resistance * (rows - torch.maximum(index[:, None], index)).double()
    devices = g.transpose(-1, -2)  # (..., columns, rows)
    # Z = D (1 + R D)^-1 = ((1 + D R)^-1 D): both are symmetric.
    own = torch.linalg.solve(unit + devices[..., :, None] * bit_line, torch.diag_embed(devices))
    beyond = torch.zeros_like(own[..., 0, :, :])
    drops: list[Tensor] = []
    for j in reversed(range(columns)):
        admittance = own[..., j, :, :] + beyond
        drop = torch.linalg.inv(unit + resistance * admittance)
        beyond = admittance @ drop
        drops.append(drop)
    currents, voltages = [], unit.expand_as(beyond)
    for j, drop in enumerate(reversed(drops)):
        voltages = drop @ voltages
        currents.append(own[..., j, :, :].sum(-2, keepdim=True) @ voltages)
    return torch.cat(currents, -2).transpose(-1, -2).to(conductance)


def tiled(conductance: Tensor, rows: int, columns: int, resistance: float) -> Tensor:
    """Return the effective conductances of a large array that is divided into crossbars of at most rows x columns."""
    result = conductance.clone()
    for top in range(0, conductance.shape[-2], rows):
        for left in range(0, conductance.shape[-1], columns):
            part = (..., slice(top, top + rows), slice(left, left + columns))
            result[part] = effective_conductance(conductance[part], resistance)
    return result
