"""Inputs of a surrogate: checked drives and parameters side by side, and how each runs between samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError, TraceError
from ...traces.trace import INTERPOLATIONS
from ...validation import one_of
from .ports import Ports


def assemble_inputs(
    ports: Ports,
    drive: Tensor,
    parameters: Mapping[str, float] | Tensor | None,
    interpolation: Mapping[str, str] | None,
    like: Tensor,
) -> tuple[Tensor, tuple[str, ...]]:
    """Return drives and parameters side by side, and the interpolation of each.

    A batch of parameters under one drive is a batch of devices, and the other way round.

    Args:
        ports: Names of drives and parameters.
        drive: Samples in SI units, shape (..., time, drives).
        parameters: By name, or a tensor of shape (..., parameters), in SI units.
        interpolation: Of some drives, by name; those of `ports` for the others.
        like: Tensor whose type and device the inputs get.

    Returns:
        Inputs, shape (..., time, drives + parameters), and one interpolation for each.

    Raises:
        TraceError: a drive of another shape, or with NaN.
        ConfigError: a missing parameter, or an unknown drive or interpolation.
    """
    drive = torch.as_tensor(drive)
    count = len(ports.drive)
    if drive.ndim < 2 or drive.shape[-1] != count or drive.shape[-2] < 1:
        raise TraceError(
            f"drive has shape {tuple(drive.shape)}; expected (..., time, {count}) for the drives "
            f"{', '.join(ports.drive) or '(none)'}, in SI units."
        )
    drive = drive.to(like)
    if not bool(torch.isfinite(drive).all()):
        raise TraceError("drive contains NaN or infinite values; replace or cut them before simulating.")
    constants = _constants(ports.parameters, parameters, like)
    batch = np.broadcast_shapes(drive.shape[:-2], constants.shape[:-1])
    drive = drive.expand(*batch, *drive.shape[-2:])
    repeated = constants.unsqueeze(-2).expand(*drive.shape[:-1], constants.shape[-1])
    by_name = {**ports.interpolation, **_checked_interpolation(ports.drive, interpolation)}
    kinds = tuple(by_name.get(name, "spline") for name in ports.drive) + ("held",) * len(ports.parameters)
    return torch.cat([drive, repeated], -1), kinds


def _checked_interpolation(drives: tuple[str, ...], interpolation: Mapping[str, str] | None) -> dict[str, str]:
    checked = dict(interpolation or {})
    for name, kind in checked.items():
        if name not in drives:
            raise ConfigError(f"interpolation names {name!r}, which is not a drive; the drives are: {', '.join(drives)}.")
        one_of(f"interpolation of {name!r}", kind, INTERPOLATIONS)
    return checked


def _constants(names: tuple[str, ...], parameters: Mapping[str, float] | Tensor | None, like: Tensor) -> Tensor:
    """Return the parameters as a tensor, shape (..., parameters)."""
    if isinstance(parameters, Tensor):
        values = parameters.to(like)
        if not values.ndim or values.shape[-1] != len(names):
            raise ConfigError(
                f"parameters have shape {tuple(values.shape)}; expected (..., {len(names)}) for {', '.join(names) or '(none)'}."
            )
    else:
        given = dict(parameters or {})
        missing = [name for name in names if name not in given]
        if missing:
            raise ConfigError(f"parameter {missing[0]!r} is missing; pass parameters={{{missing[0]!r}: value in SI}}.")
        values = torch.tensor([float(given[name]) for name in names], dtype=like.dtype, device=like.device)
    if not bool(torch.isfinite(values).all()):
        raise ConfigError(f"parameters contain NaN or infinite values ({', '.join(names)}); pass finite numbers in SI units.")
    return values
