"""The stray field of a film: Newell's demagnetising tensor and its convolution with m by FFT.

H_i = -Ms sum_j N(r_i - r_j) m_j, with N_ab(r) = -1/(4 pi V) int int d_a d_b' 1/|r + x - x'| over two cells of volume V: the
field of the surface charges of the cell at 0, averaged over the cell at r.

Source: Newell, Williams and Dunlop, J. Geophys. Res. 98, 9551 (1993), doi:10.1029/93JB00694.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import scipy.fft
import torch
from torch import Tensor

from ...typing import Array

#: Distance in cells beyond which the cancellation error of Newell's formula exceeds that of the quadrature, about 1e-8.
_NEAR = 20.0


def demagnetising_tensor(shape: tuple[int, int], cell: float, thickness: float) -> Array:
    """Return the demagnetising tensor N between the cells of a film, by their distance in cells.

    Args:
        shape: Numbers of distances along rows and columns.
        cell: Edge length of a cell in the plane [m].
        thickness: Thickness of the film [m].

    Returns:
        Nxx, Nyy, Nzz and Nxy, shape (4, rows, columns), for distances 0, 1, ...; Nxz and Nyz are zero in a single layer.
        Nxy is odd in both directions, the others are even.
    """
    y, x = np.meshgrid(np.arange(shape[0], dtype=float), np.arange(shape[1], dtype=float), indexing="ij")
    height = thickness / cell
    near = np.hypot(x, y) < _NEAR * max(1.0, height)
    tensor = np.empty((4, *shape))
    tensor[:, near] = _newell(x[near], y[near], height)
    tensor[:, ~near] = _quadrature(x[~near], y[~near], height)
    return tensor


def _newell(x: Array, y: Array, height: float) -> Array:
    """Compute second differences of Newell's f and g along each axis, with lengths in cells; shape (4, points)."""
    total = np.zeros((4, *x.shape))
    for (i, wx), (j, wy), (k, wz) in itertools.product(((-1, -1), (0, 2), (1, -1)), repeat=3):
        a, b, c = x + i, y + j, np.full_like(x, k * height)
        weight = wx * wy * wz / (4 * math.pi * height)
        total[0] += weight * _f(a, b, c)
        total[1] += weight * _f(b, a, c)
        total[2] += weight * _f(c, b, a)
        total[3] += weight * _g(a, b, c)
    return total


def _f(x: Array, y: Array, z: Array) -> Array:
    x, y, z = np.abs(x), np.abs(y), np.abs(z)
    r = np.sqrt(x * x + y * y + z * z)
    result = (2 * x * x - y * y - z * z) * r / 6
    result += y / 2 * (z * z - x * x) * _arsinh(y, np.hypot(x, z))
    result += z / 2 * (y * y - x * x) * _arsinh(z, np.hypot(x, y))
    return result - x * y * z * _arctan(y * z, x * r)


def _g(x: Array, y: Array, z: Array) -> Array:
    sign, z = np.sign(x) * np.sign(y), np.abs(z)
    x, y = np.abs(x), np.abs(y)
    r = np.sqrt(x * x + y * y + z * z)
    result = x * y * z * _arsinh(z, np.hypot(x, y)) - x * y * r / 3
    result += y / 6 * (3 * z * z - y * y) * _arsinh(x, np.hypot(y, z)) + x / 6 * (3 * z * z - x * x) * _arsinh(
        y, np.hypot(x, z)
    )
    result -= z**3 / 6 * _arctan(x * y, z * r) + z * y * y / 2 * _arctan(x * z, y * r) + z * x * x / 2 * _arctan(y * z, x * r)
    return sign * result


def _arsinh(a: Array, b: Array) -> Array:
    """Return arsinh(a / b), and 0 if b is 0, where its prefactor vanishes."""
    return np.arcsinh(np.divide(a, b, out=np.zeros_like(a), where=b > 0))


def _arctan(a: Array, b: Array) -> Array:
    """Return arctan(a / b), and 0 if b is 0, where its prefactor vanishes."""
    return np.arctan(np.divide(a, b, out=np.zeros_like(a), where=b > 0))


def _quadrature(x: Array, y: Array, height: float) -> Array:
    """Average the dipole field over both cells.

    Three points along each axis reproduce the moments of the distances up to the fifth.
    """
    points = ((-math.sqrt(0.4), 5 / 24), (0.0, 7 / 12), (math.sqrt(0.4), 5 / 24))
    total = np.zeros((4, *x.shape))
    for (i, wx), (j, wy), (k, wz) in itertools.product(points, repeat=3):
        a, b, c = x + i, y + j, k * height
        square = a * a + b * b + c * c
        weight = wx * wy * wz * height / (4 * math.pi * square**2.5)
        total += weight * np.stack([square - 3 * a * a, square - 3 * b * b, square - 3 * c * c, -3 * a * b])
    return total


class StrayField:
    """The stray field H = -Ms N m of a film, computed by FFT.

    Args:
        shape: Numbers of rows and columns of cells.
        cell: Edge length of a cell [m].
        thickness: Thickness of the film [m].
        Ms: Saturation magnetisation [A/m].
    """

    def __init__(self, shape: tuple[int, int], cell: float, thickness: float, Ms: float) -> None:
        self.shape = shape
        self._padded = tuple(scipy.fft.next_fast_len(2 * size - 1, real=True) for size in shape)
        quadrant = demagnetising_tensor(shape, cell, thickness)
        rows, columns = (np.arange(1 - size, size) for size in shape)
        tensor = quadrant[:, np.abs(rows)[:, None], np.abs(columns)]
        tensor[3] *= np.sign(rows)[:, None] * np.sign(columns)
        kernel = np.zeros((4, *self._padded))
        kernel[:, rows[:, None], columns] = tensor  # negative distances wrap around to the end
        # Each component is even in both directions or odd in both, so that its transform is real.
        self._kernel = torch.fft.rfft2(torch.from_numpy(-Ms * kernel)).real.contiguous()

    def __call__(self, m: Tensor) -> Tensor:
        """Return the field [A/m] of a magnetisation m, both of shape (3, rows, columns)."""
        x, y, z = torch.fft.rfft2(m, s=self._padded)
        xx, yy, zz, xy = self._kernel
        field = torch.fft.irfft2(torch.stack([xx * x + xy * y, xy * x + yy * y, zz * z]), s=self._padded)
        result: Tensor = field[:, : self.shape[0], : self.shape[1]]
        return result
