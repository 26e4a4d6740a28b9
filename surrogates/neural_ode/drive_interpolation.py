"""Drives between their samples: "held" (zero-order hold), "linear" or "spline"."""

from __future__ import annotations

import torch
from torch import Tensor


def stage_drive(drive: Tensor, interpolation: tuple[str, ...]) -> Tensor:
    """Return the drive at the start, middle and end of each step between two samples.

    "held" keeps the value of the step's first sample, "linear" is the chord, "spline" takes the middle from the polynomial
    through the six nearest samples (four near an end).

    Args:
        drive: Samples, shape (..., time, channels).
        interpolation: One of the three for each channel.

    Returns:
        Shape (..., time - 1, 3, channels).

    Example:
        >>> import torch
        >>> stage_drive(torch.tensor([[1.0], [3.0], [2.0]]), ("linear",))[..., 0].tolist()
        [[1.0, 2.0, 3.0], [3.0, 2.5, 2.0]]
    """
    first, last = drive[..., :-1, :], drive[..., 1:, :]
    chord = 0.5 * (first + last)
    smooth = chord
    if "spline" in interpolation and drive.shape[-2] >= 4:
        smooth = chord.clone()
        cubic = (9 * (first + last)[..., 1:-1, :] - drive[..., :-3, :] - drive[..., 3:, :]) / 16
        smooth[..., 1:-1, :] = cubic
        # With the chord, a run that starts here would lose its fourth order.
        smooth[..., 0, :] = (5 * drive[..., 0, :] + 15 * drive[..., 1, :] - 5 * drive[..., 2, :] + drive[..., 3, :]) / 16
        smooth[..., -1, :] = (5 * drive[..., -1, :] + 15 * drive[..., -2, :] - 5 * drive[..., -3, :] + drive[..., -4, :]) / 16
        if drive.shape[-2] >= 6:
            quintic = (
                150 * (first + last)[..., 2:-2, :]
                - 25 * (drive[..., 1:-4, :] + drive[..., 4:-1, :])
                + 3 * (drive[..., :-5, :] + drive[..., 5:, :])
            ) / 256
            smooth[..., 2:-2, :] = quintic
    held, spline = _is(interpolation, "held", drive), _is(interpolation, "spline", drive)
    middle = torch.where(held, first, torch.where(spline, smooth, chord))
    return torch.stack([first, middle, torch.where(held, first, last)], -2)


def settled_drive(drive: Tensor, interpolation: tuple[str, ...]) -> Tensor:
    """Return the drive just before each sample, to which the output recorded at that instant has responded.

    For a held channel this is the value of the step that ends there; the new value has not acted yet.

    Args:
        drive: Samples, shape (..., time, channels).
        interpolation: That of each channel.

    Returns:
        Shape as `drive`.
    """
    before = torch.cat([drive[..., :1, :], drive[..., :-1, :]], -2)
    return torch.where(_is(interpolation, "held", drive), before, drive)


def drive_derivatives(drive: Tensor, interpolation: tuple[str, ...], order: int) -> Tensor:
    """Return the settled drive and its time derivatives, in units per sample.

    Held channels have no derivative inside a step; the others are differentiated centrally, to fourth order.

    Args:
        drive: Samples, shape (time, channels).
        interpolation: That of each channel.
        order: Number of derivatives, counted from the zeroth.

    Returns:
        Shape (time, order, channels).
    """
    held = _is(interpolation, "held", drive)
    derivatives = [settled_drive(drive, interpolation)]
    rate = drive
    for _ in range(1, order):
        rate = _central_difference(rate)
        derivatives.append(torch.where(held, torch.zeros_like(rate), rate))
    return torch.stack(derivatives, -2)


def _is(interpolation: tuple[str, ...], kind: str, drive: Tensor) -> Tensor:
    return torch.tensor([each == kind for each in interpolation], dtype=torch.bool, device=drive.device)


def _central_difference(values: Tensor) -> Tensor:
    if len(values) < 6:
        return torch.gradient(values, dim=0)[0] if len(values) > 1 else torch.zeros_like(values)
    rate = torch.gradient(values, dim=0, edge_order=2)[0]
    rate[2:-2] = (8 * (values[3:-1] - values[1:-3]) - (values[4:] - values[:-4])) / 12
    return rate
